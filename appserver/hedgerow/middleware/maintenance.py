"""A page instead of the application while a file is there: `touch` begins a maintenance, `rm` ends it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication

from ..options import REQUIRED, option, within
from .answer import Environ, text, whole

SENTENCE = "This page is being worked on. Please come back in a while.\n"


def _check_paths(paths: tuple[str, ...]) -> str | None:
    return next((f"{path!r} does not start with '/'" for path in paths if not path.startswith("/")), None)


@dataclass(frozen=True)
class Maintenance:
    """503 with Retry-After (RFC 9110, 15.6.4), which no cache may keep. What is under way goes on."""

    application: WSGIApplication
    file: Path = option(REQUIRED, "while it is there the page is shown; in the app's data, as data/maintenance")
    page: Path | None = option(None, "HTML file that is shown; default: one sentence")
    retry_after: int = option(120, "seconds after which clients are told to come again", within(0, 86_400, "seconds"))
    allow: tuple[str, ...] = option(
        (), "paths below the mount, with all below them, that are served all the same", _check_paths
    )

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not os.path.exists(self.file) or self._is_allowed(environ.get("PATH_INFO", "")):
            return self.application(environ, start_response)
        headers = ("Retry-After", str(self.retry_after)), ("Cache-Control", "no-store")
        if self.page is None:
            return text(start_response, HTTPStatus.SERVICE_UNAVAILABLE, SENTENCE, *headers)
        body = self.page.read_bytes()
        return whole(start_response, HTTPStatus.SERVICE_UNAVAILABLE, body, "text/html; charset=utf-8", *headers)

    def _is_allowed(self, path: str) -> bool:
        return any(path == one or path.startswith(one.rstrip("/") + "/") for one in self.allow)
