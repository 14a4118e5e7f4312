"""What a request wants of a representation that it may know already: all of it, a range, or nothing (RFC 9110, 13, 14).

Pure. Several ranges are answered with the whole, as a server may (14.2).
"""

from __future__ import annotations

import re
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from typing import NamedTuple

from .answer import Environ, weak

_ETAGS = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_RANGE = re.compile(r"bytes[ \t]*=[ \t,]*(?:(\d+)-(\d*)|-(\d+))[ \t,]*", re.ASCII | re.IGNORECASE)
_MOST_DIGITS = 18
_PART = rf" *(?:\d{{1,{_MOST_DIGITS}}} *- *\d{{0,{_MOST_DIGITS}}}|- *\d{{1,{_MOST_DIGITS}}}) *"
_PARTS = re.compile(rf"bytes={_PART}(?:,{_PART})*", re.ASCII)


class Known(NamedTuple):
    """A representation as it is. etag: '' for none; modified: seconds since the epoch; size: bytes."""

    etag: str
    modified: int
    size: int

    @property
    def last_modified(self) -> str:
        return formatdate(self.modified, usegmt=True)

    @property
    def strong(self) -> tuple[str, ...]:
        """Its ETag, where that tells bytes apart (RFC 9110, 8.8.3.2)."""
        return (self.etag,) if self.etag and not self.etag.startswith("W/") else ()


class Wanted(NamedTuple):
    """The status, and of which bytes the body is made, the end excluded."""

    status: HTTPStatus
    start: int = 0
    end: int = 0


def wanted(environ: Environ, known: Known) -> Wanted:
    """By the fields of a GET or HEAD, in the order of RFC 9110, 13.2.2."""
    if not _may_go_on(environ, known):
        return Wanted(HTTPStatus.PRECONDITION_FAILED)
    if _is_known(environ, known):
        return Wanted(HTTPStatus.NOT_MODIFIED)
    given = environ.get("HTTP_RANGE", "") if environ["REQUEST_METHOD"] == "GET" else ""
    found = _RANGE.fullmatch(given.strip())
    if found is None or len(given) > 2 * _MOST_DIGITS or not _is_of_this(environ.get("HTTP_IF_RANGE"), known):
        return Wanted(HTTPStatus.OK, 0, known.size)
    first, last, suffix = found.groups()
    start = int(first) if first else max(0, known.size - int(suffix))
    end = min(known.size, int(last) + 1) if last else known.size
    if last and int(last) < int(first):  # it is none
        return Wanted(HTTPStatus.OK, 0, known.size)
    if start >= known.size or start >= end:
        return Wanted(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
    return Wanted(HTTPStatus.PARTIAL_CONTENT, start, end)


def has_each(given: str, size: int) -> bool:
    """Whether this Range is well-formed in the narrowest sense, and each of its parts starts inside so many bytes."""
    if _PARTS.fullmatch(given) is None:
        return False
    parts = (part.partition("-") for part in given.removeprefix("bytes=").replace(" ", "").split(","))
    return all(
        int(first) < size and (not last or int(first) <= int(last)) if first else size > 0 and int(last) > 0
        for first, _, last in parts
    )


def _may_go_on(environ: Environ, known: Known) -> bool:
    given = environ.get("HTTP_IF_MATCH")
    if given is not None:
        return given.strip() == "*" or any(each in known.strong for each in _ETAGS.findall(given))
    date = seconds(environ.get("HTTP_IF_UNMODIFIED_SINCE"))
    return date is None or known.modified <= date


def _is_known(environ: Environ, known: Known) -> bool:
    given = environ.get("HTTP_IF_NONE_MATCH")
    if given is not None:
        return given.strip() == "*" or weak(known.etag) in map(weak, _ETAGS.findall(given))
    date = seconds(environ.get("HTTP_IF_MODIFIED_SINCE"))
    return date is not None and known.modified <= date


def _is_of_this(given: str | None, known: Known) -> bool:
    """Whether If-Range names what is there now; a weak ETag never does (13.1.5)."""
    return given is None or given.strip() in (*known.strong, known.last_modified)


def seconds(given: str | None) -> float | None:
    """Of a date in a field, since the epoch; None if it is none."""
    try:
        return parsedate_to_datetime(given).timestamp() if given else None
    except (ValueError, OverflowError):
        return None
