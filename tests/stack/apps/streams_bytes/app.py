"""Answers with a stream of as many numbered pieces as the path says; nothing but one piece is ever in memory."""

from __future__ import annotations

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

PIECE = 1 << 16


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    pieces = int(environ["PATH_INFO"].removeprefix("/"))
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(pieces * PIECE))])
    return (number.to_bytes(8, "big") * (PIECE // 8) for number in range(pieces))
