"""Answers with how often this path was asked for, with status and fields of the query, or what was ordered for all."""

import os
import time
from urllib.parse import parse_qsl

calls: dict[str, int] = {}
ordered: dict[str, str] = {}


def application(environ, start_response):
    path, query = environ["PATH_INFO"], dict(parse_qsl(environ["QUERY_STRING"]))
    if path == "/order":
        ordered.clear()
        ordered.update(query)
        start_response("204 No Content", [])
        return []
    if path == "/crash":
        os.kill(os.getpid(), 9)
    calls[path] = calls.get(path, 0) + 1
    said = query | ordered
    time.sleep(float(said.pop("sleep", "0")))
    status = said.pop("status", "200 OK")
    who = environ.get("HTTP_COOKIE", "nobody") if said.pop("personal", "") else ""
    size = int(said.pop("size", "0"))
    body = f"{calls[path]} {environ['REQUEST_METHOD']} {who}".encode() + b"." * size
    pieces = said.pop("pieces", "")
    start_response(status, [*said.items(), ("Content-Type", "text/plain")])
    return (piece for piece in (body[:1], body[1:])) if pieces else [body]
