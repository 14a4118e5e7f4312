"""Apps and clients that do what they should not: the others must not notice."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_support import APPS, Worker, listening, receive, serving

BOTH = {"abuse": APPS / "abuse", "engine": APPS / "engine"}
MIB = 2**20


def get(path: str, *more: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *more, "", ""]).encode()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with serving(tmp_path_factory.mktemp("run"), BOTH) as running:
        yield running


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Worker]:
    """A worker for what changes it for good."""
    with serving(tmp_path, BOTH, settings={"APP_RUNNING": 5}) as running:
        yield running


def wait_until_calm(worker: Worker) -> None:
    """No request in flight and no connection left, or fail."""
    end = time.monotonic() + 10
    while (status := worker.status())["in_flight"] or status["connections"]:
        assert time.monotonic() < end, status
        time.sleep(0.05)


def test_a_greenlet_of_an_app_that_exits_ends_nobody(worker: Worker) -> None:
    pid = worker.status()["pid"]
    assert worker.ask("/abuse/spawnexit")[1] == b"still here"
    assert worker.ask("/engine/hello")[1] == b"hello"
    assert worker.status()["pid"] == pid


def test_time_outs_and_kills_that_a_request_leaves_behind_hit_nobody(lone: Worker) -> None:
    for _ in range(6):
        assert lone.ask("/abuse/timer")[1] == b"left behind"
        time.sleep(0.25)
    for _ in range(6):
        assert lone.ask("/abuse/hello")[1] == b"hello"
    wait_until_calm(lone)


@pytest.mark.parametrize("target", ["http://[", "http://x]/", "http://", "abuse", "//", "http://u@h/", "*", "a:b"])
def test_a_strange_target_gets_an_answer_and_holds_nothing(worker: Worker, target: str) -> None:
    with worker.connect() as sock:
        sock.sendall(get(target, "Connection: close"))
        assert receive(sock).split()[1] in (b"400", b"404", b"200")
    wait_until_calm(worker)


def test_the_authority_of_an_absolute_target_counts_and_not_host(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(get("http://other.example/abuse/host?x=http://y", "Connection: close"))
        assert receive(sock).endswith(b"other.example /host")


@pytest.mark.parametrize("how", ["/drain", "/leave"])
def test_an_upload_that_stops_does_not_keep_a_worker_from_its_end(tmp_path: Path, how: str) -> None:
    with listening() as listener:
        worker = Worker(tmp_path, BOTH, listener, "a", settings={"DRAIN_S": 1.0, "SWAP_DRAIN_S": 1.0})
        with worker.connect() as sock:
            sock.sendall(b"PUT /engine/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
            while not worker.status()["in_flight"]:
                time.sleep(0.01)
            worker.control("POST", how)
            assert worker.process.wait(8) == 0


def test_a_sigterm_to_a_draining_worker_leaves_the_listener_to_the_other(tmp_path: Path) -> None:
    with listening() as listener:
        old = Worker(tmp_path, BOTH, listener, "a")
        busy = old.connect()
        busy.sendall(get("/engine/sleep?1"))
        while not old.status()["in_flight"]:
            time.sleep(0.01)
        new = Worker(tmp_path, BOTH, listener, "b")
        old.control("POST", "/drain")
        old.process.send_signal(signal.SIGTERM)
        for _ in range(20):
            assert new.ask("/engine/hello")[1] == b"hello"
        assert b"slept" in receive(busy)
        busy.close()
        assert old.process.wait(8) == 0
        assert new.stop() == 0


def test_a_listener_that_somebody_has_shut_down_comes_back(lone: Worker) -> None:
    with contextlib.closing(socket.socket(fileno=os.dup(lone.listener.fileno()))) as listener:
        listener.shutdown(socket.SHUT_RDWR)
    end = time.monotonic() + 5
    while True:
        try:
            assert lone.ask("/engine/hello")[1] == b"hello"
            return
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_what_an_app_keeps_of_a_request_does_not_reach_the_next_one(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(b"POST /abuse/keep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
        receive(sock, b"kept")
        sock.sendall(b"POST /engine/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nmine")
        time.sleep(0.4)  # the time at which the first app writes and reads again
        sock.sendall(b"only")
        answer = receive(sock, b"0\r\n\r\n")
    assert b"EVIL" not in answer
    assert b"mine" in answer
    assert b"only" in answer
    assert worker.ask("/abuse/kept")[1].split()[:3] == [b"AppError", b"OSError", b"AppError"]


def test_a_forked_child_neither_accepts_nor_answers(lone: Worker) -> None:
    pid = str(lone.status()["pid"]).encode()
    waiting = [lone.connect() for _ in range(5)]
    assert lone.ask("/abuse/fork")[1] == b"forked"
    for sock in waiting:
        sock.sendall(get("/abuse/pid"))
        assert receive(sock, b"\r\n\r\n" + pid)
        sock.close()
    for _ in range(40):
        assert lone.ask("/abuse/pid")[1] == pid
    assert "in the child" in str(lone.lines("in the child"))


CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize("path", ["readall", "hello"])
def test_nothing_behind_a_malformed_body_is_run(worker: Worker, path: str) -> None:
    before = worker.status()["requests"]
    with worker.connect() as sock:
        head = f"POST /abuse/{path} HTTP/1.1\r\nHost: a\r\n{CHUNKED}\r\n\r\n".encode()
        sock.sendall(head + b"2\r\nabc\r\n0\r\n\r\n" + get("/abuse/kept") * 2)
        answer = receive(sock)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert worker.status()["requests"] == before + 1


def test_nothing_behind_a_rejected_request_is_run(worker: Worker) -> None:
    before = worker.status()["requests"]
    for _ in range(3):
        with worker.connect() as sock:
            sock.sendall(get("/engine/hello") + b"GET / HTTP/1.1\r\n\r\n" + get("/abuse/hello"))
            answer = receive(sock)
        assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"200", b"400"]
    assert worker.status()["requests"] == before + 3


def test_a_client_that_closes_its_side_gets_all_its_answers(worker: Worker) -> None:
    for count in (1, 2, 50):
        with worker.connect() as sock:
            sock.sendall(get("/engine/sleep?0.05") + get("/engine/hello") * count)
            sock.shutdown(socket.SHUT_WR)
            assert receive(sock).count(b"HTTP/1.1 200 OK") == count + 1


def test_an_answer_that_was_broken_off_is_not_followed_by_another(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.sendall(get("/abuse/timeoutwrite") + get("/engine/hello"))
        time.sleep(0.6)
        with contextlib.suppress(ConnectionResetError):
            data = b""
            while block := sock.recv(262_144):
                data += block
                assert b"hello" not in block
            assert len(data) < 8_000_000


def test_head_of_an_endless_stream_ends(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(b"HEAD /abuse/stream HTTP/1.1\r\nHost: a\r\n\r\n" + get("/engine/hello"))
        assert b"text/event-stream" in receive(sock, b"hello")
    wait_until_calm(worker)


def test_a_flood_of_pipelined_requests_is_not_hoarded(worker: Worker) -> None:
    before = worker.memory()
    with worker.connect() as sock:
        sock.setblocking(False)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                sock.send(get("/engine/hello") * 1000)
            with contextlib.suppress(BlockingIOError):
                while sock.recv(MIB):
                    pass
        assert worker.memory() - before < 4 * MIB
        assert worker.ask("/engine/hello")[1] == b"hello"


def test_100_continue_never_stands_inside_an_answer(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(b"PUT /abuse/answerfirst HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        answer = receive(sock)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"100 Continue" not in answer
    assert b"Connection: close" in answer
    assert b"no body" in answer


def test_an_apps_logging_configuration_does_not_silence_the_engine(lone: Worker) -> None:
    assert lone.ask("/abuse/dictconfig")[0].status == 500
    assert lone.ask("/abuse/dictconfig")[0].status == 500
    assert "after dictConfig" in str(lone.lines("after dictConfig"))
    wait_until_calm(lone)


def test_a_log_call_that_does_not_fit_is_told_and_does_no_harm(worker: Worker) -> None:
    assert worker.ask("/abuse/badlog")[1] == b"logged"
    assert "do not fit" in str(worker.lines("do not fit"))


def test_an_exception_that_cannot_be_told_is_a_500_like_any_other(worker: Worker) -> None:
    for _ in range(3):
        assert worker.ask("/abuse/untellable")[0].status == 500
    assert worker.ask("/engine/hello")[1] == b"hello"
    wait_until_calm(worker)


def test_a_greenlet_left_in_a_read_gets_nothing_of_the_next_request(lone: Worker) -> None:
    head = b"POST /%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    with lone.connect() as sock:
        sock.sendall(head % (b"abuse/spawnread", 5) + b"ab")
        assert b"spawned" in receive(sock, b"spawned")
        sock.sendall(b"cde")  # the rest of the body that the app has not read
        time.sleep(0.1)
        sock.sendall(head % (b"engine/digest", 12) + b"SECRET")
        time.sleep(0.1)
        sock.sendall(b"-BEHIND")
        wanted = f"12 {hashlib.sha256(b'SECRET-BEHIN').hexdigest()}".encode()
        assert wanted in receive(sock, wanted)
    stolen = lone.ask("/abuse/stolen")[1]
    assert b"SEC" not in stolen
    assert b"over" in stolen


def test_a_block_that_a_time_out_meets_is_sent_all_the_same(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(get("/abuse/turnwrite") + get("/engine/hello"))
        data = receive(sock, b"hello")
    assert data.count(b"HTTP/1.1 200 OK") == 2
    assert b"\r\n\r\naaaaBBBBHTTP/1.1 200" in data


def test_stdout_is_a_file_as_programs_expect_it(worker: Worker) -> None:
    assert worker.ask("/abuse/stdout")[1] == b"<stdout> False utf-8"
    messages = [line.get("message") for line in worker.lines("begun, not ended")]
    assert "by bytes" in messages
    assert "begun, not ended" in messages


def test_an_app_that_closes_descriptor_1_does_not_lead_the_log_to_a_client(lone: Worker) -> None:
    assert lone.ask("/abuse/closefd")[1] == b"closed"
    socks = [lone.connect() for _ in range(3)]
    for sock in socks:
        sock.sendall(get("/engine/hello"))
        assert receive(sock, b"hello").endswith(b"hello")
    time.sleep(0.1)
    for sock in socks:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        sock.close()
    assert "/engine/hello" in str(lone.lines("/engine/hello"))


@pytest.mark.parametrize(
    "query",
    [
        "header?X%20Y=1",
        "header?=1",
        "header?X-A=a\\x01b",
        "header?X-A=a\\x7fb",
        "header?%20X-Accel-Redirect=1",
        "header?Content-Length%20=1",
        "status?000+OK",
        "status?\\xb200+OK",
        "status?999+OK",
        "exitgreenlet",
    ],
)
def test_a_malformed_head_is_the_apps_500(worker: Worker, query: str) -> None:
    response, _ = worker.ask("/abuse/" + query.replace("%20", "\\x20"))
    assert response.status == 500


def test_huge_tracebacks_do_not_fill_the_memory_while_nobody_reads_the_log(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with serving(tmp_path, BOTH, stdout=writer) as worker:
        os.close(writer)
        before = worker.memory()
        for _ in range(400):
            assert worker.ask("/abuse/bigerror")[0].status == 500
        grown = worker.memory() - before
        assert grown < 64 * MIB, f"{grown / MIB:.0f} MiB"
        os.close(reader)


def test_an_answer_that_begins_while_draining_says_that_it_is_the_last(tmp_path: Path) -> None:
    with listening() as listener:
        worker = Worker(tmp_path, BOTH, listener, "a")
        with worker.connect() as sock, worker.connect() as begun:
            begun.sendall(get("/abuse/slowstart"))
            receive(begun, b"begun")
            sock.sendall(get("/engine/sleep?0.5"))
            while worker.status()["in_flight"] < 2:
                time.sleep(0.01)
            worker.control("POST", "/drain")
            assert b"Connection: close" in receive(sock)
            assert receive(begun).endswith(b"0\r\n\r\n")  # and its connection ends with it, not at the limit
        assert worker.process.wait(8) == 0


def test_a_stream_that_computes_between_its_blocks_lets_others_in(worker: Worker) -> None:
    with worker.connect() as stream:
        stream.sendall(get("/abuse/computing"))
        receive(stream, b"row")
        waits = []
        for _ in range(5):
            started = time.monotonic()
            assert worker.ask("/engine/hello")[1] == b"hello"
            waits.append(time.monotonic() - started)
        receive(stream, b"0\r\n\r\n")
    assert max(waits) < 0.8, waits


def test_a_head_that_dribbles_in_is_timed_out_as_a_whole(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"HEAD_TIMEOUT_S": 2}) as worker, worker.connect() as sock:
        started = time.monotonic()
        sock.sendall(b"GET /engine/hello HTTP/1.1\r\nHost: a\r\n")
        sock.settimeout(0.5)
        answer = b""
        while not answer:
            assert time.monotonic() - started < 5
            with contextlib.suppress(TimeoutError):
                answer = sock.recv(1000)
            if not answer:
                sock.sendall(b"X-Slow: 1\r\n")
        assert answer.startswith(b"HTTP/1.1 408 ")
