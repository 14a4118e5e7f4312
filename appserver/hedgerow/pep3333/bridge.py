"""The server side of PEP 3333: call the app, and send what comes back, to the letter of the framing.

One `Exchange` a request. What it must not know: sockets, greenlets and clocks. It knows the client by its verbs, of
which `send` waits where it has to and raises OSError when the client has gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from ..http.request import Request
from ..http.response import CHUNKED, LAST_CHUNK, LENGTH, NONE, Headers, ResponseHead, chunk, early_hints, exact
from .client import Client
from .environ import Environ, FileWrapper

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

UNBUFFERED = "X-Accel-Buffering: no"  # to nginx: each event is due now; it goes no further
MAX_JOINED_BYTES = 8192  # a larger block is not copied behind its head; up to here the copy is the cheaper way


# Of a head with X-Accel-Redirect, or an answer by `wsgi.file_wrapper`: environ, the status, the head, the wrapper or
# None. It returns the application that answers instead, with lines of the server's own, or None: the answer is sent as
# it is. May raise AppError.
Files = Callable[[Environ, str, ResponseHead, "FileWrapper | None"], "tuple[Application, tuple[str, ...]] | None"]

# Of the status, the head, and the body's length where it is known: further lines of the server's own.
Lines = Callable[[str, ResponseHead, "int | None"], "tuple[str, ...]"]


class AppError(Exception):
    """The app broke the rules of PEP 3333; the message says which."""


class Exchange:
    """One request's answer, from start_response to the last byte.

    request: what is answered; client: who gets it; date: for the Date field; own_headers: whole lines of the server's
    own, which no app can send; asked: for more such lines when the app's head is made; hints: whether early hints are
    sent; files: who may have a file of the app's sent in another way. Afterwards: status (text, or '' if nothing was
    sent), sent_bytes of body, complete (whether all that the head promised was sent), close (whether the connection has
    to end).
    """

    # fmt: off
    __slots__ = (
        "_asked", "_client", "_date", "_files", "_hints", "_http11", "_left", "_method", "_over", "_own_headers",
        "_said", "_status", "_switched", "close", "complete", "head", "sent_bytes", "status",
    )
    # fmt: on

    def __init__(
        self,
        request: Request,
        client: Client,
        date: str,
        own_headers: tuple[str, ...] = (),
        asked: Lines | None = None,
        hints: bool = True,
        files: Files | None = None,
    ) -> None:
        # Not the request: environ, which it holds, holds our methods, and a cycle waits for the collector.
        self._method = request.method
        self._http11 = request.http11
        self._client = client
        self._date = date
        self._own_headers = own_headers
        self._asked = asked
        self._files = files
        self._hints = hints and request.http11
        self._status = ""  # by the app's last start_response
        self.status = ""
        self._said: ResponseHead | None = None
        self._left: int | None = None  # bytes that the head promised and that are not sent
        self._over = False
        self._switched = False
        self.head: ResponseHead | None = None  # as sent
        self.close = True
        self.complete = False
        self.sent_bytes = 0

    def run(self, app: Application, environ: Environ) -> None:
        """Call the app and send its answer. `close()` of what it returned is called on every path, once.

        Raises whatever the app raises, AppError when it broke the rules, OSError when the client has gone.
        """
        environ["wsgi.early_hints"] = self.early_hints
        environ["hedgerow.client_disconnected"] = self.client_disconnected
        try:
            blocks = app(environ, self.start_response)
            try:
                said = self._said
                if self._switched:
                    pass
                elif self._files is not None and said is not None and (said.redirect or type(blocks) is FileWrapper):
                    self._send_file(blocks, environ)
                else:
                    self._send_blocks(blocks)
            finally:
                close = getattr(blocks, "close", None)
                if close is not None:
                    close()
        finally:
            self._over = True

    # What the app is given.

    def start_response(self, status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Callable[[bytes], None]:
        """PEP 3333, "The start_response() Callable". What is wrong is told here, while the app is running."""
        if self._over:
            raise AppError(_OVER)
        if exc_info:
            try:
                if self.head is not None:
                    if exc_info[1] is None:
                        raise AppError("start_response was called again when the head had been sent")
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # breaks the cycle through the traceback's frames
            self._said = None
        elif self._said is not None:
            raise AppError("start_response was called a second time without exc_info")
        try:
            self._said = ResponseHead(status, headers)
            self._status = exact(status, "the status")
        except ValueError as error:
            raise AppError(str(error)) from None
        return self.write

    def write(self, block: bytes) -> None:
        """Send one block of the body, with the head in front of the first one.

        What goes beyond Content-Length is not sent, and is an error.
        """
        if self._over:
            raise AppError(_OVER)
        if type(block) is not bytes:
            block = _exact_bytes(block)
        if not block:
            return
        head = self.head
        prefix = b""
        if head is None:
            head = self._make_head(None)
            prefix = head.head
        if head.framing is NONE:
            self._send_bare(head, prefix)
        elif self._left is None:
            self._send(prefix, chunk(block) if head.framing is CHUNKED else block, len(block))
        elif len(block) <= self._left:
            self._send_promised(head, prefix, block)
        else:
            self._send_promised(head, prefix, block[: self._left])
            raise AppError("the body is longer than its Content-Length")

    def early_hints(self, headers: Headers) -> None:
        """`wsgi.early_hints`: send a 103 answer, unless the client may not understand it or the answer has begun."""
        if self._hints and self.head is None and not self._over:
            self._client.send(early_hints(headers), True)

    def client_disconnected(self) -> bool:
        """`hedgerow.client_disconnected`: whether nobody waits for the answer any more.

        Over TCP a client that has closed only its sending half looks the same as one that has gone.
        """
        return self._over or self._client.gone()

    def switch(self, answer: bytes) -> None:
        """Send a whole 101 answer: from now on the connection is not HTTP's but the caller's, until the app's call has
        ended.
        """
        if self.head is not None or self._over:
            raise AppError("the answer has begun")
        self._client.send(answer)
        self._switched = self.complete = True
        self.status = "101 Switching Protocols"

    def take_socket(self, farewell: Callable[[], object] | None = None) -> tuple[Any, bytes]:
        """`hedgerow.take_socket`: the client's socket, for the protocol that it has asked for in Upgrade, and what it
        has sent behind the request. The answer, a 101 first of all, is the caller's to write; what the app's call
        returns or raises is nobody's then. The connection ends with the call.

        farewell: called once when the worker is about to end, so that the client can be told; by the server, in the
        midst of whatever the app does with the socket, in its own thread, and must not wait.
        """
        if self.head is not None or self._over or self._switched:
            raise AppError("the socket can be had once, while nothing is sent")
        taken = self._client.hand_over(farewell)
        self._switched = self.complete = True
        self.status = "101 Switching Protocols"
        return taken

    def add_own(self, lines: tuple[str, ...]) -> None:
        """Further lines of the server's own, while the answer has not begun."""
        self._own_headers += lines

    def streams_events(self) -> bool:
        """Whether what is being sent is a stream of server-sent events: it has no end of its own, each event is whole,
        and its client comes again when it ends.
        """
        head = self.head
        if head is None or self.complete or head.framing is not CHUNKED:
            return False
        return b"\r\ncontent-type: text/event-stream" in head.head.lower()

    # Steps of run.

    def _send_blocks(self, blocks: Iterable[bytes]) -> None:
        kind = type(blocks)
        if (kind is list or kind is tuple) and len(blocks) == 1 and self.head is None:  # type: ignore[arg-type]
            self._send_whole(blocks[0])  # type: ignore[index]
            return
        if kind is FileWrapper:
            blocks = blocks.blocks(self._promised())  # type: ignore[attr-defined]
        for block in blocks:
            self.write(block)
            if self.head is not None and self.head.framing is NONE:
                break  # HEAD of a stream that never ends must end
        self.finish()

    def _send_file(self, blocks: Iterable[bytes], environ: Environ) -> None:
        """A file of the app's, which the front may be able to send."""
        environ = {**environ, "REQUEST_METHOD": self._method}  # which the app may have changed
        wrapper = blocks if type(blocks) is FileWrapper else None
        files = self._files
        answer = files(environ, self._status, self._said, wrapper) if self.head is None else None  # type: ignore[misc, arg-type]
        if answer is None:
            self._send_blocks(blocks)
            return
        application, lines = answer
        self._own_headers += lines
        self._said = None
        instead = application(environ, self.start_response)
        try:
            self._send_blocks(instead)
        finally:
            close = getattr(instead, "close", None)
            if close is not None:
                close()

    def _promised(self) -> int | None:
        """How much of the body may still be sent, where the app has told."""
        if self.head is not None:
            return self._left
        return None if self._said is None else self._said.length

    def _send_whole(self, body: bytes) -> None:
        """The usual answer: one block, known to be all. Head and body leave in one send."""
        if type(body) is not bytes:
            body = _exact_bytes(body)
        head = self._make_head(len(body))
        if head.framing is LENGTH and head.length == len(body):
            self._send_promised(head, head.head, body)
            return
        # an app's own Content-Length that does not fit, or no body at all: the careful way
        self._send(head.head, b"", 0)
        self.write(body)
        self.finish()

    def finish(self) -> None:
        """The body is complete: send what is missing of the answer.

        Raises AppError if there was no start_response, or less body than the head said.
        """
        head = self.head
        if head is None:
            head = self._make_head(0)
            self._send(head.head, b"", 0)
        if head.framing is CHUNKED:
            self._client.send(LAST_CHUNK)
        if self._left and head.framing is LENGTH:
            raise AppError(f"the body is {self._left} bytes shorter than its Content-Length")
        self._end(head)

    def answer(self, status: str, headers: Headers, body: bytes) -> None:
        """Send a page of the host instead of the app's answer. Only while nothing is sent."""
        self._over = False
        self._asked = None
        self._status, self._said = status, ResponseHead(status, headers)
        try:
            self._send_whole(body)
        finally:
            self._over = True

    # Sending.

    def _send_promised(self, head: ResponseHead, prefix: bytes, block: bytes) -> None:
        """A block that fits into what the head promised; the last of it makes the answer complete, whatever the app
        does then.
        """
        self._left -= len(block)  # type: ignore[operator]
        self._send(prefix, block, len(block))
        if not self._left:
            self._end(head)

    def _send_bare(self, head: ResponseHead, prefix: bytes) -> None:
        if prefix:
            self._client.send(prefix)
        self._end(head)

    def _send(self, prefix: bytes, data: bytes, body_bytes: int) -> None:
        """One send for the head and what comes first."""
        self.sent_bytes += body_bytes
        if prefix and len(data) > MAX_JOINED_BYTES:
            self._client.send_both(prefix, data)
        elif prefix or data:
            self._client.send(prefix + data if prefix else data)

    def _end(self, head: ResponseHead) -> None:
        self.complete = True
        self.close = head.close

    def _make_head(self, known_length: int | None) -> ResponseHead:
        head = self._said
        if head is None:
            raise AppError("the app sent a body, or ended, without calling start_response")
        if head.redirect and self._files is not None:
            raise AppError("X-Accel-Redirect was told when the app's call had returned, or with a body by write()")
        own_headers = self._own_headers
        if self._asked is not None:
            own_headers += self._asked(self._status, head, known_length if head.length is None else head.length)
        if known_length is None and head.is_event_stream():
            own_headers += (UNBUFFERED,)
        head.settle(self._method, self._http11, self._client.may_keep(), self._date, known_length, own_headers)
        self.head = head
        self.status = self._status
        self._left = head.length
        return head


def _exact_bytes(block: object) -> bytes:
    """A block of a subclass as bytes itself; anything else is an error."""
    if not isinstance(block, bytes):
        raise AppError(f"a block of the body is {type(block).__name__}, not bytes")
    return b"".join((block,))


# What an app kept of a request must not reach the next one on the connection, which may be another app's.
_OVER = "the request is over: its answer was complete when the app's call and close() had returned"
