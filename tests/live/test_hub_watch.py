"""An app that keeps the hub from turning is named, and ended before its neighbours have waited for long."""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from control_support import Neighbour, until
from worker_support import Worker, serving

from hedgerow.control.beats import read
from hedgerow.control.offences import culprit
from hedgerow.control.plan import beat_file, fault_file

BAD = """
import ctypes
import logging
import os
import re
import signal
import sys
import threading
import time

import gevent
import greenlet

logging.basicConfig(stream=sys.stderr)
lock = threading.Lock()


def loop(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def logs():
    while True:
        logging.getLogger("bad").debug("nothing")


def imports():
    while True:
        sys.modules.pop("colorsys", None)
        import colorsys


def locks():
    while True:
        with lock:
            sum(range(10))


class Connections:  # as drivers keep them: who takes one gives it back, and a new one is made for none
    def __init__(self):
        self.free, self.lock = list(range(5)), threading.Lock()

    def take(self):
        with self.lock:
            return self.free.pop() if self.free else len(self.free)

    def give(self, one):
        with self.lock:
            self.free.append(one)


connections = Connections()


def pools():
    while True:
        one = connections.take()
        try:
            sum(range(10))
        finally:
            connections.give(one)


def catches():
    for _ in range(3):
        try:
            loop(60)
        except BaseException:
            pass


WAYS = {
    "/loop": lambda: loop(60), "/regex": lambda: re.match("(a*)*$", "a" * 40 + "b"), "/logs": logs, "/imports": imports,
    "/locks": locks, "/pools": pools, "/catches": catches, "/short": lambda: loop(0.3), "/brief": lambda: loop(0.03),
    "/sleep": lambda: time.sleep(0.5), "/spawned": lambda: gevent.spawn(loop, 0.3).join(),
    "/child": lambda: greenlet.greenlet(loop).switch(60), "/alarm": lambda: signal.setitimer(signal.ITIMER_REAL, 0),
    "/fork": lambda: os.waitpid(os.fork() or ctypes.string_at(0), 0), "/exit": lambda: os._exit(0),
    "/child_exits": lambda: os.waitpid(os.fork() or os._exit(0), 0),
    "/many": lambda: [gevent.sleep(0) for _ in range(20000)],
}


def application(environ, start_response):
    WAYS[environ["PATH_INFO"]]()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
"""
QUIET = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"quiet"]
"""
LIMIT_S = 0.6


@contextmanager
def watched(tmp_path: Path, limit_s: float) -> Iterator[Worker]:
    apps = {}
    for name, text in (("bad", BAD), ("quiet", QUIET)):
        apps[name] = tmp_path / name
        apps[name].mkdir()
        (apps[name] / "app.py").write_text(text)
    with serving(tmp_path, apps, settings={"HUB_LIMIT_S": limit_s, "TRUST_FRONT": 1}) as running:
        yield running


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    with watched(tmp_path, LIMIT_S) as running:
        yield running


def blocks(worker: Worker, count: int) -> list[dict[str, Any]]:
    """What is told, when it is so many."""

    def told() -> list[dict[str, Any]]:
        return [line for line in worker.lines() if "kept all others waiting" in line.get("message", "")]

    until(lambda: len(told()) >= count, 5, f"{count} are told")
    return told()


def quiet_at(worker: Worker) -> Neighbour:
    def ask() -> tuple[int, bytes]:
        response, body = worker.ask("/quiet/")
        return response.status, body

    return Neighbour(ask, (200, b"quiet"))


@pytest.mark.parametrize("way", ["/loop", "/regex", "/logs", "/imports", "/locks", "/child"])
def test_who_keeps_all_others_waiting_is_ended_and_named(worker: Worker, way: str) -> None:
    with quiet_at(worker) as quiet:
        time.sleep(0.1)
        response, _ = worker.ask(f"/bad{way}", headers={"X-Request-Id": "8" * 32})
        time.sleep(0.1)
    assert response.status == 504
    assert quiet.wrong == []
    assert LIMIT_S - 0.2 < quiet.longest < LIMIT_S + 2, quiet.longest
    told = blocks(worker, 1)[0]
    assert (told["level"], told["app"], told["request_id"]) == ("error", "bad", "8" * 32)
    assert told["message"].startswith(f"GET /bad{way} kept all others waiting for ")
    assert told["message"].endswith("and was ended")
    assert "app.py" in told["traceback"]
    status = worker.status()
    assert (status["blocks"], status["interrupted"]) == (1, 1)
    for _ in range(20):  # and it is as well as before
        assert worker.ask("/quiet/")[1] == b"quiet"
        assert worker.ask("/bad/sleep")[0].status == 200


INTERRUPTS = ("/loop", "/logs", "/imports", "/locks", "/pools")


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_interrupts_leave_neighbours_and_worker_as_they_were(tmp_path: Path, count: int) -> None:
    with watched(tmp_path, limit_s=0.1) as worker:
        for way in INTERRUPTS:
            worker.ask(f"/bad{way}")
        before, descriptors = worker.memory(), len(os.listdir(f"/proc/{worker.process.pid}/fd"))
        statuses: Counter[int] = Counter()
        with quiet_at(worker) as quiet:
            for number in range(count):
                statuses[worker.ask(f"/bad{INTERRUPTS[number % len(INTERRUPTS)]}")[0].status] += 1
        grown = worker.memory() - before
        print(f"{dict(statuses)}: a neighbour waited {quiet.longest:.2f} s at most; {grown / 2**20:.1f} MiB more")
        assert quiet.wrong == []
        assert quiet.longest < 0.1 + 2
        assert statuses == {504: count}
        assert grown < 8 * 2**20
        assert len(os.listdir(f"/proc/{worker.process.pid}/fd")) <= descriptors + 2
        assert worker.ask("/bad/sleep")[0].status == 200


def test_one_that_catches_everything_is_ended_again(worker: Worker) -> None:
    with quiet_at(worker) as quiet:
        response, _ = worker.ask("/bad/catches")
    assert response.status == 200, "it has an answer of its own in the end"
    assert quiet.wrong == []
    assert quiet.longest < LIMIT_S + 2
    assert worker.status()["interrupted"] == 1


def test_a_short_block_is_told_of_and_not_ended(worker: Worker) -> None:
    assert worker.ask("/bad/short")[0].status == 200
    told = blocks(worker, 1)
    assert [line["message"].split(" kept")[0] for line in told] == ["GET /bad/short"]
    assert told[0]["level"] == "warning"
    assert 200 < told[0]["ms"] < 600
    assert "in loop" in told[0]["traceback"]
    assert worker.ask("/bad/spawned")[0].status == 200
    assert [line["message"].split(" kept")[0] for line in blocks(worker, 2)][1] == "a greenlet of its own"
    assert blocks(worker, 2)[1]["app"] == "bad"


def test_who_lets_others_run_is_not_named(worker: Worker) -> None:
    with ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(worker.ask, f"/bad/{way}") for way in ("brief", "sleep") * 20]
        assert {one.result()[0].status for one in asked} == {200}
    assert worker.ask("/bad/many")[0].status == 200
    assert blocks(worker, 0) == []


class Watched:
    """How old the worker's beat was at most."""

    def __init__(self, worker: Worker) -> None:
        self.oldest = 0.0
        self._path, self._end = beat_file(worker.run, "8001", "a"), threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.02):
            self.oldest = max(self.oldest, time.monotonic() - read(self._path).time)


def test_who_has_much_to_do_is_not_taken_for_stuck(worker: Worker) -> None:
    """What has come at once is done before the hub looks again; each takes 0.03 s, and together they take longer than
    one may.
    """
    with ExitStack() as stack, Watched(worker) as watched:
        clients = [stack.enter_context(worker.connect()) for _ in range(50)]
        until(lambda: worker.status()["connections"] == 50, 5, "all are connected")
        with worker.connect() as first:
            first.sendall(b"GET /bad/short HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.1)
            for client in clients:
                client.sendall(b"GET /bad/brief HTTP/1.1\r\nHost: a\r\n\r\n")
            began = time.monotonic()
            assert all(client.recv(1000).startswith(b"HTTP/1.1 200 ") for client in (first, *clients))
            assert time.monotonic() - began > 2 * LIMIT_S
    assert watched.oldest < LIMIT_S


def test_an_app_that_takes_the_timer_away_does_not_make_its_worker_look_dead(worker: Worker) -> None:
    with Watched(worker) as watched:
        assert worker.ask("/bad/alarm")[0].status == 200
        time.sleep(2 * LIMIT_S)
    assert watched.oldest < LIMIT_S


@pytest.mark.parametrize("way", ["/fork", "/child_exits"])
def test_the_end_of_a_child_is_not_the_workers(worker: Worker, way: str) -> None:
    assert worker.ask(f"/bad{way}")[0].status == 200
    assert fault_file(worker.run, "8001", "a").read_text() == ""


def test_who_ends_the_process_itself_leaves_where(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        worker.ask("/bad/exit")
    assert worker.process.wait(5) == 0
    left = fault_file(worker.run, "8001", "a").read_text()
    assert left.startswith("os._exit(0)\n")
    assert culprit(left, {"quiet": str(tmp_path / "quiet"), "bad": str(tmp_path / "bad")}) == "bad"


LOGS = """
import logging
import time

__name__ = "logging.slow"  # so that there is no moment, also behind the call, at which it may be interrupted


class Slow(logging.Filter):
    def filter(self, record):
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            pass
        return True


logger = logging.getLogger("slow")
logger.addFilter(Slow())


def application(environ, start_response):
    logger.warning("slow")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
"""


def test_what_must_not_be_interrupted_is_not_while_its_stack_is_taken(tmp_path: Path) -> None:
    """To write a stack the app's file is read: of a large one that takes longer than the limit."""
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "app.py").write_text(LOGS + "#\n" * 2_000_000)
    with serving(tmp_path, {"bad": tmp_path / "bad"}, settings={"HUB_LIMIT_S": 0.1}) as running:
        assert running.ask("/bad/")[0].status == 200
        assert running.status()["interrupted"] == 0
