"""Answers with its release and the digest of what it was sent: `?parts=3&pause=0.1&wait=1`, `/events`.

A part is a line: the version that this file has, the one of a module that is imported only then, the one of a file that
is read anew each time. An answer of one release has the same word everywhere.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl
from wsgiref.types import StartResponse, WSGIEnvironment

VERSION = "v0"
IMPORT_S = 0.0
TEXT = Path(__file__).parent / "text.txt"

time.sleep(IMPORT_S)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    asked = dict(parse_qsl(environ["QUERY_STRING"]))
    parts, pause_s = int(asked.get("parts", 1)), float(asked.get("pause", 0))
    digest = digest_of(environ)
    time.sleep(float(asked.get("wait", 0)))
    headers = [("Content-Type", "text/plain"), ("X-Version", VERSION)]
    if environ["PATH_INFO"] == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "no")])
        return events()
    if not pause_s:
        body = b"".join(lines(parts, 0, digest))
        start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
        return [body]
    start_response("200 OK", [*headers, ("X-Accel-Buffering", "no")])
    return lines(parts, pause_s, digest)


def digest_of(environ: WSGIEnvironment) -> str:
    digest = hashlib.sha256()
    while block := environ["wsgi.input"].read(65_536):
        digest.update(block)
    return digest.hexdigest()


def line() -> bytes:
    import part  # noqa: PLC0415 (as late as can be: from which release?)

    return f"{VERSION} {part.VERSION} {TEXT.read_text().strip()}\n".encode()


def lines(parts: int, pause_s: float, digest: str) -> Iterator[bytes]:
    for number in range(parts):
        if number and pause_s:
            time.sleep(pause_s)
        yield line()
    yield digest.encode()


def events() -> Iterator[bytes]:
    while True:
        yield b"data: " + line() + b"\n"
        time.sleep(0.1)
