"""Writes down who takes a request that has a query, and ends that worker before it can answer: a poisonous request."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

TAKEN = Path(__file__).parent / "data" / "taken"
TAKEN.touch()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if not environ["QUERY_STRING"]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [TAKEN.read_bytes()]
    with TAKEN.open("a") as file:
        file.write(f"{environ['REQUEST_METHOD']}:{environ['QUERY_STRING']}:{socket.gethostname()}:{os.getpid()}\n")
    os.kill(os.getpid(), signal.SIGKILL)
    return []
