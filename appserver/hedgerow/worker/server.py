"""The connections of a listener: admit, route, hand to a runner, count, sweep, drain.

`router` decides where a request goes; it is the only thing in which the worker's public listener and its control
socket differ.
"""

from __future__ import annotations

import _socket
import os
from collections.abc import Callable
from typing import Any

from gevent import get_hub

from ..config import Settings
from ..http.request import Request
from ..pep3333.environ import Environ
from . import deadlines
from .acceptor import Acceptor
from .access import AccessLog
from .connection import Connection
from .job import Job
from .lag import Lag
from .log import LogQueue
from .runner import Runner
from .streams import Streams

MAX_SWEEP_S = 1.0
MIN_SWEEP_S = 0.05


class Server:
    """See the module's docstring. listener: a bound, listening, non-blocking socket that outlives us; behind: the
    clients are other workers of ours; period_s: how often requests have to be looked at, at least.
    """

    def __init__(
        self,
        listener: _socket.socket,
        environ: Environ,
        router: Callable[[Server, Connection, Request], Job],
        settings: Settings,
        log: LogQueue,
        streams: Streams,
        access_log: bool,
        behind: bool = False,
        period_s: float = MAX_SWEEP_S,
    ) -> None:
        self.hub = get_hub()
        self.log = log
        self.listener = listener
        self.environ = environ
        self.settings = settings
        self.draining = False
        self.behind = behind
        self.access = AccessLog(log, streams, access_log)
        self.connections: set[Connection] = set()
        self._router = router
        self._acceptor = Acceptor(listener, self.hub, log, self._admit)
        period_s = max(MIN_SWEEP_S, min(period_s, _sweep_period_s(settings)))
        self._sweeper = self.hub.loop.timer(period_s, period_s)
        self.lag = Lag(period_s)
        self._id_prefix = os.urandom(8).hex()
        self._last_id = 0
        os.register_at_fork(after_in_child=self._drop_in_child)

    def __repr__(self) -> str:
        state = "draining" if self.draining else "open"
        counts = f"in_flight={self.access.in_flight} requests={self.access.requests}"
        return f"<Server {state} connections={len(self.connections)} {counts}>"

    # Clients.

    def start_accepting(self) -> None:
        """From now on clients are accepted."""
        self._acceptor.start()
        self._sweeper.start(self._sweep)

    def stop_accepting(self) -> None:
        """Leave new clients to whoever shares the listener."""
        self.draining = True
        self._acceptor.stop()
        self._say_farewells()

    def refuse_new(self) -> None:
        """Accept what is queued, then make the kernel refuse."""
        self.draining = True
        self._acceptor.refuse_new()
        self._say_farewells()

    def _say_farewells(self) -> None:
        for connection in list(self.connections):
            connection.say_farewell()

    def _admit(self, sock: _socket.socket, peer: object, surplus: bool) -> None:
        """A new client. One too many is heard and refused, so that the front sends its request elsewhere; when there
        are as many of these again, the connection is closed at once.
        """
        count = len(self.connections)
        limit = self.settings.max_connections
        if count >= limit:
            surplus = True
            if count == limit:
                self.log.tell("warning", f"there are {limit} connections: more are refused")
            if count >= 2 * limit:
                sock.close()
                return
        self.connections.add(Connection(self, sock, _peer_name(peer), surplus))

    # Requests.

    def start(self, connection: Connection, request: Request) -> None:
        """Route a request and let a runner serve it."""
        try:
            job = self._router(self, connection, request)
        except Exception as error:  # ours; the client must not wait for it
            self.log.tell("error", f"{request!r} could not be routed", error)
            connection.close(abort=True)
            return
        self.access.in_flight += 1
        free = job.target.free
        runner = free.pop() if free else Runner(self.hub, self.access)
        job.runner, connection.job = runner, job
        runner.switch(job)

    def new_request_id(self) -> str:
        """A request id, where no front has made one."""
        self._last_id += 1
        return f"{self._id_prefix}{self._last_id:016x}"

    # Connections.

    def forget(self, connection: Connection) -> None:
        """The connection is closed."""
        self.connections.discard(connection)
        if self._acceptor.paused:
            self._acceptor.resume()  # its descriptor is free

    def close_all(self) -> None:
        """End every connection, busy or not."""
        for connection in list(self.connections):
            connection.cut()
        self._sweeper.stop()

    def _drop_in_child(self) -> None:
        """A fork of an app's: the child has our watchers and descriptors, and must neither accept nor answer."""
        self._acceptor.drop_in_child()
        self._sweeper.stop()
        for connection in self.connections:
            connection.drop_in_child()

    def _sweep(self) -> None:
        """Time-outs, once a second for all: a timer a request would cost more than the request's parser."""
        self.lag.turn()
        now = self.hub.loop.now()
        for connection in [connection for connection in self.connections if connection.until <= now]:
            connection.review(now)
        for job in [connection.job for connection in self.connections if connection.job is not None]:
            deadlines.review(job)


def _sweep_period_s(settings: Settings) -> float:
    """A second, or a quarter of a shorter limit: an end comes at most two periods late."""
    limits = (
        settings.head_timeout_s,
        settings.keepalive_s,
        settings.body_idle_timeout_s,
        settings.body_timeout_s or MAX_SWEEP_S * 4,
        settings.write_timeout_s,
    )
    return max(MIN_SWEEP_S, min(MAX_SWEEP_S, min(limits) / 4))


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
