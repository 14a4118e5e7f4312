"""`gunicorn -k hedgerow.gunicorn.Worker app:application`: gunicorn's processes, sockets, signals and logs, and in each
worker Hedgerow's engine: a greenlet for each request, or with `--threads` a native thread in a process that is not
patched. This file joins the two and decides nothing of either.

Not here: gunicorn's TLS and PROXY protocol, its hooks for each request, and what it believes of X-Forwarded-*. As under
its own greenlets, `--preload` loads the application before anything is patched.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from datetime import timedelta
from typing import Any

import gevent
import gevent.event
import gunicorn.workers.base  # type: ignore[import-untyped, unused-ignore]
from gevent import monkey

from .config import Settings
from .errors import HttpError
from .pep3333.bridge import Exchange
from .worker import context, embedded
from .worker.access import AccessLog
from .worker.connection import Connection
from .worker.job import Job
from .worker.log import LogQueue
from .worker.server import Server
from .worker.streams import Streams

BEAT_S = 1.0


class Worker(gunicorn.workers.base.Worker):  # type: ignore[misc, unused-ignore]
    """A worker of gunicorn's, by its own rules: `alive` until a signal, then what was begun is answered."""

    alive: bool

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Called by gunicorn before it starts any of us."""
        if cfg.is_ssl or cfg.proxy_protocol != "off":
            log.error("hedgerow.gunicorn.Worker has neither TLS nor the PROXY protocol: a front such as nginx has both")
            sys.exit(1)

    def init_process(self) -> None:
        """The first in the new process."""
        self._wake = gevent.event.Event()
        self._quick = False
        # Patching takes a while, and a SIGTERM meanwhile would go to the handler that came with the fork, and be lost.
        signal.signal(signal.SIGTERM, self.handle_exit)
        if self.cfg.threads == 1:
            monkey.patch_all()
        context.install()
        super().init_process()

    def run(self) -> None:
        """Serve until a signal, the last request that we may answer, or gunicorn's end."""
        servers = [self._server(listener) for listener in self.sockets]
        for server in servers:
            server.start_accepting()
        while self.alive:
            self.notify()
            self.alive = self.alive and os.getppid() == self.ppid
            self._wake.wait(BEAT_S)
        for server in servers:
            server.stop_accepting()
        embedded.drain(servers, self.cfg.graceful_timeout, self._settings.drain_s, self._go_on)
        for server in servers:
            server.close_all()

    def _go_on(self) -> bool:
        self.notify()
        return not self._quick

    # What the engine needs.

    @property
    def _settings(self) -> Settings:
        """Those of gunicorn that the engine has too; the others are HEDGEROW_… variables."""
        cfg = self.cfg
        return Settings.from_env(
            keepalive_s=float(cfg.keepalive) or None,
            max_requests_per_connection=None if cfg.keepalive else 1,
            max_connections=cfg.worker_connections,
            max_target_bytes=cfg.limit_request_line or None,
            max_headers=cfg.limit_request_fields,
            access_log=False,
        )

    def _server(self, listener: Any) -> Server:
        log, settings = _Log(self.log), self._settings
        mount = os.environ.get("SCRIPT_NAME", "").rstrip("/")  # as gunicorn's own workers are told
        threads = self.cfg.threads if self.cfg.threads > 1 else 0
        host = embedded.host(self.cfg.proc_name, self.wsgi, mount, threads, settings)
        streams = Streams(log)
        server = embedded.server(listener.fileno(), host, settings, log, streams, self.cfg.workers > 1)
        server.access = _Access(log, streams, self)
        return server

    def served(self, requests: int) -> None:
        """So many requests have been answered."""
        if requests >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self._end()

    # Signals. The handlers may run in the hub, which must not wait.

    def _end(self) -> None:
        self.alive = False
        self._wake.set()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM."""
        self._end()

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGQUIT, SIGINT: now."""
        self._quick = True
        self._end()
        self.cfg.worker_int(self)

    def handle_usr1(self, sig: int, frame: Any) -> None:
        """SIGUSR1: the log files have been moved."""
        gevent.spawn(super().handle_usr1, sig, frame)

    def handle_abort(self, sig: int, frame: Any) -> None:
        """SIGABRT: we have not been heard of for too long. An exception would only end whose turn it is."""
        self.log.error("The worker did not beat. It stands at:\n%s", "".join(traceback.format_stack(frame)))
        self.cfg.worker_abort(self)
        os._exit(1)


class _Log(LogQueue):
    """The engine's own lines, in gunicorn's error log, which writes them at once."""

    def __init__(self, log: Any) -> None:
        self.dropped = 0
        self._log = log

    def put(self, line: str) -> None:
        self._log.info(line)

    def tell(self, level: str, message: str, error: BaseException | None = None, **more: object) -> None:
        getattr(self._log, level)(message, exc_info=error)

    def flush(self, timeout_s: float) -> None:
        pass


class _Access(AccessLog):
    """Counts as ever; the lines are gunicorn's, in its format."""

    __slots__ = ("_worker",)

    def __init__(self, log: LogQueue, streams: Streams, worker: Worker) -> None:
        super().__init__(log, streams, enabled=False)
        self._worker = worker

    def served(self, job: Job, exchange: Exchange, seconds: float) -> None:
        super().served(job, exchange, seconds)
        self._worker.served(self.requests)
        log = self._worker.log
        if log.access_log_enabled:
            fields = job.request.fields
            headers = [
                (name[5:].replace("_", "-"), value) for name, value in fields.items() if name.startswith("HTTP_")
            ]
            log.access(_Answer(exchange), headers, fields, timedelta(seconds=seconds))

    def rejected(self, connection: Connection, error: HttpError) -> None:
        self._worker.log.debug("%s: %s %s", connection.peer[0], error.status, error.reason)


class _Answer:
    """What gunicorn's access log wants to know of an answer."""

    def __init__(self, exchange: Exchange) -> None:
        self.status = exchange.status or "499 Client Closed Request"
        self.sent = exchange.sent_bytes
        head = exchange.head.head.decode("latin-1") if exchange.head is not None else ""
        self.headers = [line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line]
