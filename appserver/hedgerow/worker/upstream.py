"""One connection to a process of a pool. A greenlet calls `send` and `receive`; where they have to wait they switch to
the hub. What this file must not know: HTTP, and what becomes of a request whose connection breaks.
"""

from __future__ import annotations

import _socket
import contextlib
from socket import SHUT_RDWR, SHUT_WR
from typing import TYPE_CHECKING

from gevent import get_hub
from greenlet import getcurrent, greenlet

from .peer import has_gone
from .transfer import READ, WRITE

if TYPE_CHECKING:
    from .members import Member

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
