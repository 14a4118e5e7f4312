"""A worker after very many requests of all kinds: memory, descriptors and greenlets as after the first part of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from pathlib import Path

import pytest
from soak_client import Crowd
from worker_support import Worker, receive, serving

AT_ONCE = 64
LOOKS = 5
FIGURES = ("memory", "descriptors", "greenlets")


def wait_until_all_have_gone(worker: Worker) -> None:
    end = time.monotonic() + 40  # a client may be listened to for 30 s behind its last answer
    while (status := worker.status())["connections"] or status["in_flight"]:
        assert time.monotonic() < end, status
        time.sleep(0.05)


def look(worker: Worker) -> tuple[int, int, int]:
    """FIGURES, once all connections have ended."""
    wait_until_all_have_gone(worker)
    greenlets = worker.control("GET", "/stacks")[1].count(" (otid=0x")
    folder = f"/proc/{worker.process.pid}/fd"
    descriptors = []
    for _ in range(LOOKS):  # the least of them: the connection of our own question may not be closed yet
        descriptors.append(len(os.listdir(folder)))
        time.sleep(0.01)
    return worker.memory(), min(descriptors), greenlets


def held_until(worker: Worker, crowd: Crowd, requests: int) -> list[float]:
    """FIGURES after so many requests: the medians of some looks on the last stretch.

    Memory goes up and down by 1 MB, the size of the interpreter's arenas.
    """
    looks = []
    for turn in range(LOOKS):
        crowd.run(requests - (LOOKS - 1 - turn) * requests // 50)
        looks.append(look(worker))
    return [statistics.median(column) for column in zip(*looks, strict=True)]


def ask_at_once(worker: Worker, count: int) -> None:
    """As many greenlets as there will ever be."""
    socks = [worker.connect() for _ in range(count)]
    for sock in socks:
        sock.sendall(b"GET /engine/sleep?0.3 HTTP/1.1\r\nHost: a\r\n\r\n")
    for sock in socks:
        receive(sock, b"slept")
        sock.close()


@pytest.mark.parametrize(
    ("first", "requests", "growth"),
    [
        (20_000, 60_000, 1.10),  # 10 % are 90 bytes a request; memory is not yet as broken up as it will be
        pytest.param(100_000, 1_000_000, 1.05, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
def test_mixed_requests_leave_nothing_behind(tmp_path: Path, first: int, requests: int, growth: float) -> None:
    with serving(tmp_path, stdout=subprocess.DEVNULL) as worker:
        ask_at_once(worker, AT_ONCE)
        crowd = Crowd(worker.address, AT_ONCE)
        started = time.monotonic()
        early = held_until(worker, crowd, first)
        late = held_until(worker, crowd, requests)
        seconds = time.monotonic() - started
        assert worker.ask("/engine/hello")[1] == b"hello"
    print(f"{crowd.requests} requests in {seconds:.0f} s by {crowd.clients.total()} clients: {dict(crowd.clients)}")
    print(f"{FIGURES} after {first}: {early}, after {requests}: {late}")
    for name, before, after in zip(FIGURES, early, late, strict=True):
        assert after <= before * growth, name
