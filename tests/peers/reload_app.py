"""Answers with its release and the digest of what it was sent, as `deploy_client.py` wants it: `?parts=3&wait=1`.

It is one file that reads nothing later: a server that loads from the folder itself cannot mix two releases of it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl
from wsgiref.types import StartResponse, WSGIEnvironment

VERSION = "v0"
IMPORT_S = 0.0

time.sleep(IMPORT_S)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    asked = dict(parse_qsl(environ["QUERY_STRING"]))
    parts, pause_s = int(asked.get("parts", 1)), float(asked.get("pause", 0))
    digest = hashlib.sha256()
    while block := environ["wsgi.input"].read(65_536):
        digest.update(block)
    time.sleep(float(asked.get("wait", 0)))
    line = f"{VERSION} {VERSION} {VERSION}\n".encode()
    headers = [("Content-Type", "text/plain"), ("X-Version", VERSION)]
    if pause_s:
        start_response("200 OK", [*headers, ("X-Accel-Buffering", "no")])
        return slowly(line, parts, pause_s, digest.hexdigest())
    body = line * parts + digest.hexdigest().encode()
    start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [body]


def slowly(line: bytes, parts: int, pause_s: float, digest: str) -> Iterator[bytes]:
    for number in range(parts):
        if number:
            time.sleep(pause_s)
        yield line
    yield digest.encode()
