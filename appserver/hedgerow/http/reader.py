"""Bytes to requests. The reader owns what has arrived on a connection and is not yet used.

Its law: nothing is parsed ahead. One head is taken, found by its empty line; the body is framed by our own decoders;
what comes behind it stays bytes until somebody asks for the next request. So a request behind a wrong one, or behind
one whose answer is not sent, never exists.
"""

from __future__ import annotations

from typing import Any

from ..errors import HttpError
from .body import ChunkedDecoder, Decoder, LengthDecoder
from .grammar import BARE_LF, TOKEN_BYTES
from .head import parse_head
from .request import CHUNKED, NONE, Request

MAX_EMPTY_LINES = 8  # in front of a request line (RFC 9112 section 2.2 asks for one)


class RequestReader:
    """Feed it bytes, ask it for the next request, then for that request's body.

    buffer: what has arrived and is not yet used; body_done: whether the body of the request last returned has been read
    to its end; body_bytes: how much of it was read, if it has one.

    max_head_bytes, max_target_bytes, max_headers, max_body_bytes: limits; beyond them HttpError 431, 414, 431, 413.
    template: what the fields of each request begin as, a copy each, so that they need not be copied into it later.
    """

    __slots__ = (
        "_broken",
        "_decoder",
        "_empty_lines",
        "_searched",
        "_template",
        "body_bytes",
        "body_done",
        "buffer",
        "max_body_bytes",
        "max_head_bytes",
        "max_headers",
        "max_target_bytes",
    )

    def __init__(
        self,
        max_head_bytes: int = 65_536,
        max_body_bytes: int = 2 * 1024**3,
        max_target_bytes: int = 16_384,
        max_headers: int = 100,
        template: dict[str, Any] | None = None,
    ) -> None:
        self._template = {} if template is None else template
        self.max_head_bytes = max_head_bytes
        self.max_body_bytes = max_body_bytes
        self.max_target_bytes = max_target_bytes
        self.max_headers = max_headers
        self.buffer = b""
        self._searched = 0
        self._empty_lines = 0
        self._decoder: Decoder | None = None
        self.body_done = True
        self.body_bytes = 0
        self._broken: tuple[int, str] | None = None  # not the error: its traceback holds us, and a head

    def __repr__(self) -> str:
        body = "done" if self.body_done else "open"
        return f"<RequestReader buffered={len(self.buffer)} body={body}>"

    def feed(self, data: bytes) -> None:
        """Add bytes that have arrived."""
        self.buffer = self.buffer + data if self.buffer else data

    @property
    def buffered(self) -> int:
        """Bytes that have arrived and are not yet used."""
        return len(self.buffer)

    def read_body(self) -> bytes:
        """What has arrived of the body and was not returned before; empty when more has to come or when it is done.

        Raises HttpError for a malformed or too large body.
        """
        if self._broken is not None:
            raise HttpError(*self._broken)  # for good: what follows something malformed is not to be understood
        decoder = self._decoder
        if decoder is None or self.body_done or not self.buffer:
            return b""
        try:
            data, self.buffer = decoder.decode(self.buffer)
        except HttpError as error:
            self._broken = (error.status, error.reason)
            raise
        self.body_done = decoder.done
        self.body_bytes += len(data)
        return data

    def limit_body(self, max_bytes: int) -> None:
        """The largest body of the request last returned, whose length is not told; beyond it reading raises 413."""
        if isinstance(self._decoder, ChunkedDecoder):
            self._decoder.max_bytes = min(max_bytes, self._decoder.max_bytes)

    def next_request(self) -> Request | None:
        """The next request, or None when its head has not arrived whole. The body of the one before must be done.

        Raises HttpError when there is no way to understand what has arrived; the connection is of no more use then.
        """
        if self._broken is not None:
            raise HttpError(*self._broken)
        try:
            head = self._take_head()
            return None if head is None else self._begin(head)
        except HttpError as error:
            self._broken = (error.status, error.reason)
            raise

    def take(self) -> bytes:
        """All that has arrived, of a connection that speaks HTTP no more."""
        data, self.buffer = self.buffer, b""
        return data

    def close(self) -> None:
        """Forget what has arrived."""
        self.buffer = b""

    # Steps of next_request.

    def _take_head(self) -> bytes | None:
        """The next head with its empty line, out of the buffer."""
        buffer = self.buffer
        if buffer.startswith(b"\r\n"):
            buffer = self._skip_empty_lines(buffer)
        end = buffer.find(b"\r\n\r\n", self._searched) + 4
        if end < 4:
            self._check_incomplete(buffer)
            self._searched = max(0, len(buffer) - 3)
            return None
        if end > self.max_head_bytes:
            raise self._too_large(buffer)
        self._searched = 0
        self._empty_lines = 0
        self.buffer = buffer[end:]
        return buffer[:end]

    def _begin(self, head: bytes) -> Request:
        request = parse_head(head, self._template, self.max_target_bytes, self.max_headers)
        if request.framing is NONE:
            return request
        if request.framing is CHUNKED:
            self._decoder = ChunkedDecoder(self.max_body_bytes)
        elif request.length > self.max_body_bytes:
            raise HttpError(413, "The body is too large.")
        else:
            self._decoder = LengthDecoder(request.length)
        self.body_done = self._decoder.done
        self.body_bytes = 0
        return request

    def _skip_empty_lines(self, buffer: bytes) -> bytes:
        start = 0
        while buffer.startswith(b"\r\n", start):
            start += 2
            self._empty_lines += 1
            if self._empty_lines > MAX_EMPTY_LINES:
                raise HttpError(400, "There is no request, only empty lines.")
        self.buffer = buffer[start:]
        self._searched = 0
        return self.buffer

    def _check_incomplete(self, buffer: bytes) -> None:
        """Refuse early what can not become a head any more, so that a wrong client need not wait for a time-out."""
        if len(buffer) > self.max_head_bytes:
            raise self._too_large(buffer)
        if BARE_LF.search(buffer, self._searched):
            raise HttpError(400, "A line ends in a bare line feed.")
        if buffer and buffer[0] not in TOKEN_BYTES and buffer != b"\r":
            raise HttpError(400, "This is no HTTP.")  # TLS, for one

    def _too_large(self, buffer: bytes) -> HttpError:
        if buffer.find(b"\r\n", 0, self.max_head_bytes) < 0:
            if buffer.find(b" ", 0, self.max_head_bytes) < 0:
                return HttpError(400, "This is no HTTP: a method has no such length.")
            return HttpError(414, "The request's target is too long.")
        return HttpError(431, "The request's head is too large.")
