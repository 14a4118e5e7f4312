"""Connections to a pool: unix sockets, each to one of its processes, kept for the next request.

A greenlet calls `send` and `receive`; where they have to wait they switch to the hub. What this file must not know:
HTTP, and what becomes of a request whose connection breaks.

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
from socket import SHUT_RDWR, SHUT_WR
from typing import Any

from gevent import get_hub
from greenlet import getcurrent, greenlet

from ..errors import RefusedError
from .peer import has_gone
from .transfer import READ, WRITE

IDLE_S = 1.0
SWEEP_S = 1.0
MAX_IDLE = 100  # connections kept to one process
RECV_BYTES = 98_304  # an answer of 64 KiB with its head at once: 40 us less than in two pieces


class UpstreamGone(OSError):
    """The connection to the pool has ended, on whatever side."""


class Upstream:
    """One connection, already made. sent: anything of this request; place: where the member's path led to then."""

    __slots__ = (
        "_ended", "_hub", "_paused", "_reading", "_sock", "_watcher", "_writing", "closed", "idle_since", "member",
        "place", "sent",
    )  # fmt: skip

    def __init__(self, member: Member, sock: _socket.socket, place: str) -> None:
        self.member = member
        self.place = place
        self.closed = self.sent = False
        self.idle_since = 0.0  # 0: in use
        self._sock = sock
        self._hub = get_hub()
        self._reading: greenlet | None = None
        self._writing: greenlet | None = None
        self._ended = False  # our half is closed
        self._paused = False  # the watcher is stopped: something has come that nobody waits for
        self._watcher = self._hub.loop.io(sock.fileno(), READ)
        self._watcher.start(self._on_readable)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "idle" if self.idle_since else "busy"
        return f"<Upstream {state} to {self.member.path}>"

    def _on_readable(self) -> None:
        reading = self._reading
        if reading is not None:
            self._reading = None
            reading.switch()
        elif self.idle_since:
            self.member.drop(self)
        else:
            self._watcher.stop()
            self._paused = True

    def receive(self) -> bytes:
        """What has come, at least a byte; b"" at the end. Raises UpstreamGone."""
        while True:
            if self.closed:
                raise UpstreamGone("the connection is closed")
            if self._paused:
                self._paused = False
                self._watcher.start(self._on_readable)
            self._reading = current = getcurrent()
            try:
                self._hub.switch()
            finally:
                if self._reading is current:
                    self._reading = None
            if self.closed:
                raise UpstreamGone("the connection is closed")
            try:
                return self._sock.recv(RECV_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                raise UpstreamGone(str(error)) from None

    def send(self, data: bytes) -> None:
        """Send all of data, waiting while the pool does not take it. Raises UpstreamGone."""
        left = memoryview(data)
        while True:
            if self.closed:
                raise UpstreamGone("the connection is closed")
            try:
                count = self._sock.send(left)
            except BlockingIOError:
                count = 0
            except OSError as error:
                raise UpstreamGone(str(error)) from None
            self.sent = self.sent or count > 0
            left = left[count:]
            if not left:
                return
            self._wait_until_writable()

    def _wait_until_writable(self) -> None:
        watcher = self._hub.loop.io(self._sock.fileno(), WRITE)
        self._writing = getcurrent()
        try:
            watcher.start(self._writing.switch)
            self._hub.switch()
        finally:
            self._writing = None
            watcher.stop()
            watcher.close()

    def end_sending(self) -> None:
        """Close our half: nothing more is sent."""
        self._ended = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(SHUT_WR)

    @property
    def reusable(self) -> bool:
        """Behind an answer: whether nothing has come that belongs to none, and more may be sent."""
        return not (self.closed or self._paused or self._ended)

    def gone(self) -> bool:
        """Whether the pool has closed its end wholly, and not only its sending half."""
        return self.closed or has_gone(self._sock)

    def close(self) -> None:
        """End at once, whoever uses it: a greenlet that waits gets UpstreamGone."""
        if self.closed:
            return
        with contextlib.suppress(OSError):
            self._sock.shutdown(SHUT_RDWR)  # also where a child of somebody's fork holds it
        self._drop()
        if self._reading is not None or self._writing is not None:
            self._hub.loop.run_callback(self._wake)

    def _wake(self) -> None:
        for waiting in (self._reading, self._writing):
            if waiting is not None:
                waiting.switch()

    def _drop(self) -> None:
        self.closed = True
        self._watcher.stop()
        self._watcher.close()
        self._sock.close()
        self.member.connections.discard(self)

    def drop_in_child(self) -> None:
        """After a fork: the connection is the parent's."""
        self.closed = True
        self._watcher.stop()
        self._sock.close()


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
        upstream = Upstream(self, sock, place)
        self.connections.add(upstream)
        return upstream

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

        Raises RefusedError if no process takes one: none listens, or their queues are full.
        """
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
