"""The processes of a pool, and the connections to each that are kept for the next request.

We close first: what has been idle for IDLE_S is not used again and closed; a worker of the pool waits much longer,
other servers 2 s (gunicorn), 5 s (uvicorn, Node) or more. One that the pool closes, or on which it speaks unasked, is
dropped at once.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gevent
from gevent import get_hub

from ..control.plan import asleep_file
from ..errors import RefusedError
from .upstream import Upstream

IDLE_S = 1.0
SWEEP_S = 1.0
WAKE_S, WAKING_S = 60.0, 0.1  # how long who asks waits for a pool that sleeps, and how often it looks
MAX_IDLE = 100  # connections kept to one process


class Member:
    """One process of a pool. linked: its path is a link, which leads to another process when that has taken over; busy:
    requests that it has of us; turn: the number of the last one.
    """

    def __init__(self, path: str, linked: bool = False) -> None:
        self.path = path
        self._linked = linked
        self.busy = 0
        self.turn = 0
        self.idle: list[Upstream] = []
        self.connections: set[Upstream] = set()

    def __repr__(self) -> str:
        return f"<Member {self.path} busy={self.busy} idle={len(self.idle)} turn={self.turn}>"

    def kept(self) -> Upstream | None:
        """A connection that is kept and good."""
        place = self._place() if self.idle else ""
        while self.idle:
            upstream = self.idle.pop()
            if time.monotonic() - upstream.idle_since < IDLE_S and upstream.place == place:
                upstream.idle_since = 0.0
                upstream.sent = False
                return upstream
            upstream.close()
        return None

    def connect(self) -> Upstream:
        """A new connection. A unix socket connects at once or not at all. Raises OSError."""
        place = self._place()
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect(self.path)
        except OSError:
            sock.close()
            raise
        self.ring()
        upstream = Upstream(self, sock, place)
        self.connections.add(upstream)
        return upstream

    def ring(self) -> bool:
        """Tell the deployer that the pool is asked, if it sleeps: then what we have sent waits in the socket's queue.
        Whether it sleeps.
        """
        run, pool = os.path.split(self.path)
        if not os.path.exists(asleep_file(Path(run), pool.partition(".")[0])):
            return False
        bell = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        bell.setblocking(False)
        with contextlib.suppress(OSError), contextlib.closing(bell):
            bell.connect(os.path.join(run, "deployer.sock"))
            bell.send(f"POST /wake/{pool.partition('.')[0]} HTTP/1.0\r\n\r\n".encode())
        return True

    def _place(self) -> str:
        """Raises OSError while there is none."""
        return os.readlink(self.path) if self._linked else self.path

    def keep(self, upstream: Upstream) -> None:
        """The request is over, and the connection good for another."""
        if len(self.idle) >= MAX_IDLE or not upstream.reusable:
            upstream.close()
            return
        upstream.idle_since = time.monotonic()
        self.idle.append(upstream)

    def drop(self, upstream: Upstream) -> None:
        """A connection that is idle is of no use any more."""
        self.idle.remove(upstream)
        upstream.close()

    def sweep(self) -> None:
        """Close what has been idle for too long; the oldest is the first."""
        until = time.monotonic() - IDLE_S
        while self.idle and self.idle[0].idle_since <= until:
            self.drop(self.idle[0])


class Pool:
    """All processes of a pool."""

    def __init__(self, sockets: Sequence[str], linked: bool = False) -> None:
        self.members = [Member(path, linked) for path in sockets]
        self._turns = 0
        self._sweeper: Any = get_hub().loop.timer(SWEEP_S, SWEEP_S)
        self._sweeper.start(self._sweep)
        os.register_at_fork(after_in_child=self._drop_in_child)

    def take(self, anew: bool = False) -> Upstream:
        """A connection to the least busy process, that is given back; among those that are equally so they take turns.
        anew: not a kept one.

        Raises RefusedError if no process takes one: none listens, or their queues are full. For one that sleeps this
        waits.
        """
        until = time.monotonic() + WAKE_S
        while True:
            try:
                return self._take(anew)
            except RefusedError:
                asleep = [member.ring() for member in self.members]
                if not any(asleep) or time.monotonic() > until:
                    raise
            gevent.sleep(WAKING_S)

    def _take(self, anew: bool) -> Upstream:
        cause = "starting"
        for member in sorted(self.members, key=_burden):
            try:
                upstream = None if anew else member.kept()
                upstream = upstream or member.connect()
            except BlockingIOError:
                cause = "full"
                continue
            except OSError:
                continue
            member.busy += 1
            self._turns += 1
            member.turn = self._turns
            return upstream
        raise RefusedError(cause)

    def give_back(self, upstream: Upstream, keep: bool) -> None:
        """keep: whether another request may follow on it."""
        upstream.member.busy -= 1
        if keep:
            upstream.member.keep(upstream)
        else:
            upstream.close()

    def _sweep(self) -> None:
        for member in self.members:
            member.sweep()

    def _drop_in_child(self) -> None:
        self._sweeper.stop()
        for member in self.members:
            member.idle.clear()
            for upstream in member.connections:
                upstream.drop_in_child()


def _burden(member: Member) -> tuple[int, int]:
    return member.busy, member.turn
