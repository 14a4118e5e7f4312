"""What a small keep-alive request costs in system calls: one recv, one send, a share of epoll_wait.

A real worker with its access log on, under strace, which is installed as a Debian package where it is missing.
"""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from worker_support import DEADLINE_S, Worker, receive, serving

ROOT = Path(__file__).resolve().parents[2]
REQUEST = b"GET /engine/hello HTTP/1.1\r\nHost: a\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n"
REQUESTS = 1280
LAST = "/engine/hello?last"
CALL = re.compile(r"^(?:\d+ +)?(\w+)\(", re.MULTILINE)

# What is not the requests' own: a few of each a second, by the sweep, the heartbeat and the log's writer.
SLACK = 60


@pytest.fixture(scope="module")
def strace() -> str:
    subprocess.run([ROOT / ".ci" / "packages.sh", "strace:strace"], check=True, timeout=300)
    found = shutil.which("strace")
    assert found is not None
    return found


@contextmanager
def traced(strace: str, pid: int, record: Path) -> Iterator[None]:
    """All system calls of all threads of a process go to a file meanwhile."""
    tracer = subprocess.Popen([strace, "-f", "-qq", "-o", record, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    try:
        wait_until_attached(tracer, pid)
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        _, told = tracer.communicate(timeout=DEADLINE_S)
    assert "Operation not permitted" not in told, told


def wait_until_attached(tracer: subprocess.Popen[str], pid: int) -> None:
    end = time.monotonic() + DEADLINE_S
    while any("TracerPid:\t0\n" in status.read_text() for status in Path(f"/proc/{pid}/task").glob("*/status")):
        assert tracer.poll() is None, tracer.stderr.read() if tracer.stderr else ""
        assert time.monotonic() < end, "strace did not attach"
        time.sleep(0.01)


def ask_in_turns(socks: list[socket.socket], answer_bytes: int) -> None:
    """REQUESTS in all: each round one request on each connection, then all the answers."""
    for _ in range(REQUESTS // len(socks)):
        for sock in socks:
            sock.sendall(REQUEST)
        for sock in socks:
            assert len(receive(sock, answer_bytes)) == answer_bytes


def calls_of_requests(worker: Worker, strace: str, connections: int, record: Path) -> tuple[Counter[str], float]:
    """The calls that the worker made for REQUESTS, by name, and the seconds that it took."""
    socks = [worker.connect() for _ in range(connections)]
    for sock in socks:
        sock.sendall(REQUEST)
        answer = receive(sock, b"hello")
    with traced(strace, worker.process.pid, record):
        started = time.monotonic()
        ask_in_turns(socks, len(answer))
        seconds = time.monotonic() - started
    worker.ask(LAST)
    for sock in socks:
        sock.close()
    return Counter(CALL.findall(record.read_text())), seconds


@pytest.mark.parametrize("connections", [1, 64])
def test_a_small_request_is_one_recv_one_send_and_a_share_of_epoll_wait(
    tmp_path: Path, strace: str, connections: int
) -> None:
    with serving(tmp_path) as worker:
        counted, seconds = calls_of_requests(worker, strace, connections, tmp_path / "calls")
        lines = len(worker.lines(wanted=f'"path":"{LAST}"'))
    print(f"{REQUESTS} requests on {connections} connections: {dict(counted.most_common())}")
    waits = counted.pop("epoll_wait", 0) + counted.pop("epoll_pwait", 0)
    assert REQUESTS <= counted.pop("recvfrom") <= REQUESTS + SLACK
    assert REQUESTS <= counted.pop("sendto") <= REQUESTS + SLACK
    assert waits <= REQUESTS + SLACK
    assert connections == 1 or waits <= REQUESTS / 2, "the ready connections of a round share their waits"
    # libev looks for a fork each time that it has waited, and gevent lets nobody turn that off.
    assert counted.pop("getpid", 0) <= waits + SLACK
    # The log's writer gathers lines for 20 ms and writes them at once; it and the hub hand the interpreter's lock to
    # each other by futexes.
    assert counted.pop("write") <= seconds / 0.02 + SLACK
    assert counted.pop("clock_nanosleep") <= seconds / 0.02 + SLACK
    assert counted.pop("futex") <= REQUESTS / 2
    assert sum(counted.values()) <= SLACK, f"calls nobody needs: {counted}"
    assert lines > REQUESTS, "the access log was on"
