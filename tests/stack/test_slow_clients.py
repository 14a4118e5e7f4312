"""Slow clients: thousands that never end their request, and some that hardly read their answer. Others are served.

In CI a tenth of the clients, and facts; marked `slow` all of them, and how long an ordinary client waits.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from front_support import Client

from .asking import ask
from .engine import HERE, TAG, Stack, run
from .footprint import Footprint, serving
from .transfer_client import PIECE, digest

APPS = [HERE / "apps" / name for name in ("counting", "streams_bytes")]
SCRIPT = HERE / "slow_client.py"

CI, FULL = 500, 5000
FLAT_BYTES = 16_000_000


class Held(threading.Thread):
    """Samples how many sockets the front's processes have open, while its `with` block runs. most: at once."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(daemon=True)
        self._folders = [Path(f"/proc/{pid}/fd") for pid in serving(stack, "front")]
        self._ended = threading.Event()
        self.most = 0

    def __enter__(self) -> Held:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(0.2):
            self.most = max(self.most, sum(len(os.listdir(folder)) for folder in self._folders))


def attacked(stack: Stack, kind: str, clients: int, **options: object) -> list[dict[str, Any]]:
    """The rounds of slow_client.py, run in a container of the stack's network."""
    container = ["docker", "run", "--rm", "--name", f"{stack.name}-slow-{kind}", "--network", f"{stack.name}_default"]
    python = ["--volume", f"{SCRIPT}:/slow_client.py:ro", "--entrypoint", "python3", f"hedgerow/appserver:{TAG}"]
    told = {"kind": kind, "clients": clients, "path": "/counting/", "ordinary-path": "/counting/", **options}
    arguments = [text for name, value in told.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    found: list[dict[str, Any]] = json.loads(run([*container, *python, "/slow_client.py", *arguments], timeout_s=500))
    return found


@pytest.mark.parametrize("kind", ["head", "body"])
def test_slow_requests_hold_nothing_but_connections(stack: Stack, kind: str) -> None:
    with Footprint(stack) as seen, Held(stack) as held:
        alone, slowed = attacked(stack, kind, CI, every_s=0.3, requests=2000)
    print(alone, slowed, seen, f"{held.most} descriptors", sep="\n")
    assert alone["statuses"] == slowed["statuses"] == {"200": 2000}
    assert slowed["held"] == CI
    assert held.most > CI
    assert seen.growth("front") < FLAT_BYTES
    assert seen.growth("appserver") < FLAT_BYTES
    assert stack.get("/counting/ids").body == b"", "none of them has reached an app"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["head", "body"])
def test_an_ordinary_client_hardly_notices_five_thousand_slow_ones(stack: Stack, kind: str) -> None:
    with Footprint(stack) as seen, Held(stack) as held:
        told = attacked(stack, kind, FULL, every_s=5, rounds=3, requests=20_000)
    print(*told, seen, f"{held.most} descriptors", sep="\n")
    slowed, alone = ([one for one in told if one["slow"] is slow] for slow in (True, False))
    assert [one["statuses"] for one in told] == [{"200": 20_000}] * 6
    assert {one["held"] for one in slowed} == {FULL}
    assert held.most > FULL
    was, became = (median(one["p99_ms"] for one in each) for each in (alone, slowed))
    print(f"p99: {was:.2f} ms alone, {became:.2f} ms beside {FULL} slow clients ({kind})")
    assert became <= max(2 * was, was + 5)


# --- slow readers -----------------------------------------------------------------------------------------------------

READERS = 50
PIECES = 50_000_000 // PIECE
SIP_BYTES, SIPS, SIP_EVERY_S = 2000, 10, 0.3
RECEIVE_BUFFER = 8192


class Reader(Client):
    """A client that asks for much and takes sips. taken: what it has of the answer, with its head."""

    def __init__(self, port: int) -> None:
        super().__init__(port, RECEIVE_BUFFER)
        self.taken = b""
        self.head("GET", f"/streams_bytes/{PIECES}", "Connection: close")

    def sip(self) -> None:
        self.taken += self.socket.recv(SIP_BYTES)

    def rest(self) -> tuple[int, str]:
        """Size and digest of the body, the rest of which is read without pauses."""
        _, _, begun = self.taken.partition(b"\r\n\r\n")
        made, size = hashlib.sha256(begun), len(begun)
        while piece := self.socket.recv(PIECE):
            made.update(piece)
            size += len(piece)
        return size, made.hexdigest()


@contextmanager
def readers(port: int) -> Iterator[list[Reader]]:
    with ExitStack() as exits:
        yield [exits.enter_context(Reader(port)) for _ in range(READERS)]


def sip_on(crowd: list[Reader], end: threading.Event) -> None:
    """All of them, a sip each, until the end but at least so often."""
    taken = 0
    while taken < SIPS or not end.is_set():
        for reader in crowd:
            reader.sip()
        time.sleep(SIP_EVERY_S)
        taken += 1


def test_slow_readers_cost_no_memory_and_nobodys_time(stack: Stack) -> None:
    end = threading.Event()
    with Footprint(stack) as seen, readers(stack.port) as crowd, ThreadPoolExecutor(1) as pool:
        sipping = pool.submit(sip_on, crowd, end)
        answers = ask(stack.port, "/counting/", clients=4, requests=1000, keep_alive=True)
        end.set()
        sipping.result()
        whole = crowd[0].rest()
    print(seen, answers.by, f"{answers.longest_s:.3f} s at longest", sep="\n")
    assert answers.by == {"ok": 1000}
    assert all(reader.taken.startswith(b"HTTP/1.1 200 OK\r\n") for reader in crowd)
    assert whole == (PIECES * PIECE, digest(PIECES))
    assert seen.growth("front") < FLAT_BYTES
    assert seen.growth("appserver") < FLAT_BYTES
    assert seen.spooled < 64 << 10
