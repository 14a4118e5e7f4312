"""A stream that many can wait for.

`stream` is an answer that does not end: server-sent events, one a second. The code is as plain as can be, a generator
with `time.sleep`. On a server with a thread or a process for each request every open page would hold one of them; on
greenlets a sleeping generator costs a few kilobytes, so thousands can wait in one process.
When the client goes, the server closes the generator: `finally` runs and this clock has one listener less.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Template
from urllib.parse import parse_qs, quote
from wsgiref.types import StartResponse, WSGIEnvironment

PAGE = Template(Path(__file__).with_name("page.html").read_text("utf-8"))
MAX_COUNT = 3600
Headers = list[tuple[str, str]]


class Listeners:
    """How many streams this process feeds now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.number = 0

    def add(self, number: int) -> None:
        with self._lock:
            self.number += number


listeners = Listeners()


def ticks(count: int | None) -> Iterator[bytes]:
    """One event at once and one each second after it; `count` of them, or without end."""
    listeners.add(1)
    try:
        start = time.monotonic()
        for number in itertools.count(1):
            told = {"n": number, "time": utc(), "listeners": listeners.number, "process": os.getpid()}
            yield f"id: {number}\ndata: {json.dumps(told)}\n\n".encode()
            if number == count:
                return
            # Counted from the start, so that the time spent on sending does not add up.
            time.sleep(max(0.0, start + number - time.monotonic()))
    finally:
        listeners.add(-1)


def stream(environ: WSGIEnvironment) -> tuple[str, Headers, Iterable[bytes]]:
    wanted = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True).get("count", [None])[0]
    if wanted is not None and not (re.fullmatch("[0-9]{1,4}", wanted) and 1 <= int(wanted) <= MAX_COUNT):
        return text("400 Bad Request", f"count is a number from 1 to {MAX_COUNT}\n")
    headers = [
        ("Content-Type", "text/event-stream; charset=utf-8"),
        ("Cache-Control", "no-store"),
        # A proxy that buffers would keep the events until its buffer is full.
        ("X-Accel-Buffering", "no"),
    ]
    return "200 OK", headers, ticks(int(wanted) if wanted else None)


def page() -> tuple[str, Headers, Iterable[bytes]]:
    now = time.gmtime()
    second, minute, hour = now.tm_sec * 6, now.tm_min * 6, now.tm_hour % 12 * 30 + now.tm_min // 2
    body = PAGE.substitute(time=utc(), second=second, minute=minute, hour=hour).encode()
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("Content-Length", str(len(body))),
    ]
    return "200 OK", headers, [body]


def text(status: str, body: str, *headers: tuple[str, str]) -> tuple[str, Headers, Iterable[bytes]]:
    return status, [("Content-Type", "text/plain; charset=utf-8"), *headers], [body.encode()]


def utc() -> str:
    return time.strftime("%H:%M:%S", time.gmtime())


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
    if path not in ("", "/", "/stream"):
        status, headers, body = text("404 Not Found", "There is the clock at the root, and its stream.\n")
    elif method not in ("GET", "HEAD"):
        status, headers, body = text("405 Method Not Allowed", "A clock can only be read.\n", ("Allow", "GET, HEAD"))
    elif path == "":
        # The page's links are relative, so its address must end with a slash.
        here = environ.get("SCRIPT_NAME", "").rpartition("/")[2]
        status, headers, body = text("308 Permanent Redirect", "", ("Location", quote(here, encoding="latin-1") + "/"))
    else:
        status, headers, body = stream(environ) if path == "/stream" else page()
    start_response(status, headers)
    return [] if method == "HEAD" else body
