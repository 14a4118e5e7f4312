"""Says at once which address serves, then waits until the client has gone, with a sign of life each tenth second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from wsgiref.types import StartResponse, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Accel-Buffering", "no")])
    yield f"{environ['hedgerow.replica']}:{environ['hedgerow.address']}\n".encode()
    while True:
        time.sleep(0.1)
        yield b"."
