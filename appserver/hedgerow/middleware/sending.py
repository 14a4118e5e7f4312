"""Sends a file: what of it the client takes and wants, with validators and ranges.

The file is looked at when it is opened, so what the head says is true of what follows, also if it has been replaced.
Behind a front that can reach files the answer of the outermost layer is only which one it is; any other gives back a
body, which what is around it may change. A body that nothing has changed the server may still leave to the front.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from io import FileIO
from typing import NamedTuple
from urllib.parse import quote
from wsgiref.types import StartResponse
from wsgiref.util import FileWrapper

from .answer import Environ, Headers, text
from .compress import takes
from .conditional import Known, Wanted, wanted

BLOCK = 65_536
HANDED = "X-Accel-Redirect"  # to a file, for the server, which has the front send it (worker/files.py)


class Found(NamedTuple):
    """A file. headers: but for those that a look at it tells; paths: by coding, the plain one last, as ''."""

    headers: list[tuple[str, str]]
    paths: Mapping[str, str]


def send(
    found: Found,
    environ: Environ,
    start_response: StartResponse,
    homes: tuple[str, ...] = (),
    known_as: Callable[[os.stat_result, str], Known] | None = None,
) -> Iterable[bytes] | None:
    """Of a file what the client takes and wants; None if nothing can be read any more. homes: below these real paths,
    with '/' at their ends, it is the front that sends; only for whose answer nobody changes. known_as: what its
    validators are, by what the file is and its coding, where they are not the file's.
    """
    opened = _open(found, environ.get("HTTP_ACCEPT_ENCODING", ""))
    if opened is None:
        return None
    coding, file = opened
    try:
        known = (known_as or _known)(os.fstat(file.fileno()), coding)
        return _answer(found, coding, file, known, environ, start_response, homes)
    except BaseException:
        file.close()
        raise


def _open(found: Found, accepted: str) -> tuple[str, FileIO] | None:
    """The best of it that the client takes; None if nothing can be read any more."""
    for coding, path in found.paths.items():
        if not coding or takes(accepted, coding):
            try:
                return coding, open(path, "rb", buffering=0)
            except OSError:
                continue
    return None


def _answer(
    found: Found,
    coding: str,
    file: FileIO,
    known: Known,
    environ: Environ,
    start_response: StartResponse,
    homes: tuple[str, ...],
) -> Iterable[bytes]:
    """It closes the file, or returns it to be closed."""
    what = wanted(environ, known)
    vary = [("Vary", "Accept-Encoding")] if len(found.paths) > 1 else []
    if _is_the_fronts(what, environ) and found.paths[coding].startswith(homes):
        file.close()
        handed = HANDED, quote(os.fsencode(found.paths[coding]))
        start_response("200 OK", [*_head(found, coding, known, Wanted(HTTPStatus.OK)), *vary, handed])
        return []
    if what.status >= 400:
        file.close()
        size = [("Content-Range", f"bytes */{known.size}")] if what.status != HTTPStatus.PRECONDITION_FAILED else []
        return text(start_response, what.status, f"{what.status.phrase}.\n", *vary, *size)
    start_response(f"{what.status.value} {what.status.phrase}", [*_head(found, coding, known, what), *vary])
    if what.status == HTTPStatus.NOT_MODIFIED or environ["REQUEST_METHOD"] == "HEAD":
        file.close()
        return []
    wrap = environ.get("wsgi.file_wrapper", FileWrapper)
    body: Iterable[bytes] = wrap(file if what.end - what.start == known.size else Part(file, what), BLOCK)
    return body


def _known(told: os.stat_result, coding: str) -> Known:
    """Of each coding another ETag: the bytes are others (RFC 9110, 8.8.3)."""
    etag = f'"{told.st_mtime_ns:x}-{told.st_size:x}{coding and "-" + coding}"'
    return Known(etag, int(told.st_mtime), told.st_size)


def _is_the_fronts(what: Wanted, environ: Environ) -> bool:
    """Whether the front sends it, which cuts ranges itself, and of If-Match knows ETags of its own only."""
    if not environ.get("hedgerow.files") or environ["REQUEST_METHOD"] != "GET" or "HTTP_IF_MATCH" in environ:
        return False
    return what.status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)


def _head(found: Found, coding: str, known: Known, what: Wanted) -> Headers:
    validators = [("ETag", known.etag)] if known.etag else []
    validators.append(("Last-Modified", known.last_modified))
    if what.status == HTTPStatus.NOT_MODIFIED:
        return [*((name, value) for name, value in found.headers if name == "Cache-Control"), *validators]
    headers = [*found.headers, *validators, ("Accept-Ranges", "bytes"), ("Content-Length", str(what.end - what.start))]
    headers += [("Content-Encoding", coding)] if coding else []
    if what.status == HTTPStatus.PARTIAL_CONTENT:
        headers.append(("Content-Range", f"bytes {what.start}-{what.end - 1}/{known.size}"))
    return headers


class Part:
    """A range of a file, to be read. It has no descriptor: servers that send from one do not stop at its end."""

    def __init__(self, file: FileIO, what: Wanted) -> None:
        file.seek(what.start)
        self._file, self._left = file, what.end - what.start
        self.close = file.close

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(block)
        return block
