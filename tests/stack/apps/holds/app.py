"""Has public files, and secrets beside their folder. What is no file it answers itself, with the raw target."""

from __future__ import annotations

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

SECRET = "nightshade"  # noqa: S105  # as in each file that nobody may get


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("404 Not Here", [("Content-Type", "text/plain")])
    return [f"holds {environ['RAW_URI']}".encode("latin-1")]
