"""A class whose instances are the answer.

Calling a class makes an instance, so a class can be a WSGI application: `__init__` takes environ and start_response,
`__iter__` yields the body piece by piece, and the server sends each piece when it is made. When the answer is done, or
the client has gone in the middle of it, the server calls `close()`: the place to give back what the answer held.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

HERE = Path(__file__)
HEAD, ROW, TAIL = (Template(part) for part in HERE.with_name("page.html").read_text("utf-8").split("<!-- cut -->\n"))
SOURCE = escape(HERE.read_text("utf-8"))


class Application:
    """One instance is one answer: its attributes belong to this request alone."""

    last_close = "none yet: this is the first answer of this process"

    def __init__(self, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        self.started = time.perf_counter()
        self.sent = 0
        self.rows = 0
        self.status, headers = "200 OK", [("Content-Type", "text/html; charset=utf-8")]
        wanted = parse_qs(environ.get("QUERY_STRING", "")).get("rows", ["6"])[0]
        if environ.get("PATH_INFO", "") not in ("", "/"):
            self.status = "404 Not Found"
        elif environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            self.status, headers = "405 Method Not Allowed", [*headers, ("Allow", "GET, HEAD")]
        elif not re.fullmatch("[1-9][0-9]{0,2}", wanted):
            self.status = "400 Bad Request"
        else:
            self.rows = int(wanted)
        self.body_wanted = environ["REQUEST_METHOD"] != "HEAD"
        start_response(self.status, headers)

    def __iter__(self) -> Iterator[bytes]:
        if not self.body_wanted:
            return
        if not self.rows:
            yield f"<!doctype html><title>{self.status}</title><p>{self.status}\n".encode()
            return
        yield HEAD.substitute().encode()
        for number in range(1, self.rows + 1):
            self.sent = number
            yield ROW.substitute(number=number, micros=f"{self._age_us():,}").encode()
        yield TAIL.substitute(source=SOURCE, last_close=Application.last_close).encode()

    def close(self) -> None:
        Application.last_close = f"after {self.sent} of {self.rows} rows, {self._age_us():,} µs after its start"

    def _age_us(self) -> int:
        return round((time.perf_counter() - self.started) * 1e6)


application = Application
