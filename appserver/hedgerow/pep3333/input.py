"""`wsgi.input` (PEP 3333, "Input and Error Streams"): reads end at the end of the body, never beyond it, and wait
where bytes are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator


def _over() -> bytes:
    raise OSError("the request is over, and its body with it")


class BodyInput:
    """The body of a request that has not arrived whole.

    more: returns the next bytes, waiting for them; b'' once the body is complete; raises OSError when it ends early, so
    that a short body never looks whole.
    """

    __slots__ = ("_buffer", "_ended", "_more")

    def __init__(self, more: Callable[[], bytes]) -> None:
        self._more = more
        self._buffer = b""
        self._ended = False

    def end(self) -> None:
        """The request is over; what comes on the connection is not for who still holds this."""
        self._more = _over
        self._ended = False

    def _fill(self) -> bool:
        """Get more bytes; False at the end of the body."""
        if not self._ended:
            data = self._more()
            self._ended = not data
            self._buffer = self._buffer + data if self._buffer else data
        return not self._ended

    def _take(self, size: int) -> bytes:
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def read(self, size: int | None = -1) -> bytes:
        """Exactly size bytes, or what is left of the body; all of it for a negative size or None."""
        if size is None or size < 0:
            blocks = [self._take(len(self._buffer))]
            while self._fill():
                blocks.append(self._take(len(self._buffer)))
            return b"".join(blocks)
        if len(self._buffer) >= size:
            return self._take(size)
        blocks, missing = [], size
        while missing:
            block = self._take(missing)
            blocks.append(block)
            missing -= len(block)
            if missing and not self._fill():
                break
        return b"".join(blocks)

    def readline(self, size: int | None = -1) -> bytes:
        """One line with its line feed, at most size bytes of it; b'' at the end."""
        limit = None if size is None or size < 0 else size
        searched = 0
        while True:
            end = self._buffer.find(b"\n", searched) + 1
            if limit is not None and (end > limit or (not end and len(self._buffer) >= limit)):
                return self._take(limit)
            if end:
                return self._take(end)
            searched = len(self._buffer)
            if not self._fill():
                return self._take(len(self._buffer))

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """All lines; stops behind the line that reaches hint bytes, if hint is positive."""
        lines, total = [], 0
        for line in self:
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")
