"""Files of a folder, with validators and ranges, where no front serves them; all other requests are the app's.

whitenoise finds the files and knows media types; what is sent is decided here and in `conditional.py`. Each file is
looked at when it is opened, so what the head says is true of what follows, also if the file has been replaced.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from io import FileIO
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication
from wsgiref.util import FileWrapper

from ..hosting.mounts import encode
from ..options import REQUIRED, option, within
from .answer import Environ, Headers, text, whole
from .compress import takes
from .conditional import Known, Wanted, wanted
from .static_files import Elsewhere, Files, Found

BLOCK = 65_536


def _check_path(path: str) -> str | None:
    return None if path.startswith("/") else "it does not start with '/'"


def _check_pattern(pattern: str) -> str | None:
    try:
        re.compile(pattern)
    except re.error as error:
        return f"no regular expression: {error}"
    return None


@dataclass(frozen=True)
class Static:
    """GET and HEAD of what is there. A file `name.br` or `name.gz` beside another is that one, compressed."""

    application: WSGIApplication
    folder: Path = option(REQUIRED, "whose files are served, with all below; nothing that a link leads out to")
    path: str = option("/", "where they are, below the mount", _check_path)
    max_age: int = option(60, "seconds for which a cache need not ask again", within(0, 366 * 86_400, "seconds"))
    immutable: str = option(
        "", r"regular expression: paths that fit are kept for a year, as '\.[0-9a-f]{8,}\.'", _check_pattern
    )
    index: bool = option(False, "whether index.html is what is at a folder's path")
    changing: bool = option(False, "whether files come and go while the app runs; else their names are read once")
    _files: Files = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise ValueError(f"folder: there is no folder {self.folder.name!r}")
        files = Files(self.folder, self.path, self.max_age, self.immutable, self.index, self.changing)
        object.__setattr__(self, "_files", files)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        asked = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        found = self._files.at(environ.get("PATH_INFO", "")) if asked else None
        if isinstance(found, Elsewhere):
            return _redirect(found, environ, start_response)
        opened = None if found is None else _open(found, environ.get("HTTP_ACCEPT_ENCODING", ""))
        if found is None or opened is None:
            return self.application(environ, start_response)
        coding, file = opened
        try:
            return _answer(found, coding, file, environ, start_response)
        except BaseException:
            file.close()
            raise


def _redirect(found: Elsewhere, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    here = encode(environ.get("SCRIPT_NAME", "") + found.path.encode().decode("latin-1"))
    query = environ.get("QUERY_STRING", "")
    location = "Location", here + ("?" + query if query else "")
    return whole(start_response, HTTPStatus.PERMANENT_REDIRECT, b"", "text/plain", location)


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
    found: Found, coding: str, file: FileIO, environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    """It closes the file, or returns it to be closed."""
    told = os.fstat(file.fileno())
    # Of each coding another one: the bytes are others (RFC 9110, 8.8.3).
    known = Known(f'"{told.st_mtime_ns:x}-{told.st_size:x}{coding and "-" + coding}"', int(told.st_mtime), told.st_size)
    what = wanted(environ, known)
    vary = [("Vary", "Accept-Encoding")] if len(found.paths) > 1 else []
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


def _head(found: Found, coding: str, known: Known, what: Wanted) -> Headers:
    validators = [("ETag", known.etag), ("Last-Modified", known.last_modified)]
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
