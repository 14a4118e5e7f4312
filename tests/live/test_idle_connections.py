"""What idle keep-alive connections cost a worker: memory each, and the time of the one client that is busy."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from worker_support import Worker, receive, serving

REQUEST = b"GET /engine/hello HTTP/1.1\r\nHost: a\r\n\r\n"
MAX_BYTES_EACH = 3 * 1024
AT_ONCE = 50
ROUNDS = 6

COUNTS = [2_000, pytest.param(15_000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])]


def served(worker: Worker, count: int) -> list[socket.socket]:
    """So many connections, each of which has had an answer."""
    socks: list[socket.socket] = []
    while len(socks) < count:
        some = [worker.connect() for _ in range(min(AT_ONCE, count - len(socks)))]
        for sock in some:
            sock.sendall(REQUEST)
        for sock in some:
            receive(sock, b"hello")
        socks += some
    return socks


@contextmanager
def idle(worker: Worker, count: int) -> Iterator[None]:
    """So many idle connections; all of them are still served afterwards."""
    socks = served(worker, count)
    try:
        yield
        for sock in socks[:: count // 100]:
            sock.sendall(REQUEST)
            receive(sock, b"hello")
    finally:
        for sock in socks:
            sock.close()


@pytest.fixture(autouse=True)
def _as_many_descriptors_as_there_may_be() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.mark.parametrize("count", COUNTS)
def test_an_idle_connection_costs_at_most_3_kb(tmp_path: Path, count: int) -> None:
    with serving(tmp_path) as worker:
        for sock in served(worker, 2 * AT_ONCE):  # what a first request needs once is there
            sock.close()
        wait_for_connections(worker, 0)
        before = worker.memory()
        with idle(worker, count):
            wait_for_connections(worker, count)
            each = (worker.memory() - before) / count
        wait_for_connections(worker, 0)
    print(f"{count} idle connections: {each:.0f} bytes each")
    assert 0 < each <= MAX_BYTES_EACH


@pytest.mark.parametrize("count", COUNTS)
def test_idle_connections_do_not_slow_the_busy_one(tmp_path: Path, count: int) -> None:
    """Two workers, one with idle connections and one without, asked in turns: the p99 of the first is at most twice
    that of the second, or 5 ms more.
    """
    seconds = 0.25 if count == 2_000 else 1.5  # in all, 9 s: nine turns of the sweep
    times: dict[str, list[float]] = {"crowded": [], "solo": []}
    with ExitStack() as stack:
        workers = {}
        for name in times:
            run = tmp_path / name
            run.mkdir()
            workers[name] = stack.enter_context(serving(run))
        stack.enter_context(idle(workers["crowded"], count))
        socks = {name: stack.enter_context(worker.connect()) for name, worker in workers.items()}
        for _ in range(ROUNDS):
            for name, sock in socks.items():
                times[name] += time_requests(sock, seconds)
    crowded, solo = (percentile_99(times[name]) for name in ("crowded", "solo"))
    print(f"p99 with {count} idle connections {crowded * 1e3:.2f} ms, without {solo * 1e3:.2f} ms")
    assert crowded <= max(2 * solo, solo + 0.005)


def wait_for_connections(worker: Worker, count: int) -> None:
    end = time.monotonic() + 10
    while worker.status()["connections"] != count:
        assert time.monotonic() < end, worker.status()
        time.sleep(0.02)


def time_requests(sock: socket.socket, seconds: float) -> list[float]:
    """How long each request took, one after the other."""
    times = []
    end = time.monotonic() + seconds
    while (started := time.monotonic()) < end:
        sock.sendall(REQUEST)
        receive(sock, b"hello")
        times.append(time.monotonic() - started)
    return times


def percentile_99(times: list[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]
