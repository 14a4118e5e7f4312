"""A function is all that WSGI asks for.

The server calls `application(environ, start_response)` once for each request. `environ` is a dict that tells everything
about the request. `start_response` takes the status and the headers. What is returned is an iterable of byte strings:
the body. No class, no framework and no server is named here, so any WSGI server can run this file.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

HERE = Path(__file__)
PAGE = Template(HERE.with_name("page.html").read_text("utf-8"))
SOURCE = escape(HERE.read_text("utf-8"))


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    headers = []
    if environ.get("PATH_INFO", "") not in ("", "/"):
        status, text = "404 Not Found", "This app has one page: its root.\n"
    elif environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        status, text = "405 Method Not Allowed", "This page can only be read.\n"
        headers = [("Allow", "GET, HEAD")]
    else:
        name = parse_qs(environ.get("QUERY_STRING", "")).get("name", ["world"])[0][:60]
        status, text = "200 OK", PAGE.substitute(name=escape(name), source=SOURCE)
    body = text.encode()
    kind = "text/html" if status == "200 OK" else "text/plain"
    start_response(status, [*headers, ("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
