"""The server side of PEP 3333: call the app, and send what comes back, to the letter of the framing.

One `Exchange` a request. What it must not know: sockets and greenlets. It sends through `send(bytes)`, which waits
where it has to and raises OSError when the client has gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from ..http.grammar import STATUS
from ..http.request import Request
from ..http.response import LAST_CHUNK, BodyFraming, Headers, ResponseHead, chunk
from .environ import Environ

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class AppError(Exception):
    """The app broke the rules of PEP 3333; the message says which."""


class Exchange:
    """One request's answer, from start_response to the last byte.

    request: what is answered; keep_alive: whether the connection may go on behind it; date: for the Date field; send:
    see the module's docstring; own_headers: whole lines of the server's own, which no app can send. Afterwards:
    status (text, or '' if nothing was sent), sent_bytes of body, complete (whether all of the answer was sent), close
    (whether the connection has to end).
    """

    __slots__ = (
        "_date",
        "_headers",
        "_keep_alive",
        "_left",
        "_over",
        "_own_headers",
        "_request",
        "_send",
        "_status",
        "close",
        "complete",
        "head",
        "sent_bytes",
    )

    def __init__(
        self,
        request: Request,
        keep_alive: Callable[[], bool],
        date: str,
        send: Callable[[bytes], None],
        own_headers: tuple[str, ...] = (),
    ) -> None:
        self._request = request
        self._own_headers = own_headers
        self._send = send
        self._date = date
        self._status = ""
        self._headers: Headers | None = None
        self._left: int | None = None
        self.head: ResponseHead | None = None
        self._keep_alive = keep_alive
        self._over = False
        self.close = True
        self.complete = False
        self.sent_bytes = 0

    @property
    def status(self) -> str:
        """The status line's status as sent, or '' when no head was sent."""
        return self._status if self.head is not None else ""

    def run(self, app: Application, environ: Environ) -> None:
        """Call the app and send its answer. `close()` of what it returned is called on every path, once.

        Raises whatever the app raises, AppError when it broke the rules, OSError when the client has gone.
        """
        try:
            blocks = app(environ, self.start_response)
            try:
                self._send_blocks(blocks)
            finally:
                close = getattr(blocks, "close", None)
                if close is not None:
                    close()
        finally:
            self._over = True

    def _send_blocks(self, blocks: Iterable[bytes]) -> None:
        if isinstance(blocks, (list, tuple)) and len(blocks) == 1 and self.head is None:
            self._send_whole(blocks[0])
            return
        for block in blocks:
            if block:
                self.write(block)
                if self._is_bodyless():
                    break  # HEAD of a stream that never ends must end
        self.finish()

    def start_response(self, status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Callable[[bytes], None]:
        """PEP 3333, "The start_response() Callable"."""
        self._check_not_over()
        if exc_info is not None:
            try:
                if self.head is not None and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # breaks the cycle through the traceback's frames
        elif self._headers is not None:
            raise AppError("start_response was called a second time without exc_info")
        if STATUS.match(status) is None:
            raise AppError(f"the status {status!r} is not three digits, a space and a reason")
        self._status = status
        self._headers = list(headers)
        return self.write

    def write(self, block: bytes) -> None:
        """Send one block of the body, with the head in front of the first one."""
        self._check_not_over()
        if not isinstance(block, bytes):
            raise AppError(f"a block of the body is {type(block).__name__}, not bytes")
        if not block:
            return
        head = self.head
        prefix = b""
        if head is None:
            head = self._make_head(None)
            prefix = head.head
        if head.framing is BodyFraming.NONE:
            if prefix:
                self._send(prefix)
            return
        if self._left is not None:
            if len(block) > self._left:
                self._send_last(prefix, block[: self._left])
                raise AppError("the body is longer than its Content-Length")
            self._left -= len(block)
        self.sent_bytes += len(block)
        if head.framing is BodyFraming.CHUNKED:
            block = chunk(block)
        # One send for the head and what comes first; a large block is not copied for it.
        if prefix and len(block) > 65_536:
            self._send(prefix)
            prefix = b""
        self._send(prefix + block if prefix else block)

    def finish(self) -> None:
        """The body is complete: send what is missing of the answer.

        Raises AppError if there was no start_response, or less body than the head said.
        """
        head = self.head
        if head is None:
            head = self._make_head(0)
            self._send(head.head)
        if head.framing is BodyFraming.CHUNKED:
            self._send(LAST_CHUNK)
        if self._left and head.framing is BodyFraming.LENGTH:
            raise AppError(f"the body is {self._left} bytes shorter than its Content-Length")
        self.complete = True
        self.close = head.close

    def _is_bodyless(self) -> bool:
        return self.head is not None and self.head.framing is BodyFraming.NONE

    def _check_not_over(self) -> None:
        """What an app kept of a request must not reach the next one on the connection, which may be another app's."""
        if self._over:
            raise AppError("the request is over: its answer was complete when the app's call and close() had returned")

    def answer(self, status: str, headers: Headers, body: bytes) -> None:
        """Send a page of the host instead of the app's answer. Only while nothing is sent."""
        self._over = False
        self._status, self._headers = status, headers
        try:
            self._send_whole(body)
        finally:
            self._over = True

    def _send_whole(self, body: bytes) -> None:
        """The usual answer: one block, known to be all. Head and body leave in one send."""
        if not isinstance(body, bytes):
            raise AppError(f"a block of the body is {type(body).__name__}, not bytes")
        head = self._make_head(len(body))
        if head.framing is not BodyFraming.LENGTH or head.length != len(body):
            # an app's own Content-Length that does not fit, or no body at all: the careful way
            self._send(head.head)
            self.write(body)
            self.finish()
            return
        self.sent_bytes = len(body)
        if len(body) > 65_536:
            self._send(head.head)
            self._send(body)
        else:
            self._send(head.head + body)
        self.complete = True
        self.close = head.close

    def _send_last(self, prefix: bytes, block: bytes) -> None:
        self._left = 0
        self.sent_bytes += len(block)
        if prefix or block:
            self._send(prefix + block)

    def _make_head(self, known_length: int | None) -> ResponseHead:
        if self._headers is None:
            raise AppError("the app sent a body, or ended, without calling start_response")
        request = self._request
        self.head = head = ResponseHead(
            self._status,
            self._headers,
            method=request.method,
            http11=request.http11,
            keep_alive=self._keep_alive(),
            date=self._date,
            known_length=known_length,
            own_headers=self._own_headers,
        )
        self._left = head.length
        return head
