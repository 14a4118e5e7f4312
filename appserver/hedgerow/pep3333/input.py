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

    __slots__ = ("_at", "_buffer", "_ended", "_more")

    def __init__(self, more: Callable[[], bytes]) -> None:
        self._more = more
        self._buffer = b""
        self._at = 0  # how much of the buffer has been read: to cut it off line by line would copy it line by line
        self._ended = False

    def end(self) -> None:
        """The request is over; what comes on the connection is not for who still holds this."""
        self._more = _over
        self._ended = False

    def read(self, size: int | None = -1) -> bytes:
        """Exactly size bytes, or what is left of the body; all of it for a negative size or None."""
        limit = None if size is None or size < 0 else size
        if limit is not None and len(self._buffer) - self._at >= limit:
            return self._take(limit)
        return self._gather(limit, False)

    def read1(self, size: int | None = -1) -> bytes:
        """What there is, at most size bytes of it; waits only when there is nothing. b'' at the end."""
        if self._at == len(self._buffer):
            self._buffer, self._at = b"", 0
            self._fill()
        left = len(self._buffer) - self._at
        return self._take(left if size is None or size < 0 else min(size, left))

    def readline(self, size: int | None = -1) -> bytes:
        """One line with its line feed, at most size bytes of it; b'' at the end."""
        return self._gather(None if size is None or size < 0 else size, True)

    def _gather(self, limit: int | None, one_line: bool) -> bytes:
        """At most limit bytes, at most to the end of a line. Whatever ends the wait for more, nothing is lost."""
        blocks: list[bytes] = []
        while True:
            size = len(self._buffer) - self._at
            end = self._buffer.find(b"\n", self._at) + 1 if one_line else 0
            if end:
                size = end - self._at
            if limit is not None:
                size = min(size, limit)
                limit -= size
            blocks.append(self._take(size))
            if end or limit == 0:
                break
            try:
                if not self._fill():
                    break
            except BaseException:
                self._buffer, self._at = b"".join(blocks), 0
                raise
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def _take(self, size: int) -> bytes:
        start, end = self._at, self._at + size
        data = self._buffer[start:end]
        if end == len(self._buffer):
            self._buffer, self._at = b"", 0
        else:
            self._at = end
        return data

    def _fill(self) -> bool:
        """Get more bytes, when all have been taken; False at the end of the body."""
        if not self._ended:
            self._buffer = self._more()
            self._ended = not self._buffer
        return not self._ended

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
