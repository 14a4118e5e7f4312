"""One client connection: a watcher that reads, a reader that parses, and at most one runner that answers.

Everything here runs in the hub, except `send` and `read_more`, which a runner's greenlet calls and which switch to
the hub where they have to wait. Back-pressure is by not reading: the watcher stops while the reader holds more than
HIGH_WATER bytes that nobody asked for.
"""

from __future__ import annotations

import _socket
import time
from socket import SHUT_WR
from typing import TYPE_CHECKING

import gevent
from greenlet import getcurrent, greenlet

from ..errors import HttpError
from ..http.reader import RequestReader
from ..http.response import error_answer
from .peer import has_gone

if TYPE_CHECKING:
    from .server import Server

RECV_BYTES = 65_536
HIGH_WATER = 65_536
MAX_DRAIN_BYTES = 1_048_576  # of a body that the app did not read; beyond it the connection ends
WRITE_TIMEOUT_S = 60.0
BODY_IDLE_TIMEOUT_S = 60.0
TURN_S = 0.01  # an app that computes between its blocks gives the others a turn this often
READ, WRITE = 1, 2
# What a client that sent `Expect: 100-continue` waits for: 100 Continue at the app's first read; or no longer, since
# the answer has begun without the body.
NOTHING, INVITATION, TOO_LATE = 0, 1, 2


class ClientGone(OSError):
    """The client closed its connection, or took too long; what it would get goes nowhere."""


class Connection:
    """See the module's docstring. since: the hub's time of the last change of state, for the server's sweep."""

    # fmt: off
    __slots__ = (
        "_ending", "_eof", "_expects", "_hub", "_keep", "_paused", "_pending", "_sock", "_torn", "_waiter", "_watcher",
        "busy", "closed", "peer", "reader", "server", "since",
    )
    # fmt: on

    def __init__(self, server: Server, sock: _socket.socket, peer: tuple[str, str]) -> None:
        self.server = server
        self.peer = peer
        self.busy = False
        self.closed = False
        self._sock = sock
        self._hub = server.hub
        self._eof = False  # the client has closed its side
        self._paused = False  # the watcher is stopped: enough is buffered
        self._pending = False  # `advance` is scheduled
        self._ending = False  # our side is closed, or soon will be: no further request
        self._torn = False  # a send was broken off: what comes next would be taken for the rest
        self._expects = NOTHING
        self._keep = False  # the client allows a further request
        self._waiter: greenlet | None = None
        self.since = self._hub.loop.now()
        self.reader = RequestReader(server.settings.max_head_bytes, server.settings.max_body_bytes)
        self._watcher = self._hub.loop.io(sock.fileno(), READ)
        self._watcher.start(self._on_readable)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "busy" if self.busy else "head" if self.reader.buffered else "idle"
        return f"<Connection {state} {':'.join(self.peer)} {self.reader!r}>"

    # In the hub.

    def _receive(self) -> bytes | None:
        """What has arrived; b"" at the end, None for a false alarm."""
        try:
            return self._sock.recv(RECV_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _on_readable(self) -> None:
        data = self._receive()
        if not data:
            if data is not None:
                self._on_end()
            return
        reader = self.reader
        if not self.busy and not reader.buffered:
            self.since = self._hub.loop.now()  # a head begins; its time does not begin anew with each byte
        reader.feed(data)
        if self._waiter is not None:
            self._wake()
        elif not self.busy and not self._pending:
            self.advance()
        if reader.buffered > HIGH_WATER and not self.closed and not self._paused and not self._ending:
            self._watcher.stop()
            self._paused = True

    def _on_end(self) -> None:
        self._eof = True
        self._watcher.stop()
        if self._waiter is not None:
            self._wake()
        elif not self.busy and not self._pending:
            self.close()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.switch()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._watcher.start(self._on_readable)

    def advance(self) -> None:
        """Start on the next request if its head has arrived."""
        self._pending = False
        if self.closed or self.busy or self._ending:
            return
        try:
            request = self.reader.next_request()
        except HttpError as error:
            self.reject(error)
            return
        if request is not None:
            self.busy = True
            self._expects = INVITATION if request.expects_continue else NOTHING
            self._keep = request.keep_alive
            self.server.start(self, request)
        elif self._eof:
            self.close()
        else:
            self._resume()

    def reject(self, error: HttpError) -> None:
        """Answer what could not be understood, and end."""
        self.server.rejected(self, error)
        try:
            self._sock.send(error_answer(error, self.server.date()))
        except OSError:
            self.close()
        else:
            self._linger()

    def finished(self, complete: bool, keep: bool) -> None:
        """The runner is done. complete: all of the answer was sent; keep: the connection may go on behind it."""
        self.since = self._hub.loop.now()
        if not complete or self._torn:
            self.close(abort=True)
            return
        keep = keep and (self.reader.body_done or self._skip_body())
        self.busy = False
        if not keep or (self.server.draining and not self.reader.buffered):
            self._linger()
            return
        if self.reader.buffered <= HIGH_WATER:
            self._resume()
        if self.reader.buffered or self._eof:
            # Not from here: a thousand pipelined requests would be a thousand frames deep.
            self._pending = True
            self._hub.loop.run_callback(self.advance)

    def _skip_body(self) -> bool:
        """Read over a body that the app left, if it is short and on its way."""
        skipped = 0
        try:
            while not self.reader.body_done and skipped < MAX_DRAIN_BYTES:
                skipped += len(self.read_more())
        except (OSError, HttpError):
            return False
        return self.reader.body_done

    def _linger(self) -> None:
        """Close so that the client can still read the answer: half, then whole when it closes or the sweep finds us."""
        self._ending = True
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
        if self._receive() == b"":
            self.close()

    def close(self, abort: bool = False) -> None:
        """End at once. abort: with a reset, so that a broken answer is not taken for a complete one."""
        if self.closed:
            return
        self.closed = self._eof = True
        self.busy = False
        self._watcher.stop()
        self._watcher.close()
        self.reader.close()
        if abort:
            self._sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._sock.close()
        self.server.forget(self)
        if self._waiter is not None:
            # In the hub, whoever calls this: the greenlet that waits never switches back to its caller.
            self._hub.loop.run_callback(self._wake)

    def drop_in_child(self) -> None:
        """After a fork: the connection is the parent's. Nothing is sent, the descriptor is closed."""
        self.closed = True
        self._watcher.stop()
        self._sock.close()

    # In a runner's greenlet.

    def may_keep(self) -> bool:
        """Whether a further request may follow: asked when the answer's head is made."""
        return self._keep and not self._expects and not self.server.draining

    def gone(self) -> bool:
        """Whether the client has closed its end; asked by apps that would rather not work in vain."""
        return self.closed or self._torn or has_gone(self._sock)

    def send(self, data: bytes, interim: bool = False) -> None:
        """Send all of data, waiting while the client does not take it. Raises ClientGone. interim: of a 1xx answer."""
        if self.closed or self._torn:
            raise ClientGone("the connection is closed")
        if self._expects == INVITATION and not interim:
            self._expects = TOO_LATE
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._torn = True
            raise ClientGone(str(error)) from None
        if sent != len(data):
            self._send_rest(memoryview(data)[sent:])
        if time.time() - self._hub.loop.now() > TURN_S:
            gevent.sleep(TURN_S / 10)  # not 0: the hub would look at its callbacks, but at no socket

    def _send_rest(self, data: memoryview) -> None:
        self._torn = True  # until all is sent: an app's own time-out may end the wait
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
        self._torn = False

    def read_more(self) -> bytes:
        """The next bytes of the body, b"" at its end.

        Raises ClientGone when it ends early, HttpError when it is malformed, RuntimeError for a second reader.
        """
        if self._expects:
            self._invite()
        while True:
            data = self.reader.read_body()
            if data or self.reader.body_done:
                return data
            if self._eof:
                raise ClientGone("the body ended early")
            if self._waiter is not None:
                raise RuntimeError("two greenlets read the body of one request")
            self._resume()
            self._waiter = getcurrent()
            with gevent.Timeout(BODY_IDLE_TIMEOUT_S, ClientGone("the body stopped coming")):
                try:
                    self._hub.switch()
                finally:
                    self._waiter = None

    def _invite(self) -> None:
        """100 Continue, if it is not too late for it: not inside an answer, and not when the body comes anyway."""
        if self._expects == TOO_LATE:
            raise ClientGone("the answer has begun before the body was asked for")
        self._expects = NOTHING
        if not self.reader.buffered:
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
