"""Counts what runs: the id of each POST is appended to one file that all replicas share."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

IDS = Path(__file__).parent / "data" / "ids"
IDS.touch()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/ids":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(IDS.stat().st_size))])
        return iter([IDS.read_bytes()])
    body = b"ok"
    if environ["REQUEST_METHOD"] == "POST":
        body = environ["wsgi.input"].read()
        append(body + b"\n")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def append(line: bytes) -> None:
    """One write with O_APPEND: whole lines, in whatever order the replicas come."""
    file = os.open(IDS, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, line)
    finally:
        os.close(file)
