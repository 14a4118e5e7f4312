"""Answers with the status and the header fields that the query names, whatever they are."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl
from wsgiref.types import StartResponse, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    asked = parse_qsl(environ["QUERY_STRING"], keep_blank_values=True, encoding="latin-1")
    status = dict(asked).get("status", "200 OK")
    fields = [(name, value) for name, value in asked if name != "status"]
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", "2"), *fields])
    return [b"ok"]
