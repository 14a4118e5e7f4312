"""Frameworks side by side in the shipped image, by the Python that it has, each installed from the package index by the
stack itself and used in real sessions.
"""

from __future__ import annotations

import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from neighbours import Use, lay, newer

from . import engine as docker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
APPS: list[str] = []
ARRIVE_S = 400
# app → the framework whose pages it has, what its version begins with, its pool
PAGES = {
    "flask": ("flask", "3.", "shared"),
    "bottle": ("bottle", "0.1", "own"),
    "falcon": ("falcon", "4.", "shared"),
    "pyramid": ("pyramid", "2.", "shared"),
    "fastapi": ("fastapi", "0.", "own"),
    "django52": ("django", "5.2.", "own"),
    "django60": ("django", "6.0.", "own"),
}
ASYNC = {"async_flask": ("flask", "3.", "own"), "async_django": ("django", "5.2.", "own")}
ALL = {**PAGES, **ASYNC}


@pytest.fixture(scope="module")
def here(idle_stack: docker.Stack) -> docker.Stack:
    lay(idle_stack.apps, ALL)
    began = time.monotonic()
    idle_stack.up(1, wait=False)
    docker.wait_for(lambda: answering(idle_stack) == set(ALL), "all apps answer", within_s=ARRIVE_S)
    print(f"\nall {len(ALL)} answer after {time.monotonic() - began:.0f} s")
    return idle_stack


def answering(here: docker.Stack) -> set[str]:
    with contextlib.suppress(OSError, docker.DockerError):
        return {name for name in ALL if here.get(f"/{name}/").status == 200}
    return set()


def about(here: docker.Stack, name: str) -> dict[str, Any]:
    answer = here.get(f"/{name}/about")
    assert answer.status == 200, answer
    found: dict[str, Any] = json.loads(answer.body)
    return found


def status(here: docker.Stack) -> dict[str, Any]:
    return {one["name"]: one for one in json.loads(here.exec("appserver", "hedgerow", "status", "--json"))["apps"]}


def test_all_are_used_at_once_while_new_releases_of_all_are_brought(here: docker.Stack) -> None:
    docker.wait_for(lambda: all(one["state"] == "up" for one in status(here).values()), "all are up", within_s=60)
    before = status(here)
    uses = {name: Use(here.port, name, page) for name, (page, *_) in PAGES.items()}
    with contextlib.ExitStack() as running:
        for use in uses.values():
            running.enter_context(use.again(1))
        for name in ALL:
            newer(here.apps / name)
        bring = "all serve the next release"
        docker.wait_for(lambda: all(about(here, name)["version"] == "two" for name in ALL), bring, within_s=200)
        docker.wait_for(lambda: all(use.done >= 6 or use.wrong for use in uses.values()), "six sessions", within_s=120)
    after = status(here)
    for name, (_, version, pool) in ALL.items():
        tells = about(here, name)
        print(name, tells["framework"], tells["python"], after[name]["pool"], after[name]["reason"])
        assert tells["python"].startswith("3.14."), tells
        assert tells["framework"].startswith(version), tells
        assert after[name]["pool"] == before[name]["pool"] == pool, after[name]
    print({name: use.done for name, use in uses.items()}, sum(use.done for use in uses.values()))
    assert [wrong for use in uses.values() for wrong in use.wrong] == []


@pytest.mark.parametrize("name", ASYNC)
def test_a_hundred_async_views_at_once(here: docker.Stack, name: str) -> None:
    with ThreadPoolExecutor(100) as clients:
        found = list(clients.map(lambda _: here.get(f"/{name}/"), range(100)))
    assert [(one.status, one.text) for one in found] == [(200, name.replace("_", " "))] * 100
