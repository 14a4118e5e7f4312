"""A listener and its connections: accept, route, hand to a runner, count, sweep, drain.

`router` decides where a request goes; it is the only thing in which the worker's public listener and its control
socket differ.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import fcntl
import itertools
import os
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from gevent import get_hub

from ..config import Settings
from ..errors import HttpError
from ..http.request import Request
from ..pep3333.bridge import Exchange
from ..pep3333.environ import Environ
from .connection import READ, Connection
from .log import LogQueue, render
from .runner import Job, Runner, access_line
from .streams import Streams

BACKLOG = 4096  # the kernel lowers it to net.core.somaxconn
SWEEP_S = 1.0
LINGER_S = 2.0
ACCEPTS_A_WAKE = 64


class Server:
    """See the module's docstring. listener: a bound, listening, non-blocking socket that outlives us."""

    def __init__(
        self,
        listener: _socket.socket,
        environ: Environ,
        router: Callable[[Server, Connection, Request], Job],
        settings: Settings,
        log: LogQueue,
        streams: Streams,
        access_log: bool,
    ) -> None:
        self.hub = get_hub()
        self.log = log
        self.listener = listener
        self.environ = environ
        self.settings = settings
        self.draining = False
        self.requests = 0
        self.in_flight = 0
        self.connections: set[Connection] = set()
        self._router = router
        self._streams = streams
        self._access_log = access_log
        self._lingering: set[Connection] = set()
        self._numbers = itertools.count(1)
        self._date = (0, "")
        self._accepting = self.hub.loop.io(listener.fileno(), READ)
        self._sweeper = self.hub.loop.timer(SWEEP_S, SWEEP_S)
        self._id_prefix = os.urandom(8).hex()
        os.register_at_fork(after_in_child=self._drop_in_child)

    def __repr__(self) -> str:
        state = "draining" if self.draining else "open"
        return (
            f"<Server {state} connections={len(self.connections)} in_flight={self.in_flight} requests={self.requests}>"
        )

    # The listener.

    def start_accepting(self) -> None:
        """From now on clients are accepted."""
        self._accepting.start(self._on_acceptable)
        self._sweeper.start(self._sweep)

    def stop_accepting(self) -> None:
        """Leave new clients to whoever shares the listener."""
        self.draining = True
        self._accepting.stop()

    def refuse_new(self) -> None:
        """Accept what is queued, then make the kernel refuse: the replica leaves, and a refused connect is a fast
        failure.
        """
        self.draining = True
        while self._on_acceptable():
            pass
        self._accepting.stop()
        with contextlib.suppress(OSError):
            self.listener.shutdown(_socket.SHUT_RDWR)

    def _on_acceptable(self) -> bool:
        """Accept some. True when there may be more."""
        for _ in range(ACCEPTS_A_WAKE):
            try:
                descriptor, peer = self.listener._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._pause_accepting("no free descriptor")
                    return False
                if error.errno == errno.EINVAL:
                    self._pause_accepting("somebody has shut the listening socket down")
                    return False
                continue
            self.connections.add(Connection(self, _client_socket(descriptor), _peer_name(peer)))
        return True

    def _pause_accepting(self, why: str) -> None:
        """Try again in a second, since a ready watcher would spin until then."""
        self._accepting.stop()
        if self.draining:
            return
        self.log.tell("error", f"accepting pauses for a second: {why}")

        def resume() -> None:
            timer.close()
            if not self.draining:
                self.listener.listen(BACKLOG)  # brings it back if it was shut down
                self._accepting.start(self._on_acceptable)

        timer = self.hub.loop.timer(1.0)
        timer.start(resume)

    # Requests.

    def start(self, connection: Connection, request: Request) -> None:
        """Route a request and let a runner serve it."""
        try:
            job = self._router(self, connection, request)
        except Exception as error:  # ours; the client must not wait for it
            self.log.tell("error", f"{request!r} could not be routed", error)
            connection.close(abort=True)
            return
        self.in_flight += 1
        free = job.target.free
        runner = free.pop() if free else Runner(self)
        runner.take(job)

    def next_number(self) -> int:
        """The number of the next request of this worker."""
        return next(self._numbers)

    def new_request_id(self, number: int) -> str:
        """A request id, where no front has made one."""
        return f"{self._id_prefix}{number:016x}"

    def served(self, job: Job, exchange: Exchange, seconds: float) -> None:
        """A runner has finished a request."""
        self.requests += 1
        self._streams.end(job.request.fields.get("hedgerow.app", ""), job.request_id)
        if self._access_log:
            self.log.put(access_line(job, exchange, seconds))

    def rejected(self, connection: Connection, error: HttpError) -> None:
        """The engine answered by itself what was no request."""
        if self._access_log:
            self.log.put(render("access", "info", error.reason, status=error.status, client=connection.peer[0]))

    def date(self) -> str:
        """The value of the Date field, made once a second."""
        second = int(time.time())
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True))
        return self._date[1]

    # Connections.

    def lingering(self, connection: Connection) -> None:
        """Our side of the connection is closed; the client's answer is awaited for LINGER_S."""
        connection.since = self.hub.loop.now()
        self._lingering.add(connection)

    def forget(self, connection: Connection) -> None:
        """The connection is closed."""
        self.connections.discard(connection)
        self._lingering.discard(connection)

    def close_all(self) -> None:
        """End every connection, busy or not."""
        for connection in list(self.connections):
            connection.close(abort=connection.busy)
        self._sweeper.stop()

    def _drop_in_child(self) -> None:
        """A fork of an app's: the child has our watchers and descriptors, and must neither accept nor answer."""
        self._accepting.stop()
        self._sweeper.stop()
        self.listener.close()
        for connection in self.connections:
            connection.drop_in_child()

    def _sweep(self) -> None:
        """Time-outs, once a second for all: a timer a request would cost more than the request's parser."""
        now = self.hub.loop.now()
        for connection in list(self.connections):
            age = now - connection.since
            if connection in self._lingering:
                if age > LINGER_S:
                    connection.close()
            elif connection.busy:
                continue
            elif connection.reader.buffered:
                if age > self.settings.head_timeout_s:
                    connection.reject(HttpError(408, "The request did not arrive in time."))
            elif age > self.settings.keepalive_s:
                connection.close()


def _client_socket(descriptor: int) -> _socket.socket:
    """The accepted socket. Never one of the first three: where an app has closed those, children write to them."""
    if descriptor < 3:
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
        os.close(descriptor)
        descriptor = moved
    sock = _socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return sock


def _peer_name(peer: object) -> tuple[str, str]:
    return (str(peer[0]), str(peer[1])) if isinstance(peer, tuple) else ("", "")


def environ_extra(settings: Settings, address: str, slot: str) -> dict[str, Any]:
    """What an app is told of who serves it."""
    return {
        "hedgerow.replica": settings.replica,
        "hedgerow.address": address,
        "hedgerow.slot": slot,
        "hedgerow.worker": os.getpid(),
    }
