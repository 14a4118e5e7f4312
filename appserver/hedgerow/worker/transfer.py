"""The bytes of one client connection: `send` and `read_more`, and how long they may have to wait.

A runner's greenlet calls them; where they have to wait they switch to the hub. No wait has a timer of its own: it notes
until when, and the server's sweep ends it. What this file must not know: heads, and what follows an answer.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import time
from collections.abc import Callable
from socket import SHUT_WR, socket
from typing import TYPE_CHECKING

import gevent
from greenlet import getcurrent, greenlet

from ..errors import HttpError
from ..http.reader import RequestReader
from ..pep3333.bridge import Exchange
from .peer import has_gone

if TYPE_CHECKING:
    from .job import Job
    from .server import Server

TURN_S = 0.01  # an app that computes between its blocks gives the others a turn this often
READ, WRITE = 1, 2
# What a client that sent `Expect: 100-continue` waits for: 100 Continue at the app's first read; or no longer, since
# the answer has begun without the body.
NOTHING, INVITATION, TOO_LATE = 0, 1, 2


class ClientGone(OSError):
    """The client closed its connection, or took too long; what it would get goes nowhere."""


class BrokenOff(OSError):
    """Who answers in the app's stead has broken off midway, and has told why: so does the answer."""


class BodyError(HttpError, OSError):
    """The body is malformed or will not come whole: to the app an OSError, as from any file; to the client the answer
    that it tells, unless the app gives one.
    """


def _end_wait(waiting: greenlet) -> None:
    if not waiting.dead:  # a time-out of the app's may have been quicker
        waiting.throw(ClientGone("the request is over, and its body with it"))


class Transfer:
    """See the module's docstring.

    until: the hub's time at which the sweep has to look at this connection; 0: at its next turn, since a wait or a
    state has begun. So a request need not ask for the time.
    """

    # fmt: off
    __slots__ = (
        "_begun", "_body_until", "_eof", "_expects", "_farewell", "_hub", "_keep", "_paused", "_read_until", "_reading",
        "_sock", "_torn", "_unread", "_watch_end", "_watcher", "_write_until", "_writing",
        "answering", "closed", "job", "peer", "reader", "server", "until",
    )
    # fmt: on

    def __init__(self, server: Server, sock: _socket.socket, peer: tuple[str, str]) -> None:
        settings = server.settings
        self.server = server
        self.peer = peer
        self.reader = RequestReader(
            settings.max_head_bytes,
            settings.max_body_bytes,
            settings.max_target_bytes,
            settings.max_headers,
            server.environ,
        )
        self.closed = False
        self.answering: Exchange | None = None  # what is being sent
        self.job: Job | None = None  # what is being served
        self.until = 0.0
        self._sock = sock
        self._hub = server.hub
        self._eof = False  # the client has closed its side
        self._paused = False  # the watcher is stopped: enough is buffered
        self._torn = False  # a send was broken off: what comes next would be taken for the rest
        self._keep = False  # a further request may follow this one
        self._begun = False  # the answer has
        self._expects = NOTHING
        self._unread = 0  # bytes of the body that the app has not got, if its length is known
        self._body_until = 0.0
        self._reading: greenlet | None = None  # who waits for the body, and until when
        self._read_until = 0.0
        self._farewell: Callable[[], object] | None = None  # of who has taken the socket
        self._watch_end: Callable[[], object] | None = None  # told when the client has closed its side
        self._writing: greenlet | None = None  # who waits for the client to take something, and until when
        self._write_until = 0.0
        self._watcher = self._hub.loop.io(sock.fileno(), READ)
        self._watcher.start(self._on_readable)

    # In the hub.

    def _on_readable(self) -> None:
        raise NotImplementedError

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._watcher.start(self._on_readable)

    def _wake(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.switch()

    def _wake_all(self) -> None:
        self._wake()
        if self._writing is not None:
            self._writing.switch()

    def _end_reading(self) -> None:
        """The request is over, and a greenlet that its app has left still waits for the body: what comes is not its."""
        reading, self._reading = self._reading, None
        if reading is not None:
            self._hub.loop.run_callback(_end_wait, reading)

    def _end_waits(self, now: float) -> None:
        """The sweep's: what has lasted too long ends with an error in the greenlet that waits."""
        if self._writing is not None and now > self._write_until:
            self._writing.throw(ClientGone("the client takes nothing"))
        if self._reading is not None and now > self._read_until:
            self._keep = False
            self._reading.throw(BodyError(408, "The body did not arrive in time."))

    # In a runner's greenlet.

    def gone(self) -> bool:
        """Whether the client has closed its end; asked by apps that would rather not work in vain."""
        return self.closed or self._torn or has_gone(self._sock, self.server.behind)

    def waits(self) -> bool:
        """Whether the app waits for its client just now: for more of the body, or until it takes what is sent."""
        return self._reading is not None or self._writing is not None

    def watch_end(self, callback: Callable[[], object]) -> None:
        """During this request: callback is called in the hub when the client has closed its side."""
        if self._eof:
            self._hub.loop.run_callback(callback)
        else:
            self._watch_end = callback

    def send(self, data: bytes, interim: bool = False) -> None:
        """Send all of data, waiting while the client does not take it. Raises ClientGone. interim: of a 1xx answer."""
        begun = self._begun
        if not begun and not interim:
            self._begin()
        self._send(data, b"")
        # Behind the send, never before it: who comes back from a turn may find the request over, or a time-out. And who
        # sends but once is about to give a turn anyway.
        if begun and time.time() - self._hub.loop.now() > TURN_S:
            gevent.sleep(TURN_S / 10)  # not 0: the hub would look at its callbacks, but at no socket

    def send_both(self, head: bytes, body: bytes) -> None:
        """`send` of a head with the first of its body, in one call and without a copy of them."""
        self._begin()
        self._send(head, body)

    def _begin(self) -> None:
        self._begun = True
        if self._expects == INVITATION:
            self._expects = TOO_LATE

    def _send(self, data: bytes, more: bytes) -> None:
        if self.closed or self._torn:
            raise ClientGone("the connection is closed")
        try:
            sent = self._sock.sendmsg((data, more)) if more else self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._torn = True
            raise ClientGone(str(error)) from None
        if sent < len(data):
            self._send_rest(memoryview(data + more)[sent:])
        elif sent < len(data) + len(more):
            self._send_rest(memoryview(more)[sent - len(data) :])

    def _send_rest(self, data: memoryview) -> None:
        self._torn = True  # until all is sent: an app's own time-out may end the wait
        timeout_s = self.server.settings.write_timeout_s
        watcher = self._hub.loop.io(self._sock.fileno(), WRITE)
        self._writing = current = getcurrent()
        try:
            watcher.start(current.switch)
            self._write_until = time.time() + timeout_s
            while data:
                self.until = 0.0
                self._hub.switch()
                if self.closed:
                    raise ClientGone("the connection is closed")
                try:
                    data = data[self._sock.send(data) :]
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise ClientGone(str(error)) from None
                self._write_until = time.time() + timeout_s
        finally:
            self._writing = None
            watcher.stop()
            watcher.close()
        self._torn = False

    def read_more(self) -> bytes:
        """The next bytes of the body, b"" at its end.

        Raises BodyError when it is malformed, ends early or does not come in time, ClientGone when the connection is
        closed, RuntimeError for a second reader.
        """
        if self._expects:
            self._invite()
        while True:
            try:
                data = self.reader.read_body()
            except HttpError as error:
                raise self._body_error(error.status, error.reason) from None
            if data or self.reader.body_done:
                self._unread -= len(data)
                return data
            if self.closed:
                raise ClientGone("the connection is closed")
            if self._eof:
                raise self._body_error(400, "The body ended early.")
            if self._reading is not None:
                raise RuntimeError("two greenlets read the body of one request")
            self._wait_to_read(min(time.time() + self.server.settings.body_idle_timeout_s, self._body_until))

    def receive(self, idle_s: float) -> bytes:
        """What comes on a connection that was switched to another protocol; b"" when the client has closed its side.

        Raises BodyError when nothing comes for so long, ClientGone when the connection is closed.
        """
        while True:
            data = self.reader.take()
            if data or (self._eof and not self.closed):
                return data
            if self.closed:
                raise ClientGone("the connection is closed")
            self._wait_to_read(time.time() + idle_s)

    def hand_over(self, farewell: Callable[[], object] | None = None) -> tuple[socket, bytes]:
        """A socket of its own for who speaks another protocol with the client from now on, and what has come behind
        the request. Nothing is read here any more before the request is over; then the connection ends. farewell: see
        `say_farewell`.
        """
        if self.closed or self._torn:
            raise ClientGone("the connection is closed")
        self._watcher.stop()
        self._farewell = farewell
        if farewell is not None and self.server.draining:
            self._hub.loop.run_callback(self.say_farewell)
        return socket(fileno=os.dup(self._sock.fileno())), self.reader.take()

    def say_farewell(self) -> None:
        """In the hub: the server is about to end. Who has taken the socket is told, once, and must not wait."""
        farewell, self._farewell = self._farewell, None
        if farewell is None:
            return
        try:
            farewell()
        except Exception as error:
            self.server.log.tell("error", f"a farewell ended in {type(error).__name__}", error)

    def end_sending(self) -> None:
        """Close our half of a connection that was switched."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(SHUT_WR)

    def _wait_to_read(self, until: float) -> None:
        self._resume()
        self._read_until = until
        self._reading = current = getcurrent()
        self.until = 0.0
        try:
            self._hub.switch()
        finally:
            if self._reading is current:
                self._reading = None

    def _body_error(self, status: int, reason: str) -> BodyError:
        self._keep = False  # nobody knows where the next request begins
        return BodyError(status, reason)

    def _invite(self) -> None:
        """100 Continue, if it is not too late for it: not inside an answer, and not when the body comes anyway."""
        if self._expects == TOO_LATE:
            raise ClientGone("the answer has begun before the body was asked for")
        self._expects = NOTHING
        if not self.reader.buffer:
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
