"""An app in a pool of its own, reached through a worker of an address, is served as one that runs in that worker."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from forward_support import FRONT, Stack, forwarding, pool_worker
from worker_support import APPS, DEADLINE_S, receive

GET = b"GET /pooled/%b HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with forwarding() as stack:
        yield stack


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_requests_are_sent_on_over_a_kept_connection(stack: Stack) -> None:
    (worker,) = stack.pool
    served = worker.status()["requests"]
    for _ in range(5):
        answer, body = stack.front.ask("/pooled/pid")
        assert (answer.status, body) == (200, str(worker.process.pid).encode())
    status = worker.status()
    assert (status["requests"], status["connections"]) == (served + 5, 1)


def test_the_address_tells_that_it_sends_on(stack: Stack) -> None:
    apps = {app["name"]: (app["state"], app["forwarded"], app["mount"]) for app in stack.front.status()["apps"]}
    up = {"engine": ("up", False, "/engine"), "same": ("up", False, "/same"), "pooled": ("up", True, "/pooled")}
    assert apps == up
    answer, _ = stack.front.ask("/pooled?x=1")
    assert (answer.status, answer.getheader("Location")) == (308, "/pooled/?x=1")
    _, body = stack.front.ask("/", headers={"Accept": "application/json"})
    assert {"name": "pooled", "mount": "/pooled", "link": "/pooled/", "state": "up"} in json.loads(body)["apps"]


def test_an_app_alone_has_a_process_of_its_own(stack: Stack) -> None:
    _, body = stack.front.ask("/pooled/alone")
    place = str(APPS / "pooled")
    assert json.loads(body) == {
        "name": "app",
        "helper": "helper",
        "cwd": place,
        "path": place,
        "variable": "its own",
        "zone": "XYZ",
        "builtins": "dict",
        "import": "builtins",
        "environ": "_Environ",
    }
    lines = stack.pool[0].lines("printed alone")
    assert [line["app"] for line in lines if line["message"] == "printed alone"] == ["pooled"]


# What differs by intent: who serves, and what is between two hops only.
OTHER = {"hedgerow.address", "hedgerow.worker", "HTTP_CONNECTION", "HTTP_TE", "HTTP_KEEP_ALIVE", "wsgi.input"}


def differences(front: Any, path: str = "environ/a%20b/%E2%82%AC?q=1&r=%20", **options: Any) -> dict[str, Any]:
    """Of the environ in the worker itself and of the one in the pool: key to both values."""
    here, there = (json.loads(front.ask(f"/{name}/{path}", **options)[1]) for name in ("same", "pooled"))
    found = {}
    for key in here.keys() | there.keys():
        mine, other = (str(told.get(key)) for told in (here, there))
        if mine.replace("same", "pooled") != other and key not in OTHER:
            found[key] = (mine, other)
    found.pop("REMOTE_PORT", None)  # each request has a connection of its own
    return found


def test_the_environ_is_the_same(stack: Stack) -> None:
    """But for the id, which the worker makes where no front has."""
    headers = {
        "X-Hedgerow-Round": "1", "X-Hedgerow-Front": "spoofed", "X-Forwarded-For": "1.2.3.4", "Connection": "keep-alive, te",
        "Cookie": "a=1; b=2", "X-Odd--Name": "a, b", "Te": "trailers", "Content-Type": "text/x", "Expect": "100-continue",
    }  # fmt: skip
    ids = {"hedgerow.request_id", "HTTP_X_REQUEST_ID"}
    assert differences(stack.front, headers=headers).keys() == ids
    assert differences(stack.front, method="POST", body=b"abc", headers={"X-Latin": "\xe9"}).keys() == ids
    assert differences(stack.front, method="OPTIONS", headers={"Host": "example.org:81"}).keys() == ids


def test_behind_the_front_the_environ_is_the_same() -> None:
    with forwarding(TRUST_FRONT=1) as stack:
        headers = {**FRONT, "X-Forwarded-Port": "443", "X-Hedgerow-Front": "nginx-1", "X-Hedgerow-Round": "1"}
        assert differences(stack.front, headers=headers) == {}
        told = json.loads(stack.front.ask("/pooled/environ", headers=headers)[1])
        facts = [told[key] for key in ("REMOTE_ADDR", "wsgi.url_scheme", "SERVER_PORT", "hedgerow.front")]
        assert facts == ["192.0.2.7", "https", "443", "nginx-1"]
        assert told["hedgerow.request_id"] == told["HTTP_X_REQUEST_ID"] == FRONT["X-Request-Id"]


@pytest.mark.parametrize("mount", ["/", "/a%20b/%C3%A9"])
def test_the_split_of_the_path_is_the_one_at_the_door(mount: str) -> None:
    with forwarding(mount=mount) as stack:
        told = json.loads(stack.front.ask(f"{mount.rstrip('/')}/environ/%2F/x?y")[1])
        assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("" if mount == "/" else "/a b/\xc3\xa9", "/environ///x")
        assert told["REQUEST_URI"] == f"{mount.rstrip('/')}/environ/%2F/x?y"


def test_a_client_cannot_set_what_workers_tell_each_other(stack: Stack) -> None:
    spoofed = {"X-Hedgerow-App": "nobody", "X-Hedgerow-Mount": "/pooled/environ", "X-Hedgerow-Peer": "6.6.6.6,6,evil,6"}
    for path in ("/pooled/environ", "/same/environ"):
        told = json.loads(stack.front.ask(path, headers=spoofed)[1])
        assert (told["PATH_INFO"], told["REMOTE_ADDR"]) == ("/environ", "127.0.0.1")
        assert [key for key in told if "HEDGEROW" in key] == []
