"""An instance with `__call__`, which holds state.

The application is an object that was made once, when the process loaded this file. What it keeps lives as long as the
process, and is shared by all requests of this process that run at the same time: so every change is made under a lock.
Another process has another instance and counts for itself. What all must see belongs in a file or a database.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template
from wsgiref.types import StartResponse, WSGIEnvironment

HERE = Path(__file__)
PAGE = Template(HERE.with_name("page.html").read_text("utf-8"))
SOURCE = escape(HERE.read_text("utf-8"))


class Counter:
    """Counts the times its page was given out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._since = time.strftime("%H:%M:%S UTC", time.gmtime())

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        headers = [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store")]
        if environ.get("PATH_INFO", "") not in ("", "/"):
            status, text = "404 Not Found", "<!doctype html><title>404</title><p>This app has one page: its root.\n"
        elif method not in ("GET", "HEAD"):
            status, text = "405 Method Not Allowed", "<!doctype html><title>405</title><p>This page can only be read.\n"
            headers.append(("Allow", "GET, HEAD"))
        else:
            count = self._add(1 if method == "GET" else 0)
            status, text = "200 OK", PAGE.substitute(count=count, since=self._since, process=os.getpid(), source=SOURCE)
        body = text.encode()
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return [] if method == "HEAD" else [body]

    def _add(self, number: int) -> int:
        # `+=` is a read and a write; without the lock two requests may read the same number.
        with self._lock:
            self._count += number
            return self._count


application = Counter()
