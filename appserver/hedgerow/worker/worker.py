"""One worker: its apps, its listener, its control socket, and its end.

States: loading → ready → draining (another slot has taken over) or leaving (the whole replica goes) → gone.
"""

from __future__ import annotations

import _socket
import contextlib
import contextvars
import fcntl
import gc
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event

from ..config import Settings
from ..control.plan import beat_file, final_counts, slot_socket, write_json
from ..control.wear import INTERRUPTED, Wear, resident_bytes
from ..hosting import audit, outbound
from ..hosting.counts import BOUNDS_S
from ..hosting.findings import BLOCKING, Finding
from ..hosting.gate import Gate
from ..hosting.host import Host
from ..http import head
from ..http.request import Request
from ..pep3333.environ import base_environ
from . import children
from .acceptor import BACKLOG
from .connection import Connection
from .control import ControlApplication
from .descriptors import descriptors, most
from .hub_watch import HubWatch
from .job import Job, Target
from .log import LogQueue
from .router import UNLIMITED, Router
from .runner import count_living
from .server import Server, environ_extra
from .streams import Streams

FLUSH_S = 1.0
LOOK_S = 0.2  # shorter than any worker's start
# The kernel takes the double. By itself it would let it grow to 4 MiB, more than a core's cache, and each byte would go
# to memory and back on its way to the client (answers of 10 MiB: 2,200 us of CPU instead of 1,400).
SEND_BUFFER_BYTES = 262_144
COMPILED = not head.__file__.endswith(".py")  # the hot modules are; see hatch_build.py


def take_listener() -> _socket.socket:
    """Our socket, moved from fd 0 to a descriptor that no child process of an app inherits; fd 0 becomes /dev/null."""
    descriptor = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 10)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    listener = _socket.socket(fileno=descriptor)
    listener.setblocking(False)
    if listener.family != _socket.AF_UNIX:
        # Accepted sockets inherit both.
        listener.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    return listener


def raise_descriptor_limit() -> None:
    """As many descriptors as the kernel lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Worker:
    """See the module's docstring. address and slot: who we are; generation: of the plan's entry that we run; limit_mb:
    of memory, None for any.
    """

    def __init__(
        self,
        settings: Settings,
        address: str,
        slot: str,
        generation: int,
        log: LogQueue,
        streams: Streams,
        limit_mb: int | None = None,
    ) -> None:
        self.state = "loading"
        self._settings = settings
        self._address = address
        self._slot = slot
        self._generation = generation
        self._log = log
        self._streams = streams
        self._started = self._ready = time.monotonic()
        self._wear = Wear(settings, limit_mb)
        self._worn = ""
        self._id = f"{os.getpid()}-{time.time_ns()}"  # as no other process is called, nor will be
        self._deployed = False
        self._done = Event()
        self._end = float("inf")  # of what is still served, when we go
        self._hub_watch = HubWatch(self._log, settings.hub_limit_s)
        self._host: Host | None = None
        self._router: Router | None = None
        self._server: Server | None = None
        self._control: Server | None = None

    def run(
        self,
        listener: _socket.socket,
        host: Host,
        ledger: Path | None = None,
        behind: bool = False,
        alone: bool = False,
    ) -> None:
        """Serve host on listener until drained. Returns when nothing is left to serve. ledger: the state whose ledger
        tells of further apps; behind: the clients are other workers of ours, which write the access log; alone: its app
        has the process, its signals and timers included, for itself.
        """
        self._host = host
        settings = self._settings
        name, port = _name_of(listener)
        environ = base_environ(name, port, self._streams.errors, environ_extra(settings, self._address, self._slot))
        router = self._router = Router(host, settings, ledger, behind)
        router.look()
        self._deployed = ledger is not None or behind
        access_log = settings.access_log and not behind
        self._server = Server(
            listener, environ, router, settings, self._log, self._streams, access_log, behind, router.period_s
        )
        gc.collect()
        gc.freeze()  # what is loaded stays; the collector need not look at it again
        listener.listen(BACKLOG)  # brings a listener back that a leaving worker has shut down
        self.state, self._ready = "ready", time.monotonic()
        self._server.start_accepting()
        self._control = self._open_control()
        for number in children.SIGNALS:
            gevent.signal_handler(number, self.leave)
        children.install()
        if not alone and settings.hub_limit_s:
            self._hub_watch.start(beat_file(settings.run, self._address, self._slot), router.counts_of)
        if ledger is not None:
            gevent.spawn(self._look_around, router)
        self._log.tell("info", f"ready: {self}")
        self._done.wait()
        self._close()

    def __repr__(self) -> str:
        apps = len(self._host.apps) if self._host else 0
        return f"<Worker {self._address}:{self._slot} {self.state} generation={self._generation} apps={apps}>"

    def drain(self) -> None:
        """Another slot has taken over: accept no more, end when the last connection is gone or at the drain limit."""
        if self.state == "ready" and self._server is not None:
            self.state = "draining"
            self._server.stop_accepting()
            self._wait_for_end(max(self._settings.drain_s, self._settings.swap_drain_s))

    def leave(self) -> None:
        """The replica goes: like drain, and connects are refused from now on."""
        if self.state == "ready" and self._server is not None:
            self.state = "leaving"
            self._server.refuse_new()
            self._wait_for_end(self._settings.drain_s)
        elif self.state == "draining":  # on its way, but with less time; the listener belongs to who has taken over
            self._end = min(self._end, time.monotonic() + self._settings.drain_s)

    def status(self) -> dict[str, Any]:
        """The facts for `hedgerow status`."""
        server, host = self._server, self._host
        memory_bytes = resident_bytes()
        self._look(memory_bytes)
        return {
            "address": self._address,
            "slot": self._slot,
            "generation": self._generation,
            "pid": os.getpid(),
            "state": self.state,
            "compiled": COMPILED,
            "age_s": round(time.monotonic() - self._started, 1),
            "requests": server.access.requests if server else 0,
            "in_flight": server.access.in_flight if server else 0,
            "connections": len(server.connections) if server else 0,
            "memory_bytes": memory_bytes,
            "descriptors": descriptors(),
            "descriptors_most": most(),
            "outbound": outbound.status(),
            "worn": self._worn,
            "log_dropped": self._log.dropped,
            "blocks": self._hub_watch.blocks,
            "interrupted": self._hub_watch.interrupted,
            "offenders": self._hub_watch.offenders,
            "apps": host.status() if host else [],
            "greenlets": count_living(),
            "lag_s": round(server.lag.worst_s, 4) if server else 0.0,
            "gates": self._router.gates() if self._router else {},
            **self._counted(),
        }

    def _counted(self) -> dict[str, Any]:
        """What only grows, and who counts."""
        server, router = self._server, self._router
        return {
            "id": self._id,
            "rejections": server.access.rejections if server else 0,
            "behind": server.behind if server else False,
            "bounds": BOUNDS_S,
            "counts": router.counts() if router else {},
            "canaries": {name: split.status for name, split in router.splits.items()} if router else {},
        }

    def audit(self) -> list[Finding]:
        """Why the apps here cannot live under patching. What is loaded is looked at as one, so only a trial asks."""
        apps = self._host.apps.values() if self._host else ()
        notes = [note for note in audit.audit(sys.modules) if note.verdict == audit.THREADS]
        return [
            Finding(BLOCKING, f"{app.name}: {note.module or 'it'} {note.sentence}")
            for app in apps
            for note in (*filter(None, [audit.asynchronous(app.folder)]), *notes)
        ]

    def _look(self, memory_bytes: int) -> None:
        """Whether we are worn. Who is stays so."""
        if self._worn or self._server is None or self.state != "ready":
            return
        age_s, requests = time.monotonic() - self._ready, self._server.access.requests
        held = (descriptors() - len(self._server.connections)) / most()
        worn = self._wear.look(age_s, requests, memory_bytes, held)
        self._worn = INTERRUPTED if self._hub_watch.interrupted else worn
        if self._worn:
            figures = f"{requests} requests in {age_s:.0f} s, {memory_bytes / 1e6:.0f} MB of memory"
            self._log.tell("info", f"worn by {self._worn}: {figures}")

    def _look_around(self, router: Router) -> None:
        """So that an app which arrives below another's mount is known here before any worker answers for it."""
        while True:
            gevent.sleep(LOOK_S)
            router.look()

    def _wait_for_end(self, limit_s: float) -> None:
        self._log.tell("info", f"{self.state}: {self._server}")
        self._end = time.monotonic() + limit_s
        gevent.spawn(self._watch_end, time.monotonic() + self._settings.drain_s)

    def _watch_end(self, idle_until: float) -> None:
        """Until the last request is answered. Idle connections are waited for only until the front has closed them."""
        while self._server and self._server.connections and time.monotonic() < self._end:
            if time.monotonic() >= idle_until and not self._server.access.in_flight:
                break
            gevent.sleep(0.05)
        self._done.set()

    def _close(self) -> None:
        self._hub_watch.stop()
        for server in (self._server, self._control):
            if server is not None:
                server.close_all()
        with contextlib.suppress(OSError):
            os.unlink(self._control_path)
        if self._deployed:  # else nobody reads it
            with contextlib.suppress(OSError):
                write_json(final_counts(self._settings.run, self._id), self._counted())
        self.state = "gone"
        self._log.tell("info", f"gone: {self._server}")

    @property
    def _control_path(self) -> str:
        return str(slot_socket(self._settings.run, self._address, self._slot))

    def _open_control(self) -> Server:
        """The control socket appears only now: whoever finds it finds a worker that is ready."""
        path = self._control_path
        early = path.removesuffix(".sock") + ".new"
        for old in (path, early):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(old)
        listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        listener.setblocking(False)
        listener.bind(early)
        listener.listen(64)
        os.rename(early, path)  # bound and not yet listening it would refuse who finds it
        target = Target('"control"', ControlApplication(self), contextvars.Context(), Gate(UNLIMITED))

        def route(server: Server, connection: Connection, request: Request) -> Job:
            target.gate.enter()
            return Job(connection, request, target, request.target.partition("?")[0], "", "")

        environ = base_environ("control", "", self._streams.errors, {})
        server = Server(listener, environ, route, self._settings, self._log, self._streams, access_log=False)
        server.start_accepting()
        return server


def _name_of(listener: _socket.socket) -> tuple[str, str]:
    name = listener.getsockname()
    return (str(name[0]), str(name[1])) if isinstance(name, tuple) else ("localhost", "80")
