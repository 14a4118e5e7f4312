"""Apps in native threads: an unpatched worker, the engine in its hub, and what crosses between the two."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from worker_support import APPS, DEADLINE_S, Worker, listening, receive, serving

from hedgerow.hosting.manifest import Manifest

THREADS = Manifest().threads
BOTH = {"threaded": APPS / "threaded", "engine": APPS / "engine"}
MIB = 2**20


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with serving(tmp_path_factory.mktemp("run"), BOTH, threads=True) as running:
        yield running


def get(path: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *fields, "", ""]).encode()


def ask_all(worker: Worker, path: str, count: int) -> list[tuple[int, bytes]]:
    """The answers to as many requests at once."""
    with ThreadPoolExecutor(count) as clients:
        return [(response.status, body) for response, body in clients.map(worker.ask, itertools.repeat(path, count))]


def wait_for(worker: Worker, path: str, wanted: str) -> str:
    end = time.monotonic() + DEADLINE_S
    while wanted not in (told := worker.ask(path)[1].decode()):
        assert time.monotonic() < end, told
        time.sleep(0.02)
    return told


def test_the_app_finds_python_as_it_is_and_runs_in_a_native_thread(worker: Worker) -> None:
    assert worker.ask("/threaded/where")[1] == b"patched=False native=True threaded-1 True"


def test_a_plan_and_a_command_line_that_disagree_are_an_error(tmp_path: Path) -> None:
    with serving(tmp_path, BOTH, threads=True) as running:
        command = [sys.executable, "-m", "hedgerow.worker", str(running.run / "plan-8001.json"), "b"]
        result = subprocess.run(command, stdin=running.listener, capture_output=True, timeout=DEADLINE_S, check=False)
    assert result.returncode == 1
    assert result.stderr.endswith(b"plan-8001.json: slot b wants threads, and was started otherwise\n")


def test_an_app_with_one_thread_is_told_that_it_is_called_by_one_at_a_time(tmp_path: Path) -> None:
    text = """def application(environ, start_response):
    start_response("200 OK", [])
    return [str(environ["wsgi.multithread"]).encode()]
"""
    for name, threads in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text(text)
        (tmp_path / name / "app.toml").write_text(f"threads = {threads}")
    (tmp_path / "run").mkdir()
    with serving(tmp_path / "run", {name: tmp_path / name for name in ("one", "two")}, threads=True) as running:
        assert (running.ask("/one/")[1], running.ask("/two/")[1]) == (b"False", b"True")


def test_a_hundred_async_views_at_once_are_all_answered(worker: Worker) -> None:
    assert ask_all(worker, "/threaded/async", 100) == [(200, b"awaited")] * 100


def test_async_views_fail_in_a_patched_worker(tmp_path: Path) -> None:
    """What the mode is for. One thread has one running loop, and all greenlets are in that thread."""
    with serving(tmp_path, BOTH) as patched:
        answers = ask_all(patched, "/threaded/async", 10)
        assert sum(status == 200 for status, _ in answers) < 5
        assert "cannot be called from a running event loop" in str(patched.lines("running event loop"))


def test_when_all_threads_are_busy_others_wait_and_the_worker_answers_for_itself(tmp_path: Path) -> None:
    with serving(tmp_path, BOTH, threads=True) as worker, ThreadPoolExecutor(THREADS + 8) as clients:
        held = [clients.submit(worker.ask, "/threaded/hold") for _ in range(THREADS)]
        end = time.monotonic() + DEADLINE_S
        while worker.control("GET", "/stacks")[1].count("in do_hold") < THREADS:
            assert time.monotonic() < end
            time.sleep(0.05)
        waiting = [clients.submit(worker.ask, "/threaded/hello") for _ in range(8)]
        assert worker.ask("/engine/hello")[1] == b"hello"  # a neighbour has threads of its own
        while worker.status()["in_flight"] < THREADS + 8:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert not any(one.done() for one in waiting)
        # nobody is left to answer /release: a stop in threads is an end all the same
        assert worker.control("GET", "/ready")[0] == 200
        threads = len(os.listdir(f"/proc/{worker.process.pid}/task"))
        assert THREADS < threads < THREADS + 8
        worker.process.kill()
        with contextlib.suppress(OSError):
            [one.exception(DEADLINE_S) for one in (*held, *waiting)]


def test_the_worker_answers_for_itself_while_the_app_computes(worker: Worker) -> None:
    """And takes the one more request that ends it."""
    with ThreadPoolExecutor(3) as clients:
        busy = [clients.submit(worker.ask, "/threaded/compute") for _ in range(3)]
        while worker.status()["in_flight"] < 3:
            time.sleep(0.02)
        assert not any(one.done() for one in busy)
        assert worker.ask("/threaded/computed")[1] == b"told"
        assert [one.result(DEADLINE_S)[1] for one in busy] == [b"computed"] * 3


def test_beyond_the_gate_requests_are_refused(tmp_path: Path) -> None:
    with serving(tmp_path, BOTH, threads=True, settings={"APP_RUNNING": 2, "APP_WAITING": 0}) as worker:
        with ThreadPoolExecutor(2) as clients:
            held = [clients.submit(worker.ask, "/threaded/sleep?0.5") for _ in range(2)]
            end = time.monotonic() + DEADLINE_S
            while worker.status()["in_flight"] < 2:
                assert time.monotonic() < end
            assert worker.ask("/threaded/hello")[0].status == 503
            assert [one.result()[1] for one in held] == [b"slept"] * 2
        assert worker.ask("/threaded/hello")[0].status == 200


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_an_app_may_use_processes(worker: Worker, way: str) -> None:
    assert worker.ask(f"/threaded/pool?{way}")[1] == b"[3, 2, 1, 0]"


def test_a_child_that_comes_back_from_the_apps_call_answers_nobody(worker: Worker) -> None:
    pid = worker.status()["pid"]
    assert worker.ask("/threaded/fork")[1] == b"1"
    assert "in the child" in str(worker.lines("in the child"))
    assert worker.ask("/threaded/hello")[1] == b"hello"
    assert worker.status()["pid"] == pid


@pytest.mark.parametrize("path", ["engine/exit", "engine/raise", "threaded/interrupt"])
def test_whatever_an_app_raises_is_its_own_500_and_its_thread_goes_on(worker: Worker, path: str) -> None:
    for _ in range(THREADS + 1):
        assert worker.ask(f"/{path}")[0].status == 500
    assert worker.ask("/threaded/hello")[1] == b"hello"


def test_an_error_that_cannot_be_told_costs_its_connection_and_no_thread(tmp_path: Path) -> None:
    with serving(tmp_path, BOTH, threads=True) as worker:
        for _ in range(THREADS + 1):
            with worker.connect() as sock:
                sock.sendall(get("/threaded/nameless"))
                with pytest.raises(ConnectionResetError):
                    receive(sock)
        assert worker.ask("/threaded/hello")[1] == b"hello"
        assert "a request ended in SystemExit" in str(worker.lines("a request ended in"))


def test_each_request_has_a_fresh_context_and_a_thread_keeps_what_is_its(tmp_path: Path) -> None:
    with serving(tmp_path, BOTH, threads=True) as worker:
        told = [worker.ask("/threaded/context")[1] for _ in range(3)]
    assert told == [b"nothing 0", b"nothing 1", b"nothing 2"]  # one at a time: one thread


def test_what_an_app_prints_and_logs_has_its_name_and_its_requests_id(worker: Worker) -> None:
    request_id = worker.ask("/threaded/log")[1].decode()
    lines = worker.lines("begun")
    mine = {line["message"] for line in lines if line.get("request_id") == request_id and line["kind"] == "app"}
    assert mine == {"printed", "logged", "to wsgi.errors", "by a thread", "begun"}
    assert {line["app"] for line in lines if line.get("request_id") == request_id} == {"threaded"}


def test_lines_of_threads_that_write_at_once_stay_whole(worker: Worker) -> None:
    assert worker.ask("/threaded/lines")[1] == b"written"
    found = [line["message"] for line in worker.lines("line-3-199") if "line-" in line.get("message", "")]
    assert sorted(found) == sorted(f"line-{number}-{line}-end" for number in range(4) for line in range(200))


def test_a_large_body_arrives_and_a_large_answer_leaves_in_little_memory(worker: Worker) -> None:
    worker.ask("/engine/hello")
    before = worker.memory()
    blocks = [os.urandom(MIB) for _ in range(48)]
    wanted = f"{48 * MIB} {hashlib.sha256(b''.join(blocks)).hexdigest()}"
    assert worker.ask("/engine/digest", "POST", iter(blocks))[1].decode() == wanted
    with worker.connect() as sock:
        sock.sendall(get("/engine/count?48", "Connection: close"))
        receive(sock, b"\r\n\r\n")
        time.sleep(0.3)  # the app runs ahead as far as it may
        grown = worker.memory() - before
        size = sum(len(block) for block in iter(lambda: sock.recv(MIB), b""))
    assert size > 47 * MIB
    assert grown < 20 * MIB


def test_a_slow_client_of_one_large_block_holds_no_thread(worker: Worker) -> None:
    """As many as there are threads, and each is answered by one: then one more is."""
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(worker.connect()) for _ in range(THREADS)]
        for sock in slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            sock.sendall(get("/threaded/block?1500000"))
        for sock in slow:
            assert sock.recv(1) == b"H"
        assert worker.ask("/threaded/hello")[1] == b"hello"
        assert worker.status()["in_flight"] == THREADS


def test_a_client_that_goes_ends_its_stream(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(get("/threaded/stream"))
        assert receive(sock, b"data: 1\n\n")
    assert "closed" in wait_for(worker, "/threaded/gone", "closed")


def test_an_app_may_ask_whether_its_client_has_gone(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(get("/threaded/watch"))
        time.sleep(0.1)
    assert "disconnected" in wait_for(worker, "/threaded/gone", "disconnected")


def test_time_outs_reach_the_app_as_errors_and_its_thread_comes_back(tmp_path: Path) -> None:
    limits = {"BODY_IDLE_TIMEOUT_S": 0.3, "WRITE_TIMEOUT_S": 0.3}
    with serving(tmp_path, BOTH, threads=True, settings=limits) as worker:
        with worker.connect() as sock:
            sock.sendall(get("/threaded/read", "Content-Length: 9", method="PUT") + b"half")
            assert b"BodyError 408 The body did not arrive in time." in receive(sock, b"time.")
        with worker.connect() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            sock.sendall(get("/threaded/flood"))
            told = wait_for(worker, "/threaded/gone", "ClientGone")
        blocks = int(told.split()[-1])
        assert blocks < 5  # no more than what may wait
        cut = [line for line in worker.lines("flood") if line.get("path") == "/threaded/flood"]
        assert cut[0]["cause"] == "aborted"
        with worker.connect() as sock:
            sock.sendall(get("/threaded/read", "Content-Length: 9", method="PUT") + b"half")
            sock.shutdown(socket.SHUT_WR)
            assert b"BodyError 400 The body ended early." in receive(sock, b"early.")
        assert worker.status()["in_flight"] == 0


def test_an_answer_in_one_block_that_nobody_takes_is_told_as_aborted(tmp_path: Path) -> None:
    """The app is done long before; the access log tells what became of it."""
    with serving(tmp_path, BOTH, threads=True, settings={"WRITE_TIMEOUT_S": 0.3}) as worker, worker.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        sock.sendall(get("/threaded/block?9000000"))
        [line] = [line for line in worker.lines("9000000") if line.get("path", "").endswith("9000000")]
    assert (line["status"], line["cause"]) == (200, "aborted")


def test_100_continue_and_early_hints_cross(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(get("/threaded/read", "Content-Length: 4", "Expect: 100-continue", method="PUT"))
        assert receive(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"body")
        assert receive(sock, b"\r\n\r\n4").startswith(b"HTTP/1.1 200 OK")
        sock.sendall(get("/threaded/hints"))
        assert receive(sock, b"hinted").startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")


def test_threads_that_a_request_leaves_behind_get_nothing_of_the_next_one(tmp_path: Path) -> None:
    with serving(tmp_path, BOTH, threads=True) as worker:
        with worker.connect() as sock:
            sock.sendall(get("/threaded/leave", "Content-Length: 9", method="POST") + b"abc")
            receive(sock, b"left")
            sock.sendall(b"defghi" + get("/engine/digest", "Content-Length: 12", method="POST") + b"SECRET")
            time.sleep(0.4)  # the time at which the first app reads and writes again
            sock.sendall(b"-BEHIN")
            answer = receive(sock, hashlib.sha256(b"SECRET-BEHIN").hexdigest().encode())
        assert b"EVIL" not in answer
        left = wait_for(worker, "/threaded/left", "OSError")
    assert left == "['ClientGone', 'AppError', 'OSError', 'AppError']"


def test_a_worker_that_leaves_serves_what_it_has_and_does_not_wait_for_a_thread_that_hangs(tmp_path: Path) -> None:
    with listening() as listener:
        worker = Worker(tmp_path, BOTH, listener, "a", threads=True, settings={"DRAIN_S": 1.5})
        with worker.connect() as hangs, worker.connect() as sock:
            hangs.sendall(get("/threaded/hold"))
            sock.sendall(get("/threaded/sleep?0.5"))
            time.sleep(0.2)
            began = time.monotonic()
            worker.process.terminate()
            assert b"slept" in receive(sock, b"slept")
            with pytest.raises(ConnectionResetError):
                receive(hangs)
            assert worker.process.wait(DEADLINE_S) == 0
    assert 1.4 < time.monotonic() - began < 6


def test_a_drain_waits_for_the_last_answer_and_ends_an_event_stream_whole(tmp_path: Path) -> None:
    with serving(tmp_path, BOTH, threads=True, settings={"SWAP_DRAIN_S": 0.5, "DRAIN_S": 0.5}) as worker:
        with worker.connect() as sock:
            sock.sendall(get("/threaded/stream"))
            receive(sock, b"data: 1\n\n")
            assert worker.control("POST", "/drain")[0] == 202
            assert receive(sock).endswith(b"\r\n0\r\n\r\n")
        assert worker.process.wait(DEADLINE_S) == 0


def test_many_requests_of_many_kinds_at_once_come_to_their_ends(worker: Worker) -> None:
    """No answer is lost or mixed up between the two sides."""
    failed = []

    def client(number: int) -> None:
        for turn in range(25):
            size = (number * 7919 + turn * 104_729) % 200_000
            body = bytes([number + 1]) * size
            if worker.ask("/engine/echo", "POST", iter([body[:1000], body[1000:]]))[1] != body:
                failed.append((number, turn))
            if len(worker.ask(f"/threaded/block?{size}")[1]) != size:
                failed.append((number, turn))

    clients = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    assert failed == []
    end = time.monotonic() + DEADLINE_S
    while worker.status()["in_flight"]:
        assert time.monotonic() < end
        time.sleep(0.02)
