"""Says at once which address serves, then computes until the client has gone, with a sign of life after each burst.

So does code that renders or parses much: during a burst its process can do nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from wsgiref.types import StartResponse, WSGIEnvironment

BURST_S = 0.1


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Accel-Buffering", "no")])
    yield f"{environ['hedgerow.replica']}:{environ['hedgerow.address']}\n".encode()
    while True:
        end = time.monotonic() + BURST_S
        while time.monotonic() < end:
            pass
        time.sleep(0.001)  # between two bursts others have a turn
        yield b"."
