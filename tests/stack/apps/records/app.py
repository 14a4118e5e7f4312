"""Writes down what it is asked, in one file that all replicas share, and answers with the request's id and target.

It has a line when it is entered, and one more when the body has been read to its end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

RECORDS = Path(__file__).parent / "data" / "records"
RECORDS.touch()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/records":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(RECORDS.stat().st_size))])
        return iter([RECORDS.read_bytes()])
    number, target = environ["hedgerow.request_id"], environ["RAW_URI"]
    told = {key: value for key, value in environ.items() if isinstance(value, str)}
    record({"id": number, "target": target, "environ": told})
    body = environ["wsgi.input"].read()
    record({"id": number, "target": target, "body_bytes": len(body)})
    answer = f"answered {number} {target}\n".encode("latin-1")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]


def record(line: dict[str, object]) -> None:
    """One write with O_APPEND: whole lines, in whatever order the replicas come."""
    file = os.open(RECORDS, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)
