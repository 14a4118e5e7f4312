"""Answers after 20 ms, as an app does that asks a database, with the address that served: REPLICA:ADDRESS."""

from __future__ import annotations

import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    time.sleep(0.02)
    body = f"{environ['hedgerow.replica']}:{environ['hedgerow.address']}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
