"""Files of a folder, with validators and ranges, where no front serves them; all other requests are the app's.

whitenoise finds the files and knows media types; what is sent is decided in `sending.py` and `conditional.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication

from ..hosting.mounts import encode
from ..options import REQUIRED, option, within
from .answer import Environ, whole
from .sending import send
from .static_files import Elsewhere, Files


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
        sent = None if found is None else send(found, environ, start_response)
        return self.application(environ, start_response) if sent is None else sent


def _redirect(found: Elsewhere, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    here = encode(environ.get("SCRIPT_NAME", "") + found.path.encode().decode("latin-1"))
    query = environ.get("QUERY_STRING", "")
    location = "Location", here + ("?" + query if query else "")
    return whole(start_response, HTTPStatus.PERMANENT_REDIRECT, b"", "text/plain", location)
