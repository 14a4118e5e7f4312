"""One client connection: a watcher that reads, a reader that parses, and at most one runner that answers.

Everything here runs in the hub, except `send` and `read_more`, which a runner's greenlet calls and which switch to
the hub where they have to wait. Back-pressure is by not reading: the watcher stops while the reader holds more than
HIGH_WATER bytes that nobody asked for.
"""

from __future__ import annotations

import _socket
from socket import SHUT_WR
from typing import TYPE_CHECKING

import gevent
from gevent import get_hub
from greenlet import getcurrent, greenlet

from ..errors import HttpError
from ..http.reader import RequestReader
from ..http.request import Request
from ..http.response import error_answer

if TYPE_CHECKING:
    from .server import Server

RECV_BYTES = 65_536
HIGH_WATER = 131_072
MAX_DRAIN_BYTES = 1_048_576  # of a body that the app did not read; beyond it the connection ends
WRITE_TIMEOUT_S = 60.0
BODY_IDLE_TIMEOUT_S = 60.0
READ, WRITE = 1, 2


class ClientGone(OSError):
    """The client closed its connection, or took too long; what it would get goes nowhere."""


class Connection:
    """See the module's docstring. since: the hub's time of the last change of state, for the server's sweep."""

    __slots__ = (
        "_continue",
        "_eof",
        "_hub",
        "_paused",
        "_sock",
        "_waiter",
        "_watcher",
        "busy",
        "closed",
        "peer",
        "reader",
        "server",
        "since",
    )

    def __init__(self, server: Server, sock: _socket.socket, peer: tuple[str, str]) -> None:
        self.server = server
        self.peer = peer
        self.busy = False
        self.closed = False
        self._sock = sock
        self._hub = server.hub
        self._eof = False
        self._paused = False
        self._continue = False
        self._waiter: greenlet | None = None
        self.since = self._hub.loop.now()
        self.reader = RequestReader(server.settings.max_head_bytes, server.settings.max_body_bytes)
        self._watcher = self._hub.loop.io(sock.fileno(), READ)
        self._watcher.start(self._on_readable)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "busy" if self.busy else "head" if self.reader.buffered else "idle"
        return f"<Connection {state} {':'.join(self.peer)} {self.reader!r}>"

    # In the hub.

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(RECV_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._on_end()
            return
        self.reader.feed(data)
        if not self.busy:
            self.advance()
        elif self._waiter is not None:
            self._wake()
        elif self.reader.buffered > HIGH_WATER:
            self._watcher.stop()
            self._paused = True

    def _on_end(self) -> None:
        self._eof = True
        self._watcher.stop()
        if not self.busy:
            self.close()
        elif self._waiter is not None:
            self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.switch()

    def advance(self) -> None:
        """Start on the next request if its head has arrived."""
        if self.closed or self.busy:
            return
        self.since = self._hub.loop.now()
        try:
            request = self.reader.next_request()
        except HttpError as error:
            self.reject(error)
            return
        if request is not None:
            self.busy = True
            self._continue = request.expects_continue
            self.server.start(self, request)
        elif self._eof:
            self.close()

    def reject(self, error: HttpError) -> None:
        """Answer what could not be understood, and end."""
        self.server.rejected(self, error)
        try:
            self._sock.send(error_answer(error, self.server.date()))
        except OSError:
            self.close()
        else:
            self._linger()

    def finished(self, keep: bool) -> None:
        """The runner is done. keep: whether the connection may go on."""
        self.since = self._hub.loop.now()
        keep = keep and (self.reader.body_done or self._skip_body())
        self.busy = False
        if not keep:
            self._linger()
        else:
            if self._paused:
                self._paused = False
                self._watcher.start(self._on_readable)
            if self.reader.buffered or self._eof:
                # Not from here: a thousand pipelined requests would be a thousand frames deep.
                self._hub.loop.run_callback(self.advance)

    def _skip_body(self) -> bool:
        """Read over a body that the app left, if it is short and on its way."""
        skipped = 0
        try:
            while not self.reader.body_done and skipped < MAX_DRAIN_BYTES and not self._continue:
                block = self.read_more()
                skipped += len(block)
        except (OSError, HttpError):
            return False
        return self.reader.body_done

    def _linger(self) -> None:
        """Close so that the client can still read the answer: half, then whole when it closes or the sweep finds us
        old.
        """
        if self.closed:
            return
        if self._eof:
            self.close()
            return
        try:
            self._sock.shutdown(SHUT_WR)
        except OSError:
            self.close()
            return
        self._watcher.stop()
        self._watcher.start(self._on_lingering)
        self.server.lingering(self)

    def _on_lingering(self) -> None:
        try:
            data = self._sock.recv(RECV_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()

    def close(self, abort: bool = False) -> None:
        """End at once. abort: with a reset, so that a broken answer is not taken for a complete one."""
        if self.closed:
            return
        self.closed = True
        self._watcher.stop()
        self._watcher.close()
        self.reader.close()
        if abort:
            self._sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._sock.close()
        self.server.forget(self)
        if self._waiter is not None:
            self._eof = True
            self._wake()

    # In a runner's greenlet.

    @property
    def client_gone(self) -> bool:
        """Whether the client has closed its side, as far as is known."""
        return self._eof or self.closed

    def send(self, data: bytes) -> None:
        """Send all of data, waiting while the client does not take it. Raises ClientGone."""
        if self.closed:
            raise ClientGone("the connection is closed")
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise ClientGone(str(error)) from None
        if sent != len(data):
            self._send_rest(memoryview(data)[sent:])

    def _send_rest(self, data: memoryview) -> None:
        watcher = self._hub.loop.io(self._sock.fileno(), WRITE)
        try:
            while data:
                with gevent.Timeout(WRITE_TIMEOUT_S, ClientGone("the client takes nothing")):
                    self._hub.wait(watcher)
                if self.closed:
                    raise ClientGone("the connection is closed")
                try:
                    data = data[self._sock.send(data) :]
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise ClientGone(str(error)) from None
        finally:
            watcher.close()

    def read_more(self) -> bytes:
        """The next bytes of the body, b'' at its end. Raises ClientGone when it ends early, HttpError when it is
        malformed.
        """
        if self._continue:
            self._continue = False
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        while True:
            data = self.reader.read_body()
            if data or self.reader.body_done:
                return data
            if self._eof:
                raise ClientGone("the body ended early")
            if self._paused:
                self._paused = False
                self._watcher.start(self._on_readable)
            self._waiter = getcurrent()
            with gevent.Timeout(BODY_IDLE_TIMEOUT_S, ClientGone("the body stopped coming")):
                try:
                    get_hub().switch()
                finally:
                    self._waiter = None

    def body_at_hand(self, request: Request) -> bytes | None:
        """The whole body if it is there already, else None."""
        if request.length > self.reader.buffered:
            return None
        return self.reader.read_body() if request.length else None
