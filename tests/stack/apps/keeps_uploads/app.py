"""Keeps the body of a POST as a file of its data, and gives it out again as a file; DELETE removes it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

KEPT = Path(__file__).parent / "data"
PIECE = 1 << 16


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    name = environ["PATH_INFO"].removeprefix("/")
    if not re.fullmatch("[a-z]+", name):
        start_response("404 Not Found", [("Content-Length", "0")])
        return []
    file = KEPT / name
    if environ["REQUEST_METHOD"] == "GET":
        start_response("200 OK", [("Content-Length", str(file.stat().st_size))])
        return environ["wsgi.file_wrapper"](file.open("rb"), PIECE)
    if environ["REQUEST_METHOD"] == "DELETE":
        file.unlink()
    else:
        with file.open("wb") as kept:
            shutil.copyfileobj(environ["wsgi.input"], kept, PIECE)
    start_response("204 No Content", [])
    return []
