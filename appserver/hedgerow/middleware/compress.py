"""gzip for clients that take it, where no front does it: piece by piece, so that what streams goes on streaming.

RFC 9110, 8.4 and 12.5.3. It never sends more than it has to: what is small, compressed already, or not for changing
(`no-transform`) goes as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from wsgiref.types import StartResponse

from ..options import option, within
from .answer import Environ, Headers, changed, listed, value, varying
from .filters import Streaming

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


def _check_size(size: int) -> str | None:
    return None if size >= 0 else "a number of bytes is wanted"


@dataclass(frozen=True, kw_only=True)
class Compress(Streaming):
    """An answer that is compressed has no Content-Length, a weak ETag, and no ranges."""

    minimum: int = option(500, "answers with a shorter Content-Length, in bytes, are left as they are", _check_size)
    level: int = option(6, "of gzip: 1 is fast, 9 is small", within(1, 9))
    types: tuple[str, ...] = option(TYPES, "media types that are compressed; * stands for anything")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not takes(environ.get("HTTP_ACCEPT_ENCODING", ""), "gzip"):
            return self.application(environ, changed(start_response, self._vary))
        return super().__call__(environ, start_response)

    def _vary(self, status: str, headers: Headers) -> tuple[str, Headers]:
        return status, varying(headers, "Accept-Encoding") if self.fits(status, headers) else headers

    def fits(self, status: str, headers: Headers) -> bool:
        length = value(headers, "content-length")
        return super().fits(status, headers) and not (length.isdecimal() and int(length) < self.minimum)

    def head(self, headers: Headers) -> Headers:
        return [*varying(headers, "Accept-Encoding"), ("Content-Encoding", "gzip")]

    def stage(self, headers: Headers) -> _Gzip:
        # One with a length is there as a whole, so no block of it is awaited.
        return _Gzip(self.level, zlib.Z_NO_FLUSH if value(headers, "content-length") else zlib.Z_SYNC_FLUSH)


class _Gzip:
    """flush: how much is sent with each block."""

    def __init__(self, level: int, flush: int) -> None:
        self._gzip, self._flush = zlib.compressobj(level, wbits=GZIP), flush

    def block(self, block: bytes) -> bytes:
        return self._gzip.compress(block) + self._gzip.flush(self._flush)

    def end(self) -> bytes:
        return self._gzip.flush()


def takes(accepted: str, coding: str) -> bool:
    """What Accept-Encoding says of a coding (RFC 9110, 12.5.3): the most exact name counts."""
    weights: dict[str, float] = {}
    for one in listed(accepted.lower()):
        name, _, parameter = one.partition(";")
        weights[name.strip()] = _weight(parameter)
    return weights.get(coding, weights.get(f"x-{coding}", weights.get("*", 0.0))) > 0


def _weight(parameter: str) -> float:
    name, _, given = parameter.strip().partition("=")
    try:
        return float(given) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0
