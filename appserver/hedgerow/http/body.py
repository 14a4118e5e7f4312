"""Decoders of request bodies: bytes of the connection in, bytes of the body out. They keep no time and touch no socket.

`decode(data)` takes what has arrived and returns (body bytes, rest). While the body goes on, rest is empty or an
incomplete line that has to come back with the next bytes in front; once `done` is True, rest is what follows the
body. A wrong body raises HttpError.
"""

from __future__ import annotations

from ..errors import HttpError
from .grammar import CHUNK_HEAD, TRAILER_LINE

# Bounds of what is thrown away. Without them a client sends for each byte of a body a line of any length, and the
# limit of the body never meets it.
MAX_CHUNK_LINE_BYTES = 1024  # one chunk's size with its extensions
MAX_EXTENSION_BYTES = 16_384  # all chunk extensions of a body
MAX_TRAILER_BYTES = 8192  # all trailers

# What says how to read or route a request comes too late in a trailer (RFC 9110 section 6.5.1).
_NO_TRAILERS = frozenset({b"authorization", b"content-length", b"host", b"te", b"trailer", b"transfer-encoding"})


class LengthDecoder:
    """A body of a known number of bytes (RFC 9112 section 6.2)."""

    __slots__ = ("done", "left")

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = length == 0

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """See the module's docstring."""
        size = len(data)
        if size < self.left:
            self.left -= size
            return data, b""
        body, rest = data[: self.left], data[self.left :]
        self.left = 0
        self.done = True
        return body, rest


class ChunkedDecoder:
    """A body in chunks (RFC 9112 section 7.1). Chunk extensions are ignored; trailers are checked and dropped.

    max_bytes: the largest body, in bytes; beyond it HttpError 413.
    """

    __slots__ = (
        "_end_of_chunk", "_extension_bytes", "_in_trailers", "_left", "_seen", "_trailer_bytes", "done", "max_bytes",
    )  # fmt: skip

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.done = False
        self._left = 0  # bytes of the chunk still to come
        self._end_of_chunk = False  # the CRLF behind a chunk's data is due
        self._in_trailers = False
        self._extension_bytes = 0
        self._trailer_bytes = 0
        self._seen = 0  # bytes of the body that the chunks' heads have told

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """See the module's docstring."""
        blocks: list[bytes] = []
        position = 0
        while not self.done:
            if self._left:
                block = data[position : position + self._left]
                if not block:
                    break
                blocks.append(block)
                position += len(block)
                self._left -= len(block)
                self._end_of_chunk = not self._left
                continue
            end = self._find_line_end(data, position)
            if end < 0:
                break
            self._take_line(data[position:end])
            position = end + 2
        return b"".join(blocks), data[position:]

    def _find_line_end(self, data: bytes, start: int) -> int:
        end = data.find(b"\n", start)
        limit = MAX_TRAILER_BYTES if self._in_trailers else MAX_CHUNK_LINE_BYTES
        if (end if end >= 0 else len(data)) - start > limit:
            raise HttpError(400, "A line of the chunked body is too long.")
        if end < 0:
            if self._end_of_chunk and data[start : start + 1] not in (b"", b"\r"):
                raise HttpError(400, "A chunk is longer than it said.")  # told now: no line end may ever come
            return -1
        if end == start or data[end - 1] != 13:
            raise HttpError(400, "A line of the chunked body ends in a bare line feed.")
        return end - 1

    def _take_line(self, line: bytes) -> None:
        if self._end_of_chunk:
            if line:
                raise HttpError(400, "A chunk is longer than it said.")
            self._end_of_chunk = False
        elif self._in_trailers:
            self._take_trailer(line)
        else:
            self._take_chunk_head(line)

    def _take_chunk_head(self, line: bytes) -> None:
        match = CHUNK_HEAD.fullmatch(line)
        if match is None:
            raise HttpError(400, "A chunk's size is malformed.")
        self._extension_bytes += len(line) - match.end(1)
        if self._extension_bytes > MAX_EXTENSION_BYTES:
            raise HttpError(400, "The chunk extensions are too long.")
        self._left = int(match[1], 16)
        self._seen += self._left
        if self._seen > self.max_bytes:
            raise HttpError(413, "The body is too large.")
        self._in_trailers = self._left == 0

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            self.done = True
            return
        self._trailer_bytes += len(line)
        if self._trailer_bytes > MAX_TRAILER_BYTES or TRAILER_LINE.fullmatch(line) is None:
            raise HttpError(400, "A trailer is malformed or too long.")
        if line[: line.index(b":")].lower() in _NO_TRAILERS:
            raise HttpError(400, "A header stands in the trailers that must not come behind the body.")


Decoder = LengthDecoder | ChunkedDecoder
