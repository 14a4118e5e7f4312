"""Every limit of the worker: what a client gets that goes beyond it, and that everybody else notices nothing."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_support import APPS, Worker, receive, serving

BOTH = {"limits": APPS / "limits", "engine": APPS / "engine"}
MIB = 2**20
GET = b"GET /engine/hello HTTP/1.1\r\nHost: a\r\n\r\n"
SHORT = {
    "HEAD_TIMEOUT_S": 0.4,
    "KEEPALIVE_S": 0.4,
    "BODY_IDLE_TIMEOUT_S": 0.4,
    "BODY_TIMEOUT_S": 2.0,
    "WRITE_TIMEOUT_S": 0.4,
    "MAX_DRAIN_BYTES": 100_000,
    "MAX_REQUESTS_PER_CONNECTION": 3,
    "MAX_TARGET_BYTES": 200,
    "MAX_HEADERS": 10,
    "MAX_HEAD_BYTES": 1000,
    "MAX_BODY_BYTES": 20 * MIB,
}


def put(path: str, length: int | None, *more: str) -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return "\r\n".join([f"PUT /{path} HTTP/1.1", "Host: a", framing, *more, "", ""]).encode()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker whose limits are short."""
    with serving(tmp_path_factory.mktemp("run"), BOTH, settings=SHORT) as running:
        yield running


def cpu_s(worker: Worker) -> float:
    """User and system seconds of the worker so far."""
    fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until_calm(worker: Worker) -> None:
    """No request in flight and no connection left, or fail."""
    end = time.monotonic() + 10
    while (status := worker.status())["in_flight"] or status["connections"]:
        assert time.monotonic() < end, status
        time.sleep(0.05)


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer[9:12])


def was_reset(sock: socket.socket) -> bool:
    """Whether the connection ends with a reset, whatever comes before."""
    try:
        receive(sock)
    except ConnectionResetError:
        return True
    return False


# Times.


def test_an_idle_connection_is_closed_without_a_word(worker: Worker) -> None:
    with worker.connect() as sock, worker.connect() as fresh:
        sock.sendall(GET)
        receive(sock, b"hello")
        started = time.monotonic()
        assert receive(sock) == receive(fresh) == b""
        assert 0.2 < time.monotonic() - started < 2


def test_a_head_that_does_not_end_is_answered_408(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(GET[:-2])
        started = time.monotonic()
        assert status_of(receive(sock)) == 408
        assert 0.2 < time.monotonic() - started < 2


@pytest.mark.parametrize("length", [10, None])
def test_a_body_that_stops_coming_is_answered_408(worker: Worker, length: int | None) -> None:
    with worker.connect() as sock:
        sock.sendall(put("limits/readall", length) + b"2\r\nab")
        started = time.monotonic()
        answer = receive(sock)
        assert 0.2 < time.monotonic() - started < 1.8  # and not by the time of a whole body
    assert status_of(answer) == 408
    assert b"Connection: close" in answer


def test_a_body_that_dribbles_in_is_timed_as_a_whole(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(put("limits/readall", 1000))
        sock.settimeout(0.2)
        started, answer = time.monotonic(), b""
        while not answer:
            assert time.monotonic() - started < 6
            sock.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = sock.recv(1000)
    assert status_of(answer) == 408
    assert time.monotonic() - started > 1.8


def test_a_client_that_takes_nothing_is_given_up(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.sendall(b"GET /engine/count?50 HTTP/1.1\r\nHost: a\r\n\r\n")
        end = time.monotonic() + 5
        while not any("/engine/count" in str(line) for line in worker.lines()):
            assert time.monotonic() < end, "the app still waits"
            time.sleep(0.05)
        assert was_reset(sock)


def test_a_client_that_takes_slowly_is_not_given_up(worker: Worker) -> None:
    """One block takes longer than the time-out, but never without progress for so long."""
    with worker.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.sendall(b"GET /limits/big HTTP/1.1\r\nHost: a\r\n\r\n")
        started, received = time.monotonic(), 0
        while received < 16 * MIB:
            received += len(receive(sock, 1))
            time.sleep(0.005)
        assert time.monotonic() - started > 0.9


# Sizes and counts.


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /engine/%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 200), 414),
        (b"GET /engine/hello HTTP/1.1\r\nHost: a\r\n" + b"X-%d: 1\r\n" * 10 % tuple(range(10)) + b"\r\n", 431),
        (b"GET /engine/hello HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 1000 + b"\r\n\r\n", 431),
        (b"GET /engine/hello HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 1000, 431),
        (put("engine/hello", 20 * MIB + 1), 413),
        (put("limits/readall", None) + b"1400001\r\n", 413),
    ],
    ids=["target", "headers", "head", "head-without-end", "body", "chunked-body"],
)
def test_what_is_too_large_gets_its_status_and_the_end(worker: Worker, request_bytes: bytes, status: int) -> None:
    with worker.connect() as sock:
        sock.sendall(request_bytes)
        answer = receive(sock)
    assert status_of(answer) == status
    assert b"Connection: close" in answer


def test_what_is_just_small_enough_is_served(worker: Worker) -> None:
    headers = b"".join(b"X-%d: 1\r\n" % n for n in range(9))
    with worker.connect() as sock:
        sock.sendall(b"GET /engine/hello?%b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (b"x" * (200 - 14), headers))
        assert status_of(receive(sock, b"hello")) == 200


def test_the_last_request_of_a_connection_says_so(worker: Worker) -> None:
    with worker.connect() as sock:
        for _ in range(2):
            sock.sendall(GET)
            assert b"Connection: close" not in receive(sock, b"hello")
        sock.sendall(GET * 2)
        answer = receive(sock)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in answer


def test_a_connection_too_many_is_refused_before_entry(tmp_path: Path) -> None:
    settings = {"MAX_CONNECTIONS": 3, "TRUST_FRONT": 1}
    round_one = b"POST /engine/echo HTTP/1.1\r\nHost: a\r\nX-Request-Id: 1\r\nX-Hedgerow-Round: 1\r\nContent-Length: 3"
    with serving(tmp_path, settings=settings) as worker, contextlib.ExitStack() as stack:
        socks = [stack.enter_context(worker.connect()) for _ in range(3)]
        for sock in socks:
            sock.sendall(GET)
            receive(sock, b"hello")
        with worker.connect() as silent, worker.connect() as surplus, worker.connect() as moved:
            surplus.sendall(GET * 2)
            answer = receive(surplus)
            assert status_of(answer) == 503
            assert b"Retry-After: " in answer
            assert b"Connection: close" in answer
            assert answer.count(b"HTTP/1.1 ") == 1
            moved.sendall(round_one + b"\r\n\r\nabc")
            assert b"\r\nX-Accel-Redirect: @refused\r\n" in receive(moved)
            with contextlib.suppress(ConnectionResetError):
                assert receive(silent) == b""  # soon, not after the time of an idle connection
        for sock in socks:
            sock.sendall(GET)
            assert b"hello" in receive(sock, b"hello")
        assert "there are 3 connections" in str(worker.lines("there are 3 connections"))
        socks.pop().close()
        end = time.monotonic() + 5
        while worker.ask("/engine/hello")[0].status != 200:
            assert time.monotonic() < end
        crowd = [stack.enter_context(worker.connect()) for _ in range(12)]
        time.sleep(0.5)  # less than a connection too many may be silent
        closed = select.select(crowd, [], [], 0)[0]
        assert len(closed) >= 8  # twice as many connections as allowed, and no more


def test_without_a_free_descriptor_accepting_pauses_and_does_not_spin(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"KEEPALIVE_S": 60}) as worker, contextlib.ExitStack() as stack:
        pid = worker.process.pid
        held = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (held + 10, held + 10))
        socks = [stack.enter_context(worker.connect()) for _ in range(30)]
        worker.lines("accepting pauses: ")
        before = cpu_s(worker)
        time.sleep(1.5)
        used = cpu_s(worker) - before
        print(f"{used:.2f} s of CPU time in 1.5 s")
        assert used < 0.15
        with stack.enter_context(worker.connect()) as sock:
            for one in socks[:9]:
                one.sendall(GET)
                assert b"200 OK" in receive(one, b"hello")
            for one in socks:
                one.close()
            sock.sendall(GET)
            assert b"hello" in receive(sock, b"hello")
    assert worker.log.read_text().count("accepting pauses: ") == 1


def test_with_the_last_descriptor_a_client_is_told_to_go_elsewhere(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"KEEPALIVE_S": 60}) as worker, contextlib.ExitStack() as stack:
        pid = worker.process.pid
        held = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (held + 10, held + 10))
        status, served = 200, -1
        while status == 200 and served < 50:
            sock = stack.enter_context(worker.connect())
            sock.sendall(GET)
            status, served = status_of(receive(sock, b"\r\n\r\n")), served + 1
        assert (status, served > 0) == (503, True)
        sock.close()
        started = time.monotonic()
        for _ in range(20):
            response, _body = worker.ask("/engine/hello")
            assert (response.status, response.getheader("Connection")) == (503, "close")
        assert time.monotonic() - started < 10
    assert worker.log.read_text().count("accepting pauses: ") == 1


# What a client sends that nobody reads.


def test_an_answer_to_an_upload_that_nobody_reads_arrives(worker: Worker) -> None:
    """Of a client that first sends all and then reads: 10 MB, a hundred times what is read over."""
    with worker.connect() as sock:
        sock.sendall(put("engine/ignore", 10 * MIB) + b"x" * (10 * MIB))
        answer = receive(sock)
    assert status_of(answer) == 200
    assert b"Connection: close" in answer
    assert answer.endswith(b"not read")


def test_a_chunked_upload_that_nobody_reads_is_read_over_and_then_no_more(worker: Worker) -> None:
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    with worker.connect() as sock:
        sock.sendall(put("engine/ignore", None) + chunk * 3 + b"0\r\n\r\n" + GET)
        assert receive(sock, b"hello").count(b"200 OK") == 2
    with worker.connect() as sock:
        sock.sendall(put("engine/ignore", None) + chunk * 600 + b"0\r\n\r\n" + GET)
        assert receive(sock).count(b"200 OK") == 1


def test_a_rest_that_does_not_come_holds_a_connection_for_a_moment_only(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(put("engine/ignore", 1000) + b"x")
        assert b"Connection: close" not in receive(sock, b"not read")
        assert receive(sock) == b""


def test_a_client_that_does_not_stop_is_closed_in_the_end(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"LINGER_S": 1, "MAX_DRAIN_BYTES": 0}) as worker, worker.connect() as sock:
        sock.sendall(put("engine/ignore", 2**31) + b"x")
        started = time.monotonic()
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while time.monotonic() - started < 10:
                sock.sendall(b"x" * 1000)
                time.sleep(0.01)
        assert 0.5 < time.monotonic() - started < 5


def test_an_answer_without_the_awaited_body_ends_the_connection(worker: Worker) -> None:
    """The body that comes all the same is never taken for a request."""
    before = worker.status()["requests"]
    with worker.connect() as sock:
        sock.sendall(put("engine/ignore", len(GET), "Expect: 100-continue") + GET)
        answer = receive(sock)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in answer
    with worker.connect() as sock:
        sock.sendall(put("engine/ignore", len(GET), "Expect: 100-continue"))
        answer = receive(sock, b"not read")
        sock.sendall(GET)
        assert receive(sock) == b""
    assert b"100 Continue" not in answer
    assert worker.status()["requests"] == before + 2


def test_100_continue_is_sent_once(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(put("engine/echo", 4, "Expect: 100-continue"))
        answer = receive(sock, b"\r\n\r\n")
        for byte in (b"b", b"o", b"d", b"y"):
            sock.sendall(byte)
            time.sleep(0.02)
        answer += receive(sock, b"0\r\n\r\n")
    assert answer.count(b"100 Continue") == 1
    assert b"body" in answer


# Clients that close half of the connection, or all of it.


@pytest.mark.parametrize("request_bytes", [GET, put("engine/echo", 5) + b"hello"])
def test_who_closes_its_side_behind_a_request_is_answered(worker: Worker, request_bytes: bytes) -> None:
    with worker.connect() as sock:
        sock.sendall(request_bytes)
        sock.shutdown(socket.SHUT_WR)
        answer = receive(sock)
    assert status_of(answer) == 200
    assert b"hello" in answer


@pytest.mark.parametrize(
    "part",
    [
        b"G",
        GET[:-1],
        put("limits/readall", 100) + b"half",
        put("limits/readall", None) + b"5\r\nha",
        put("limits/readall", None) + b"5\r\nwhole\r\n",
    ],
)
def test_who_closes_its_side_inside_a_request_gets_400(worker: Worker, part: bytes) -> None:
    for pause_s in (0.0, 0.05):
        with worker.connect() as sock:
            sock.sendall(part)
            time.sleep(pause_s)
            sock.shutdown(socket.SHUT_WR)
            answer = receive(sock)
        assert status_of(answer) == 400
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"Connection: close" in answer


def test_who_closes_its_side_without_a_byte_gets_none(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.shutdown(socket.SHUT_WR)
        assert receive(sock) == b""


def test_a_body_that_ends_early_is_an_oserror_to_the_app(worker: Worker) -> None:
    for part, told in (
        (put("limits/readerror", 100) + b"half", b"BodyError 400 The body ended early."),
        (put("limits/readerror", None) + b"zz\r\n", b"BodyError 400 A chunk's size is malformed."),
    ):
        with worker.connect() as sock:
            sock.sendall(part)
            sock.shutdown(socket.SHUT_WR)
            answer = receive(sock)
        assert status_of(answer) == 200
        assert answer.endswith(told)
        assert b"Connection: close" in answer


def test_half_closed_and_vanished_clients_cost_no_time(worker: Worker) -> None:
    """Each kind of half-open socket, all at once, while an app sleeps: the loop has nothing to do."""
    sleep = b"GET /engine/sleep?1.2 HTTP/1.1\r\nHost: a\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for kind in ("half", "reset", "full", "flood"):
            sock = stack.enter_context(worker.connect())
            sock.sendall(sleep + (GET * 3000 if kind == "flood" else b""))
            time.sleep(0.02)
            if kind == "half":
                sock.shutdown(socket.SHUT_WR)
            elif kind == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
            elif kind == "full":
                sock.close()
        time.sleep(0.1)
        before = cpu_s(worker)
        time.sleep(0.7)
        used = cpu_s(worker) - before
    print(f"{used:.2f} s of CPU time in 0.7 s")
    assert used < 0.1
    wait_until_calm(worker)


# What an app leaves behind.


def test_a_time_out_that_an_app_left_behind_hits_no_later_request(worker: Worker) -> None:
    """The greenlet is the same: an app's requests take turns in it."""
    with worker.connect() as sock:
        sock.sendall(b"GET /limits/timer HTTP/1.1\r\nHost: a\r\n\r\nGET /limits/nap HTTP/1.1\r\nHost: a\r\n\r\n")
        assert receive(sock, b"rested").count(b"200 OK") == 2
    assert worker.ask("/limits/limited")[1] == b"ended by itself"


# What it costs.


def test_no_request_makes_a_timer(tmp_path: Path) -> None:
    """Neither a small one, nor one whose body or answer has to wait."""
    with serving(tmp_path, BOTH) as worker:
        assert worker.ask("/limits/count")[1] == b"counting"
        for _ in range(20):
            assert worker.ask("/engine/hello")[1] == b"hello"
        with worker.connect() as sock:
            sock.sendall(put("limits/readall", 10))
            time.sleep(0.05)
            sock.sendall(b"0123456789")
            assert receive(sock, b"\r\n\r\n10")
        assert len(worker.ask("/engine/count?3")[1]) == 3 * MIB
        assert worker.ask("/limits/counted")[1] == b"0 timers"
        assert worker.ask("/engine/sleep?0.01")[1] == b"slept"
        assert worker.ask("/limits/counted")[1] == b"1 timers"  # that is how it looks


def test_many_slow_uploads_end_together(worker: Worker) -> None:
    """A hundred waits end within one sweep of each other, and every one gets its answer."""
    answers: list[int] = []

    def stop_midway() -> None:
        with worker.connect() as sock:
            sock.sendall(put("limits/readall", 100) + b"half")
            answers.append(status_of(receive(sock)))

    threads = [threading.Thread(target=stop_midway) for _ in range(100)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == [408] * 100
    assert time.monotonic() - started < 5
    wait_until_calm(worker)
