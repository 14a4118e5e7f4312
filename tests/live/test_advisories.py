"""Cases of published advisories that are no bytes alone: time, half-open sockets, logs, Expect, what is run when.

tests/corpus/ADVISORIES.md has the table; the cases that are bytes are files beside it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from h11_support import read_answer
from worker_support import APPS, Worker, receive, serving

HELLO = b"GET /engine/hello HTTP/1.1\r\nHost: a\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"  # reaches the recorder, which answers 200
CHUNKED = b"POST /engine/digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
MIB = 2**20


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    apps = {"recorder": APPS / "recorder", "engine": APPS / "engine"}
    with serving(tmp_path_factory.mktemp("run"), apps) as running:
        yield running


def entered(worker: Worker) -> list[str]:
    """The targets that the recorder was asked for since the last call."""
    return [record["target"] for record in json.loads(worker.ask("/entered")[1])]


def cpu_s(worker: Worker) -> float:
    """User and system time of the worker."""
    fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def send_until_refused(sock: socket.socket, block: bytes, limit: int) -> int:
    """Send block again and again until the worker has answered or ended; bytes that were sent. Fails beyond limit."""
    sent = 0
    sock.setblocking(False)
    end = time.monotonic() + 5
    while not select.select([sock], [], [], 0)[0]:
        assert time.monotonic() < end, "no answer came"
        assert sent < limit, "it takes everything"
        with contextlib.suppress(BlockingIOError):
            sent += sock.send(block)
    sock.settimeout(5)
    return sent


# CVE-2024-49769 (waitress), half-open sockets and vanished clients: the loop must have nothing to do.


def test_clients_that_vanish_while_they_are_accepted_cost_nothing(worker: Worker) -> None:
    """waitress asked for the name of a peer that had gone, and called write for it for ever."""
    for _ in range(300):
        reset(worker.connect())
    wait_for_connections(worker, 0)
    assert idle_cpu_s(worker) < 0.05
    assert worker.ask("/engine/hello")[1] == b"hello"


@pytest.mark.parametrize(
    "data",
    [b"", b"GET /engine/hello HTTP/1.1\r\nHo", HELLO, b"GET /\r\n\r\n", CHUNKED + b"5\r\nhel", CHUNKED + b"zz\r\n"],
    ids=["nothing", "half a head", "a request", "no request", "half a body", "no body"],
)
@pytest.mark.parametrize("way", ["half closed", "reset"])
def test_a_half_open_socket_spins_no_loop(worker: Worker, data: bytes, way: str) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            sock = stack.enter_context(worker.connect())
            sock.sendall(data)
            if way == "reset":
                reset(sock)
            else:
                sock.shutdown(socket.SHUT_WR)  # and nothing is read, and it is not closed
        wait_for_connections(worker, 0)
        assert idle_cpu_s(worker, 0.25) < 0.05


def wait_for_connections(worker: Worker, count: int) -> None:
    end = time.monotonic() + 5
    while worker.status()["connections"] > count:
        assert time.monotonic() < end, worker.status()
        time.sleep(0.01)


def idle_cpu_s(worker: Worker, seconds: float = 0.5) -> float:
    before = cpu_s(worker)
    time.sleep(seconds)
    return cpu_s(worker) - before


# CVE-2024-49768 (waitress): a pipelined request is run behind an error, if it comes late enough.


@pytest.mark.parametrize(
    "wrong",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["no host", "no version", "no chunk"],
)
def test_a_request_that_comes_while_an_error_is_answered_is_not_run(worker: Worker, wrong: bytes) -> None:
    entered(worker)
    for delay in (0, 0.0003, 0.0005, 0.001, 0.002, 0.01) * 3:
        with worker.connect() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(wrong)
            time.sleep(delay)
            with contextlib.suppress(ConnectionError):
                sock.sendall(SMUGGLED)
            assert receive(sock).startswith(b"HTTP/1.1 400 ")
    assert "/smuggled" not in entered(worker)


def test_who_goes_on_behind_an_error_gets_the_answer_and_no_reset(worker: Worker) -> None:
    """A reset throws away what the client has not read yet: the answer that tells it what was wrong."""
    with worker.connect() as sock:
        sock.sendall(b"GET /\r\n\r\n")
        assert receive(sock).startswith(b"HTTP/1.1 400 ")
        for _ in range(3):
            sock.sendall(SMUGGLED)
            time.sleep(0.02)  # a reset would have come by now, and the next send would raise


# CVE-2024-21647 (Puma), CVE-2024-22019 (Node), CVE-2023-39326 (Go): what is thrown away has no bound.


@pytest.mark.parametrize(
    ("first", "block"),
    [
        (b"1;a=", b"x" * 1_000),
        (b"", b"1;a=" + b"x" * 900 + b"\r\na\r\n"),
        (b"0\r\nX: ", b"x" * 1_000),
        (b"0\r\n", b"X: 1\r\n" * 100),
        (b"", b"0" * 1_000),
    ],
    ids=["one extension", "many extensions", "one trailer", "many trailers", "digits"],
)
def test_what_is_thrown_away_of_a_body_has_a_bound(worker: Worker, first: bytes, block: bytes) -> None:
    memory = worker.memory()
    with worker.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        sock.sendall(CHUNKED + first)
        send_until_refused(sock, block * 20, 4 * MIB)
        assert read_answer(sock).status == 400
        reset(sock)
    assert worker.memory() - memory < MIB


# CVE-2025-69229 (aiohttp): time that grows with the square of the number of chunks.


def test_many_small_chunks_take_no_time(worker: Worker) -> None:
    used = []
    for count in (20_000, 80_000):
        before = cpu_s(worker)
        with worker.connect() as sock:
            sock.sendall(CHUNKED + b"1\r\na\r\n" * count + b"0\r\n\r\n")
            assert read_answer(sock).status == 200
        used.append(cpu_s(worker) - before)
    assert used[1] < 0.5, used
    print(f"{used[1] / 80_000 * 1e6:.1f} us a chunk")


# gevent 2075, gunicorn 3374: answers to Expect that come early, late or twice, so that client and server no longer mean
# the same answer.


@pytest.mark.parametrize("framing", [b"Content-Length: %d" % len(SMUGGLED), b"Transfer-Encoding: chunked"])
def test_a_body_that_comes_behind_the_final_answer_is_no_request(worker: Worker, framing: bytes) -> None:
    """The app answers without reading, so no invitation is sent; the client sends its body nevertheless."""
    entered(worker)
    with worker.connect() as sock:
        sock.sendall(b"POST /engine/ignore HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + framing + b"\r\n\r\n")
        answer = read_answer(sock)
        assert (answer.status, answer.interim, answer.closed) == (200, [], True)
        with contextlib.suppress(ConnectionError):
            sock.sendall(SMUGGLED)
        with contextlib.suppress(ConnectionResetError):
            assert receive(sock) == b"", "a second answer"
    assert entered(worker) == []


def test_reading_over_an_unread_body_invites_nobody(worker: Worker) -> None:
    """gevent's server read over the rest behind its answer, and sent 100 Continue for that."""
    entered(worker)
    with worker.connect() as sock:
        head = b"POST /engine/ignore HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        sock.sendall(head % (len(SMUGGLED) + 5) + SMUGGLED)
        data = receive(sock, b"not read")
        with contextlib.suppress(ConnectionError):
            sock.sendall(b"12345" + SMUGGLED)
            data += receive(sock)
    assert data.count(b"HTTP/1.1 ") == 1
    assert entered(worker) == []


def test_an_expectation_is_met_once_and_never_of_http_1_0(worker: Worker) -> None:
    head = b"PUT /engine/digest HTTP/%b\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    with worker.connect() as sock:
        sock.sendall(head % b"1.1")
        assert receive(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        for piece in (b"one", b"two", b"six"):
            sock.sendall(piece)
        assert read_answer(sock).interim == []
    with worker.connect() as sock:
        sock.sendall(head % b"1.0" + b"onetwosix")
        assert b"100 Continue" not in receive(sock)


# CVE-2022-29361 (Werkzeug): the body that an app did not read is run as a request.


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_no_app_has_read_is_no_request(worker: Worker, chunked: bool) -> None:
    entered(worker)
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(SMUGGLED)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED) if chunked else SMUGGLED
    with worker.connect() as sock:
        sock.sendall(b"POST /engine/ignore HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + body + HELLO)
        assert receive(sock, b"hello").count(b"HTTP/1.1 ") == 2
    assert entered(worker) == []


# CVE-2023-46137 (Twisted): pipelined answers in another order. CVE-2021-29509 (Puma): who pipelines starves the others.


def test_pipelined_answers_keep_their_order_and_let_others_in(worker: Worker) -> None:
    with worker.connect() as sock, worker.connect() as other:
        sock.sendall(b"GET /engine/sleep?0.1 HTTP/1.1\r\nHost: a\r\n\r\n" + HELLO * 2_000)
        started = time.monotonic()
        other.sendall(HELLO)
        assert read_answer(other).body == b"hello"
        assert time.monotonic() - started < 1.0
        data = receive(sock, b"hello")
        assert data.index(b"slept") < data.index(b"hello")


# CVE-2009-4487 (nginx), CVE-2009-4492 (WEBrick), CVE-2020-7694 (uvicorn): a log that a terminal obeys.

ESCAPE = b"\x1b]2;owned\x07\x1b[2J"


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + ESCAPE + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        ESCAPE + b" / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + ESCAPE + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: " + ESCAPE + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: \x9b2J\xc2\x9b2J\r\nUser-Agent: \x9b2J\r\n\r\n",
        b'GET /%1b%5b2J%0d%0a{"level":"error"} HTTP/1.1\r\nHost: a\r\n\r\n',
        b'GET /engine/hello?a=%1b[2J"}\\ HTTP/1.1\r\nHost: a\r\n\r\n',
        b"GET http://a.example/%1b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /engine/raise?%1b[2J HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\xff" + ESCAPE,
    ],
)
def test_nothing_of_a_client_stands_in_the_log_unescaped(worker: Worker, data: bytes) -> None:
    with worker.connect() as sock:
        sock.sendall(data + b"\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        receive(sock)
    worker.lines('"kind":')  # each line is JSON, or this raises
    log = worker.log.read_bytes()
    assert b"owned\x07" not in log
    raw = {byte for byte in log if byte < 0x20 or byte >= 0x7F} - {0x0A}
    assert raw == set(), f"control or high bytes in the log: {raw}"
