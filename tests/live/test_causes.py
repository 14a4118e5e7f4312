"""Why a request has no answer of its app: one word, the same in page, JSON and log, with the request's id."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from control_support import Stack, drop, get, stack, until

APP = """
import os
import time


def application(environ, start_response):
    if environ["PATH_INFO"] == "/end":
        os._exit(1)
    if environ["PATH_INFO"] == "/raise":
        raise ValueError("no")
    if environ["PATH_INFO"] == "/spin":
        while True:
            pass
    time.sleep(float(environ["QUERY_STRING"] or 0))
    fields = {"Content-Type": "text/plain", "X-Accel-Buffering": "no", "X-Hedgerow-Cause": "invented"}
    start_response("200 OK", [*fields.items()])
    return held() if environ["PATH_INFO"] == "/hold" else [b"0"]


def held():
    while True:
        yield b"in"
        time.sleep(0.05)
"""
LIMITS = {
    "narrow": "[limits]\nrunning = 1\nwaiting = 0\n",
    "late": "[limits]\ndeadline_s = 0.4\n",
    "rated": "[limits]\nrate = 0.01\n",
    "lone": "",
    "small": "[limits]\nbody_bytes = 10\n",
}
JSON, HTML = "application/json", "text/html,application/xhtml+xml,application/json;q=0.1,*/*;q=0.1"


@pytest.fixture(scope="module")
def here() -> Iterator[Stack]:
    with stack(workers=1) as made:
        for name, manifest in LIMITS.items():
            drop(made.apps, name, APP)
            if manifest:
                drop(made.apps, name, manifest, "app.toml")
        drop(made.apps, "own", APP)
        drop(made.apps, "own", 'isolation = "strict"\n', "app.toml")
        drop(made.apps, "broken", "import nothing_of_that_name\n")
        made.up()
        for name in (*LIMITS, "own"):
            until(lambda name=name: get(made.port, f"/{name}/") == (200, b"0") or name == "rated", 60, name)
        until(lambda: get(made.port, "/broken/")[0] == 503, 60, "broken is down")
        yield made


def ask(here: Stack, method: str, path: str, accept: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", here.port, timeout=20)
    try:
        connection.request(method, path, b"hello, world" if "/small/" in path else None, {"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@contextmanager
def occupied(here: Stack) -> Iterator[None]:
    """The one place of the narrow app is taken, which whoever had it leaves when it next writes."""
    until(lambda: get(here.port, "/narrow/")[0] == 200, 10, "the place is free")
    connection = http.client.HTTPConnection("127.0.0.1", here.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", "/narrow/hold")
        assert connection.getresponse().read(2) == b"in"
        yield


def logged(here: Stack, source: str, request_id: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def look() -> bool:
        lines = [line for file in (here.state / "logs").rglob("*.log") for line in file.read_text().splitlines()]
        found[:] = [json.loads(line) for line in lines if request_id in line and source in line]
        return bool(found)

    until(look, 10, f"{source} of {request_id} is in the log")
    return found[-1]


CASES: dict[str, tuple[int, str, str]] = {
    "full": (503, "GET", "/narrow/"),
    "deadline": (504, "GET", "/late/?5"),
    "blocked": (504, "POST", "/late/spin"),
    "body": (413, "POST", "/small/"),
    "error": (500, "GET", "/lone/raise"),
    "rate": (429, "GET", "/rated/"),
    "down": (503, "GET", "/broken/"),
    "crashed": (502, "POST", "/own/end"),
}


@pytest.mark.parametrize("cause", CASES)
@pytest.mark.parametrize("accept", [HTML, JSON], ids=["page", "json"])
def test_the_word_is_in_the_page_and_in_both_logs(here: Stack, cause: str, accept: str) -> None:
    status, method, path = CASES[cause]
    with ExitStack() as also:
        if cause == "full":
            also.enter_context(occupied(here))
        if cause == "rate":
            ask(here, method, path, accept)
        found, headers, body = ask(here, method, path, accept)
    assert found == status
    request_id = headers["X-Request-Id"]
    assert read(headers, body) == (cause, request_id)
    assert headers["X-Hedgerow-Cause"] is None, "the front keeps it"
    front = logged(here, '"source":"front"', request_id)
    assert (front["status"], front["cause"]) == (status, cause)
    worker = logged(here, '"kind":"access"', request_id)
    assert (worker["status"], worker["cause"]) == (status, cause)


def read(headers: http.client.HTTPMessage, body: bytes) -> tuple[str, str]:
    """Cause and request id of a page."""
    if headers["Content-Type"] == JSON:
        told = json.loads(body)
        return told["cause"], told["request_id"]
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    _, _, small = body.decode().partition("<small>")
    word, _, rest = small.partition(" · request <code>")
    return word, rest.partition("</code>")[0]


def test_the_word_of_an_app_is_not_believed(here: Stack) -> None:
    status, headers, _ = ask(here, "GET", "/lone/", HTML)
    assert (status, headers["X-Hedgerow-Cause"]) == (200, None)
    assert logged(here, '"source":"front"', headers["X-Request-Id"])["cause"] == ""
