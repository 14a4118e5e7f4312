"""Requests that take too long are ended where they wait, and leave nothing behind."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from control_support import until
from worker_support import Worker, serving

APP = """
import select
import socket
import threading
import time

lock = threading.Lock()
lock.acquire()
ours, theirs = socket.socketpair()
closed = []


class Closing:
    def __init__(self, blocks):
        self.blocks = blocks

    def __iter__(self):
        return iter(self.blocks)

    def close(self):
        closed.append(1)


def forever(first):
    yield first
    time.sleep(60)
    yield b"late"


def ticking(count):
    for number in range(count):
        yield b"tick"
        time.sleep(0.4)


def catches():
    try:
        time.sleep(60)
    except Exception:
        time.sleep(60)


def catches_all():
    try:
        time.sleep(60)
    except BaseException:
        time.sleep(60)


def answers_late():
    try:
        time.sleep(60)
    except BaseException:
        pass


def loop():
    while True:
        pass


def cleans_up():
    try:
        time.sleep(60)
    finally:
        time.sleep(0.1)
        closed.append(2)


WAYS = {
    "/sleep": lambda environ: time.sleep(60), "/socket": lambda environ: ours.recv(1), "/lock": lambda environ: lock.acquire(),
    "/select": lambda environ: select.select([ours], [], []), "/catches": lambda environ: catches(),
    "/catches_all": lambda environ: catches_all(), "/answers_late": lambda environ: answers_late(),
    "/cleans_up": lambda environ: cleans_up(), "/paths/long": lambda environ: time.sleep(1.6),
    "/body": lambda environ: environ["wsgi.input"].read(), "/quick": lambda environ: None, "/loop": lambda environ: loop(),
}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path in WAYS:
        WAYS[path](environ)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/stream":
        return Closing(forever(b"first"))
    if path == "/waits":
        return Closing(forever(b""))
    if path == "/ticks":
        return Closing(ticking(6))
    if path == "/large":
        return Closing([b"x" * 65536] * 400)
    return [repr(closed).encode()]
"""  # noqa: E501

MANIFEST = """
[limits]
deadline_s = 1.0
idle_s = 1.0
paths = {"/paths/long" = 30.0, "/paths" = 0.5}
"""
LIMIT_S, LATE_S = 1.0, 0.5


@pytest.fixture(scope="module", params=[False, True], ids=["greenlets", "threads"])
def worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    run = tmp_path_factory.mktemp("run")
    app = run / "late"
    app.mkdir()
    (app / "app.py").write_text(APP)
    (app / "app.toml").write_text(MANIFEST)
    with serving(run, {"late": app}, threads=request.param, settings={"TRUST_FRONT": 1}) as running:
        running.threaded = request.param  # type: ignore[attr-defined]
        yield running


def timed(worker: Worker, path: str) -> tuple[float, int, bytes]:
    """Seconds, status (0: it was broken off) and body."""
    began = time.monotonic()
    try:
        response, body = worker.ask(f"/late{path}", headers={"Accept": "application/json", "X-Request-Id": "7" * 32})
    except (http.client.HTTPException, OSError):
        return time.monotonic() - began, 0, b""
    return time.monotonic() - began, response.status, body


WAITING = ("/sleep", "/socket", "/lock", "/select", "/catches", "/catches_all", "/cleans_up", "/waits")


def test_whatever_a_handler_waits_for_its_client_has_an_answer_in_time(worker: Worker) -> None:
    with ThreadPoolExecutor(len(WAITING)) as pool:
        found = dict(zip(WAITING, pool.map(lambda path: timed(worker, path), WAITING), strict=True))
    for path, (seconds, status, body) in found.items():
        assert (status, json.loads(body)["request_id"]) == (504, "7" * 32), path
        assert LIMIT_S <= seconds < LIMIT_S + LATE_S, path
    lines = [
        line for line in worker.lines("/late/cleans_up began no answer") if "began no answer" in line.get("message", "")
    ]
    assert {line["message"].split()[1] for line in lines} == {f"/late{path}" for path in WAITING}
    for line in lines:
        assert "app.py" in line["traceback"], line
        assert (line["app"], line["request_id"]) == ("late", "7" * 32)
    access = [
        line for line in worker.lines() if line["kind"] == "access" and line["path"] in {f"/late{p}" for p in WAITING}
    ]
    assert {(line["status"], line["cause"]) for line in access} == {(504, "deadline")}


def test_a_stream_that_stops_is_broken_off_and_one_that_goes_on_is_not(worker: Worker) -> None:
    with ThreadPoolExecutor(3) as pool:
        stopped, going, large = pool.map(lambda path: timed(worker, path), ("/stream", "/ticks", "/large"))
    assert stopped[1] == 0
    assert LIMIT_S <= stopped[0] < LIMIT_S + LATE_S
    assert going[1:] == (200, b"tick" * 6), "2.4 s, but never one without a block"
    assert going[0] > 2
    assert (large[1], len(large[2])) == (200, 400 * 65536)
    assert "sent nothing more of its answer within 1 s" in str(worker.lines("sent nothing more"))


def test_close_and_finally_run(worker: Worker) -> None:
    if worker.threaded:  # type: ignore[attr-defined]
        return  # a native thread goes on until it has done: there is nothing to unwind it
    before = timed(worker, "/quick")[2].count(b"1"), timed(worker, "/quick")[2].count(b"2")
    assert (timed(worker, "/stream")[1], timed(worker, "/cleans_up")[1]) == (0, 504)
    after = timed(worker, "/quick")[2].count(b"1"), timed(worker, "/quick")[2].count(b"2")
    assert after == (before[0] + 1, before[1] + 1)


def test_an_app_that_answers_all_the_same_is_heard(worker: Worker) -> None:
    seconds, status, _ = timed(worker, "/answers_late")
    assert status == (504 if worker.threaded else 200)  # type: ignore[attr-defined]
    assert LIMIT_S <= seconds < LIMIT_S + LATE_S


def test_the_longest_path_below_the_mount_says_how_long(worker: Worker) -> None:
    seconds, status, _ = timed(worker, "/paths/long")
    assert (status, seconds > 1.6) == (200, True)


def test_a_slow_client_has_limits_of_its_own(worker: Worker) -> None:
    """A body that takes 2 s to come, and an answer that is not read for 2 s."""
    with worker.connect() as slow, worker.connect() as deaf:
        slow.sendall(b"POST /late/body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
        deaf.sendall(b"GET /late/large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        for byte in b"abcde":
            time.sleep(0.45)
            slow.sendall(bytes([byte]))
        with slow.makefile("rb") as file:
            assert file.readline() == b"HTTP/1.1 200 OK\r\n"
        with deaf.makefile("rb") as file:
            assert len(file.read()) > 400 * 65536


def counts(worker: Worker) -> tuple[int, int, int]:
    status = worker.status()
    return worker.memory(), len(os.listdir(f"/proc/{worker.process.pid}/fd")), status["in_flight"]


def greenlets(worker: Worker) -> int:
    return int(worker.control("GET", "/stacks")[1].count("Greenlet"))


def ended(worker: Worker, count: int) -> None:
    with ThreadPoolExecutor(200) as pool:
        statuses = [
            pool.submit(timed, worker, ("/sleep", "/catches_all", "/lock")[number % 3]) for number in range(count)
        ]
        assert {one.result()[1] for one in statuses} == {504}


@pytest.mark.parametrize("count", [600, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_thousands_leave_nothing_behind(tmp_path: Path, count: int) -> None:
    app = tmp_path / "late"
    app.mkdir()
    (app / "app.py").write_text(APP)
    (app / "app.toml").write_text(MANIFEST.replace("1.0", "0.3"))
    with serving(tmp_path, {"late": app}) as worker:
        ended(worker, 400)
        until(lambda: worker.status()["in_flight"] == 0, 10, "all are over")
        before = counts(worker)
        stacks = greenlets(worker)
        ended(worker, count)
        until(lambda: counts(worker)[1:] == before[1:], 10, "descriptors and requests are as before")
        grown = counts(worker)[0] - before[0]
        print(f"{count} ended: {grown / 1024:.0f} KiB more, greenlets {stacks} before and {greenlets(worker)} behind")
        assert grown < 8 * 2**20
        assert abs(greenlets(worker) - stacks) <= 200
        assert timed(worker, "/quick")[1] == 200


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_loops_that_are_ended_leave_nothing_behind(tmp_path: Path) -> None:
    app = tmp_path / "late"
    app.mkdir()
    (app / "app.py").write_text(APP)
    with serving(tmp_path, {"late": app}, settings={"HUB_LIMIT_S": 0.1}) as worker:
        assert {timed(worker, "/loop")[1] for _ in range(20)} == {504}
        before, stacks = counts(worker), greenlets(worker)
        found = [timed(worker, "/loop") for _ in range(200)]
        assert {status for _, status, _ in found} == {504}
        until(lambda: counts(worker)[1:] == before[1:], 10, "descriptors and requests are as before")
        grown, more = counts(worker)[0] - before[0], greenlets(worker) - stacks
        longest = max(seconds for seconds, _, _ in found)
        print(f"200 loops ended, each within {longest:.2f} s: {grown / 1024:.0f} KiB and {more} greenlets more")
        assert grown < 8 * 2**20
        assert more <= 2
        assert timed(worker, "/quick")[1] == 200


QUEUED = """
import time

done = []


def application(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        time.sleep(1.2)
    done.append(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(done).encode()]
"""


def test_what_no_thread_was_free_for_in_time_is_not_done_later(tmp_path: Path) -> None:
    app = tmp_path / "late"
    app.mkdir()
    (app / "app.py").write_text(QUEUED)
    (app / "app.toml").write_text("threads = 1\n[limits]\ndeadline_s = 0.4\n")
    with serving(tmp_path, {"late": app}, threads=True) as worker, ThreadPoolExecutor(1) as pool:
        hangs = pool.submit(timed, worker, "/hang")
        until(lambda: worker.status()["in_flight"] == 1, 5, "it is inside")
        assert timed(worker, "/waits")[1] == 504
        assert hangs.result()[1] == 504
        until(lambda: timed(worker, "/last")[1] == 200, 5, "the thread is free")
        assert timed(worker, "/last")[2] == b"['/hang', '/last', '/last']"


def test_a_thread_that_goes_on_behind_its_deadline_keeps_its_place_at_the_gate(tmp_path: Path) -> None:
    app = tmp_path / "late"
    app.mkdir()
    (app / "app.py").write_text(QUEUED)
    (app / "app.toml").write_text("threads = 4\n[limits]\ndeadline_s = 0.4\nrunning = 1\nwaiting = 0\n")
    with serving(tmp_path, {"late": app}, threads=True) as worker:
        assert timed(worker, "/hang")[1] == 504
        assert timed(worker, "/full")[1] == 503
        until(lambda: timed(worker, "/last")[1] == 200, 5, "the thread has done")
        assert timed(worker, "/last")[2] == b"['/hang', '/last', '/last']"
        assert timed(worker, "/hang")[1] == 504
