"""gzip for clients that take it, where no front does it: piece by piece, so that what streams goes on streaming.

RFC 9110, 8.4 and 12.5.3. It never sends more than it has to: what is small, compressed already, or not for changing
(`no-transform`) goes as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from wsgiref.types import StartResponse, WSGIApplication

from ..options import option
from .answer import Environ, ExcInfo, Headers, changed, listed, value, varying, without

GZIP = 16 + zlib.MAX_WBITS
TYPES = (
    "text/*",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/*+json",
    "application/*+xml",
    "image/svg+xml",
)


def _check_level(level: int) -> str | None:
    return None if 1 <= level <= 9 else "1 to 9 are wanted"


def _check_size(size: int) -> str | None:
    return None if size >= 0 else "a number of bytes is wanted"


@dataclass(frozen=True)
class Compress:
    """An answer that is compressed has no Content-Length unless it came in one piece, a weak ETag, and no ranges."""

    application: WSGIApplication
    minimum: int = option(500, "answers with a shorter Content-Length, in bytes, are left as they are", _check_size)
    level: int = option(6, "of gzip: 1 is fast, 9 is small", _check_level)
    types: tuple[str, ...] = option(TYPES, "media types that are compressed; * stands for anything")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
            return self.application(environ, changed(start_response, self._vary))
        answer = _Answer(self, start_response, environ["REQUEST_METHOD"] == "HEAD")
        body = self.application(environ, answer.start_response)
        # One that is known to go as it is stays what it is: the server may know a better way to send it.
        return body if answer.begun and answer.gzip is None else answer.blocks(body)

    def _vary(self, status: str, headers: Headers) -> tuple[str, Headers]:
        return status, varying(headers, "Accept-Encoding") if self.fits(status, headers) else headers

    def fits(self, status: str, headers: Headers) -> bool:
        """Whether an answer may be compressed."""
        if status[:3] in ("204", "206", "304") or status[:1] == "1" or value(headers, "content-encoding"):
            return False
        if "no-transform" in value(headers, "cache-control").lower():
            return False
        length = value(headers, "content-length")
        if length.isdecimal() and int(length) < self.minimum:
            return False
        kind = value(headers, "content-type").partition(";")[0].strip().lower()
        return any(fnmatchcase(kind, pattern) for pattern in self.types)


class _Answer:
    """One. begun: its head is known; gzip: what compresses it, if it is."""

    def __init__(self, how: Compress, start_response: StartResponse, is_head: bool) -> None:
        self._how, self._start, self._is_head = how, start_response, is_head
        self._flush = zlib.Z_SYNC_FLUSH
        self.begun = False
        self.gzip: zlib._Compress | None = None

    def start_response(self, status: str, headers: Headers, exc_info: ExcInfo = None, /) -> Callable[[bytes], object]:
        write = changed(self._start, self._change)(status, headers, exc_info)
        gzip = self.gzip
        return write if gzip is None else lambda block: write(self._packed(gzip, block))

    def _change(self, status: str, headers: Headers) -> tuple[str, Headers]:
        self.begun, self.gzip = True, None
        if not self._how.fits(status, headers):
            return status, headers
        self.gzip = zlib.compressobj(self._how.level, wbits=GZIP)
        if value(headers, "content-length"):  # it is there as a whole, so no block of it is awaited
            self._flush = zlib.Z_NO_FLUSH
        headers = [(name, weak(one) if name.lower() == "etag" else one) for name, one in headers]
        kept = without(headers, "content-length", "accept-ranges")
        return status, [*varying(kept, "Accept-Encoding"), ("Content-Encoding", "gzip")]

    def blocks(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """A block for each block of the application's, maybe an empty one, and the rest behind them."""
        try:
            for block in body:
                yield block if self.gzip is None else self._packed(self.gzip, block)
            if self.gzip is not None and not self._is_head:
                yield self.gzip.flush()
        finally:
            if (close := getattr(body, "close", None)) is not None:
                close()

    def _packed(self, gzip: zlib._Compress, block: bytes) -> bytes:
        return gzip.compress(block) + gzip.flush(self._flush) if block else b""


def weak(etag: str) -> str:
    """An ETag that says: the same content, not the same bytes (RFC 9110, 8.8.1)."""
    return etag if etag.startswith("W/") else f"W/{etag}"


def takes_gzip(accepted: str) -> bool:
    """What Accept-Encoding says (RFC 9110, 12.5.3): the most exact name counts."""
    weights: dict[str, float] = {}
    for one in listed(accepted.lower()):
        name, _, parameter = one.partition(";")
        weights[name.strip()] = _weight(parameter)
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _weight(parameter: str) -> float:
    name, _, given = parameter.strip().partition("=")
    try:
        return float(given) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0
