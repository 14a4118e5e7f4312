"""An app of a shared worker that lets nobody else run, or ends it: what its neighbours notice, and where it goes."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from control_support import Neighbour, Stack, drop, get, stack, until

from hedgerow.control.ledger import Ledger

BAD = """
import ctypes
import time

many = range(2 * 10**9)  # to add them takes half a minute, in C, which nothing interrupts


def loop():
    while True:
        pass


WAYS = {"/loop": loop, "/stuck": lambda: sum(many), "/segfault": lambda: ctypes.string_at(0), "/": lambda: None}


def application(environ, start_response):
    WAYS[environ["PATH_INFO"]]()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"bad"]
"""
QUIET = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"quiet"]
"""
LIMIT_S = 1.0
ENDED_S = 6.0  # what follows the limit: a worker's end and its start on a busy machine; `/stuck` lasts 30


@contextmanager
def neighbours(**settings: str) -> Iterator[Stack]:
    with stack(workers=2, HEDGEROW_HUB_LIMIT_S=str(LIMIT_S), **settings) as here:
        drop(here.apps, "bad", BAD)
        drop(here.apps, "quiet", QUIET)
        here.up()
        until(lambda: all(get(here.port, f"/{name}/")[0] == 200 for name in ("bad", "quiet")), 40, "both are up")
        yield here


def quiet_at(port: int) -> Neighbour:
    return Neighbour(lambda: get(port, "/quiet/", timeout_s=20), (200, b"quiet"), threads=4)


def offend(here: Stack, path: str) -> int:
    """The status that who asked for it got; 0 for none."""
    connection = http.client.HTTPConnection("127.0.0.1", here.port, timeout=30)
    try:
        connection.request("POST", f"/bad{path}")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def placed(here: Stack) -> tuple[str, str]:
    found = next(app for app in here.status()["apps"] if app["name"] == "bad")
    return found["pool"], found["reason"]


def workers(here: Stack) -> set[int]:
    groups = here.status()["replicas"][0]["addresses"]
    return {slot["pid"] for group in groups for slot in group["slots"].values() if "pid" in slot}


def settled(here: Stack) -> bool:
    """Its round has ended, for which all addresses run what is wanted, and the workers before them have gone."""
    if Ledger(here.state).read().round is not None:
        return False
    return all(group["state"] == "single" for group in here.status()["replicas"][0]["addresses"])


@pytest.mark.parametrize("way", ["/loop", "/stuck", "/segfault"])
def test_neighbours_are_served_again_and_the_third_time_it_goes_to_a_pool_of_its_own(way: str) -> None:
    with neighbours() as here:
        longest = []
        for _ in range(3):
            before = workers(here)
            with quiet_at(here.port) as quiet:
                time.sleep(0.2)
                status = offend(here, way)
                time.sleep(0.3)
                assert status == (504 if way == "/loop" else 502)
                until(lambda: before - workers(here), 20, "its worker is replaced")  # noqa: B023
            assert quiet.wrong == [], "no GET of a neighbour fails"
            longest.append(quiet.longest)
        print(f"{way}: the neighbour waited for {', '.join(f'{one:.1f}' for one in longest)} s at most")
        assert max(longest) < LIMIT_S + ENDED_S
        until(lambda: placed(here)[0] == "own", 30, "it has a pool of its own")
        told = {"/loop": "kept all others waiting for", "/stuck": "ended its worker", "/segfault": "ended its worker"}
        assert f"bad: 3 times in 10 minutes it {told[way]}" in placed(here)[1]
        until(lambda: settled(here), 30, "nothing is replaced any more")
        before = workers(here)
        with quiet_at(here.port) as quiet:
            assert offend(here, "/segfault") == 502
            time.sleep(1)
        assert quiet.wrong == []
        assert workers(here) == before, "what it does now is nobody else's business"
