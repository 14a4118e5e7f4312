"""An app in a pool of its own, behind a worker of an address: each a process, on sockets that the test holds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from worker_support import APPS, Worker, listening, listening_at


@dataclass
class Pair:
    """front: the worker of the address; pool: those behind it, one a socket."""

    front: Worker
    pool: list[Worker] = field(default_factory=list)


def pool_worker(run: Path, listener: Any, slot: str = "a", folder: Path = APPS / "engine", **options: Any) -> Worker:
    content = {"behind": True, "alone": True} | options.pop("content", {})
    name = Path(listener.getsockname()).stem
    return Worker(run, {"engine": folder}, listener, slot, name=name, content=content, **options)


@contextmanager
def forwarding(
    *, sockets: int = 1, mount: str = "/engine", folder: Path = APPS / "engine", **options: Any
) -> Iterator[Pair]:
    """A worker of an address that has `mine` itself, and `engine` in a pool. The paths of unix sockets are short."""
    with tempfile.TemporaryDirectory(prefix="hedgerow-") as place, ExitStack() as stack:
        run = Path(place)
        listeners = [stack.enter_context(listening_at(run / f"pool{n}.sock")) for n in range(sockets)]
        pool = [pool_worker(run, listener, folder=folder, **options) for listener in listeners]
        forward = {"path": mount, "host": None, "sockets": [worker.address for worker in pool]}
        listener = stack.enter_context(listening())
        content = {"forwards": {"engine": forward}}
        front = Worker(run, {"mine": APPS / "engine"}, listener, "a", content=content, **options)
        yield Pair(front, pool)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with forwarding() as pair:
        yield pair


def test_a_request_is_sent_on(pair: Pair) -> None:
    answer, body = pair.front.ask("/engine/hello")
    assert (answer.status, body) == (200, b"hello")
    assert pair.pool[0].status()["requests"] > 0


def test_bodies_go_both_ways(pair: Pair) -> None:
    for size in (0, 1, 5_000, 300_000):
        data = bytes(n % 251 for n in range(size))
        answer, body = pair.front.ask("/engine/echo", "POST", data)
        assert (answer.status, body) == (200, data)
        answer, body = pair.front.ask("/engine/echo", "POST", iter([data[:100], data[100:]]))
        assert (answer.status, body) == (200, data)


def test_the_front_worker_tells_that_it_sends_on(pair: Pair) -> None:
    apps = {app["name"]: (app["state"], app["forwarded"], app["mount"]) for app in pair.front.status()["apps"]}
    assert apps == {"mine": ("up", False, "/mine"), "engine": ("up", True, "/engine")}
    answer, _ = pair.front.ask("/engine?x=1")
    assert (answer.status, answer.getheader("Location")) == (308, "/engine/?x=1")
