"""One client connection, from its first byte to its end: which request is next, whether another may follow, how it
closes. At most one request of a connection exists at a time; what comes behind it stays bytes.

Everything here runs in the hub. Back-pressure is by not reading: the watcher stops while the reader holds more than
HIGH_WATER bytes that nobody asked for. An answer whose request was not read to its end must still reach the client: a
short rest is read over, and in front of a long one the connection closes lingering: our side first, then what arrives
is thrown away, until the client closes or its time is up. (A socket closed with unread bytes is reset, and the reset
overtakes the answer.)
"""

from __future__ import annotations

import _socket
import contextlib
from collections.abc import Callable
from socket import SHUT_WR
from typing import TYPE_CHECKING

from ..errors import HttpError
from ..http.request import NONE, Request
from ..http.response import LAST_CHUNK, error_answer
from .clock import http_date
from .transfer import INVITATION, NOTHING, Transfer

if TYPE_CHECKING:
    from .server import Server

RECV_BYTES = 65_536
RECV_HEAD_BYTES = 8192  # a head is seldom larger, and room that is not filled costs too (0.3 us of 15)
HIGH_WATER = 65_536
SILENCE_S = 2.0  # a client that is refused, or whose rest is thrown away, may be silent for this long


class Connection(Transfer):
    """See the module's docstring.

    busy: a request is being answered; surplus: one connection too many: its first request is to be refused, and there
    is no second.
    """

    __slots__ = ("_ending", "_left", "_pending", "_skipping", "busy", "surplus")

    def __init__(self, server: Server, sock: _socket.socket, peer: tuple[str, str], surplus: bool = False) -> None:
        super().__init__(server, sock, peer)
        self.busy = False
        self.surplus = surplus
        self._left = 1 if surplus else server.settings.max_requests_per_connection  # that never gets to 0 from 0
        self._pending = False  # `_advance_later` is scheduled
        self._skipping = False  # the answer is complete, the rest of the request's body is read over
        self._ending = False  # our side is closed, or soon will be: no further request

    def __repr__(self) -> str:
        state = "closed" if self.closed else "busy" if self.busy else "head" if self.reader.buffer else "idle"
        return f"<Connection {state} {':'.join(self.peer)} {self.reader!r}>"

    # From bytes to requests.

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(RECV_BYTES if self.busy else RECV_HEAD_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        reader = self.reader
        if not data:
            self._on_end()
        elif not self.busy and not self._pending:
            if not reader.buffer:
                self.until = 0.0  # a head begins; its time does not begin anew with each byte
            reader.feed(data)
            self._advance()
        else:
            reader.feed(data)
            if self._reading is not None:
                self._wake()
            if len(reader.buffer) > HIGH_WATER and (self.busy or self._pending) and not self._paused:
                self._watcher.stop()
                self._paused = True

    def _on_end(self) -> None:
        """The client has closed its side. It still gets the answers to what it has asked."""
        self._eof = True
        self._watcher.stop()
        if self._watch_end is not None:
            self._watch_end()
        if self._reading is not None:
            self._wake()
        elif not self.busy and not self._pending:
            self._end_of_requests()

    def _end_of_requests(self) -> None:
        if self.reader.buffer:
            self.reject(HttpError(400, "The request ended early."))
        else:
            self.close()

    def _advance(self) -> None:
        """Start on the next request if its head has arrived."""
        try:
            request = self.reader.next_request()
        except HttpError as error:
            self.reject(error)
            return
        if request is None:
            if self._eof:
                self._end_of_requests()
            else:
                self._resume()
            return
        self.busy = True
        self._begun = False
        self._left -= 1
        self._keep = request.keep_alive and self._left != 0
        if request.framing is not NONE:
            self._expect_body(request)
        self.server.start(self, request)

    def _expect_body(self, request: Request) -> None:
        self._expects = INVITATION if request.expects_continue else NOTHING
        self._unread = request.length
        limit_s = self.server.settings.body_timeout_s
        self._body_until = self._hub.loop.now() + limit_s if limit_s else float("inf")

    def _schedule(self) -> None:
        """The next request, but not from here: a thousand pipelined ones would be a thousand frames deep."""
        self._pending = True
        self._hub.loop.run_callback(self._advance_later)

    def _advance_later(self) -> None:
        self._pending = False
        if not self.closed and not self.busy and not self._ending:
            self._advance()

    def reject(self, error: HttpError) -> None:
        """Answer what could not be understood, and end."""
        self.server.access.rejected(self, error)
        self._keep = True  # who was not understood has not said that nothing follows: close lingering
        try:
            self._sock.send(error_answer(error, http_date()))
        except OSError:
            self.close()
        else:
            self._linger()

    # Behind an answer.

    def may_keep(self) -> bool:
        """Whether a further request may follow: asked when the answer's head is made."""
        if not self._keep or self._expects or self.server.draining:
            return False
        return not self._unread or self._unread <= self.server.settings.max_drain_bytes or self.reader.body_done

    def finished(self, complete: bool, keep: bool) -> None:
        """The runner is done. complete: all of the answer was sent; keep: the connection may go on behind it."""
        if self._reading is not None:
            self._end_reading()
        if not complete or self._torn:
            self.close(abort=True)
            return
        self.busy = False
        self.answering = self.job = None
        self._watch_end = self._farewell = None
        self.until = 0.0
        reader = self.reader
        if not keep:  # and never else, also while we drain: the client may send its next request this moment
            self._linger()
        elif not reader.body_done:
            self._skip_body()
        elif reader.buffer or self._eof:
            self._schedule()
        else:
            self._resume()

    def _skip_body(self) -> None:
        """Read over what the app left of a body. Of a chunked one nobody knows how long it is before it ends."""
        if self._eof or not self._keep:
            self._linger()
            return
        if self._unread <= 0:
            self._unread = self.server.settings.max_drain_bytes
        self._skipping = True
        self._read_until = self._hub.loop.now() + self.server.settings.linger_s
        self._watch(self._on_skipping)
        self._skip()

    def _on_skipping(self) -> None:
        data = self._receive()
        if data:
            self._unread -= len(data)  # as on the wire: a chunk of one byte may have a line of a thousand
            self.until = 0.0
            self.reader.feed(data)
            self._skip()
        elif data is not None:
            self.close()

    def _skip(self) -> None:
        reader = self.reader
        try:
            while reader.read_body():
                pass
        except HttpError:
            self._linger()
            return
        if reader.body_done:
            self._skipping = False
            self._watch(self._on_readable)
            if reader.buffer:
                self._schedule()
        elif self._unread < 0:
            self._linger()

    def _linger(self) -> None:
        """Close so that the client can still read the answer: see the module's docstring."""
        self._ending = True
        self._skipping = False
        if self.closed:
            return
        # Who has said itself that it is the last request sends no more.
        said_last = not self._keep and self._left and self.reader.body_done and not self.reader.buffer
        if self._eof or said_last:
            self.close()
            return
        try:
            self._sock.shutdown(SHUT_WR)
        except OSError:
            self.close()
            return
        self.until = 0.0
        self._read_until = self._hub.loop.now() + self.server.settings.linger_s
        self._watch(self._on_lingering)

    def _on_lingering(self) -> None:
        data = self._receive()
        if data:
            self.until = 0.0
        elif data is not None:
            self.close()

    def _watch(self, callback: Callable[[], None]) -> None:
        self._paused = False
        self._watcher.stop()
        self._watcher.start(callback)

    def _receive(self) -> bytes | None:
        """What has arrived; b"" at the end, None for a false alarm."""
        try:
            return self._sock.recv(RECV_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    # The end.

    def review(self, now: float) -> None:
        """The sweep's: note until when this state may last, or end it."""
        if self.busy:
            self._end_waits(now)
            return
        limit_s = self._limit_s(now)
        if not self.until and limit_s > 0:
            self.until = now + limit_s
        elif self.reader.buffer and not self._ending and not self._skipping:
            self.reject(HttpError(408, "The request did not arrive in time."))
        else:
            self.close()

    def _limit_s(self, now: float) -> float:
        if self._ending or self._skipping:
            return min(SILENCE_S, self._read_until - now)
        if self.reader.buffer:
            return self.server.settings.head_timeout_s
        return SILENCE_S if self.surplus else self.server.settings.keepalive_s

    def close(self, abort: bool = False) -> None:
        """End at once. abort: with a reset, so that a broken answer is not taken for a complete one."""
        if self.closed:
            return
        self.closed = self._eof = True
        self.busy = False
        self.answering = self.job = self._watch_end = self._farewell = None
        self._watcher.stop()
        self._watcher.close()
        self.reader.close()
        if abort:
            self._sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._sock.close()
        self.server.forget(self)
        if self._reading is not None or self._writing is not None:
            # In the hub, whoever calls this: the greenlet that waits never switches back to its caller.
            self._hub.loop.run_callback(self._wake_all)

    def cut(self) -> None:
        """The worker ends. An event stream ends as a whole one, so that its client comes again; any other answer that
        is under way must not be taken for a complete one.
        """
        if self.answering is not None and self.answering.streams_events() and not self._torn:
            with contextlib.suppress(OSError):
                self._sock.send(LAST_CHUNK)
            self.close()
        else:
            self.close(abort=self.busy)

    def drop_in_child(self) -> None:
        """After a fork: the connection is the parent's. Nothing is sent, the descriptor is closed."""
        self.closed = True
        self._watcher.stop()
        self._sock.close()
