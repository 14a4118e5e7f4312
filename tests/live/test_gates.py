"""How much of one app runs at once, and what becomes of who is one too many: at a worker, and behind the front."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from control_support import Stack, get, stack, until
from worker_support import Worker, serving

# Each call is a line of the log: its name, its process, and how many are inside.
APP = """
import os
import time

LOG = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "log")
inside = 0


def application(environ, start_response):
    global inside
    inside += 1
    try:
        with open(LOG, "a") as log:
            log.write(f"{environ['PATH_INFO']} {os.getpid()} {inside}\\n")
        time.sleep(float(environ.get("QUERY_STRING") or 0))
    finally:
        inside -= 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
"""


def lay(apps: Path, limits: str, name: str = "slow") -> Path:
    folder = apps / name
    (folder / "data").mkdir(parents=True)
    (folder / "app.py").write_text(APP)
    (folder / "app.toml").write_text(f"[limits]\n{limits}\n")
    return folder


@contextmanager
def gated(tmp_path: Path, limits: str) -> Iterator[tuple[Worker, Path]]:
    folder = lay(tmp_path, limits)
    with serving(tmp_path, {"slow": folder}, settings={"TRUST_FRONT": 1}) as worker:
        yield worker, folder / "data" / "log"


def lines(log: Path) -> list[tuple[str, int, int]]:
    found = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [(name, int(pid), int(inside)) for name, pid, inside in found]


def asked(worker: Worker, count: int, seconds: float) -> list[tuple[int, str | None]]:
    """So many at once: each one's status and Retry-After."""
    with ThreadPoolExecutor(count) as pool:
        answers = [pool.submit(worker.ask, f"/slow/{number}?{seconds}") for number in range(count)]
        responses = [one.result()[0] for one in answers]
    return [(response.status, response.getheader("Retry-After")) for response in responses]


def test_who_waits_is_served_when_another_has_left_and_who_is_one_too_many_is_refused(tmp_path: Path) -> None:
    with gated(tmp_path, "running = 2\nwaiting = 4") as (worker, log):
        statuses = Counter(asked(worker, 9, 0.3))
        assert statuses == {(200, None): 6, (503, "1"): 3}
        assert max(inside for _, _, inside in lines(log)) == 2
        assert len(lines(log)) == 6, "who is refused has not entered"
        # One each 0.15 s leaves for more than a second now: Retry-After is by that.
        with ThreadPoolExecutor(12) as pool:
            busy = [pool.submit(asked, worker, 1, 0.3) for _ in range(12)]
            time.sleep(0.1)
            assert {one.result()[0][0] for one in busy} == {200, 503}
        assert asked(worker, 1, 0)[0] == (200, None)


def test_who_has_waited_long_enough_is_refused(tmp_path: Path) -> None:
    with gated(tmp_path, "running = 1\nwaiting = 5\nwait_s = 0.3") as (worker, log):
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(worker.ask, "/slow/first?1.5")
            until(lambda: lines(log), 5, "the first is inside")
            began = time.monotonic()
            movable = {"X-Hedgerow-Round": "1", "X-Request-Id": "f" * 32}
            response, _ = worker.ask("/slow/second", "POST", b"abc", headers=movable)
            assert 0.3 <= time.monotonic() - began < 1.2
            assert (response.status, response.getheader("X-Accel-Redirect")) == (503, "@refused"), "another may take it"
            assert first.result()[0].status == 200
        assert [name for name, _, _ in lines(log)] == ["/first"]
        assert [line for line in worker.lines('"cause":"full"') if line.get("cause") == "full"]


def test_nobody_works_for_a_client_that_has_gone_while_it_waited(tmp_path: Path) -> None:
    with gated(tmp_path, "running = 1\nwaiting = 5") as (worker, log):
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(worker.ask, "/slow/first?1")
            until(lambda: lines(log), 5, "the first is inside")
            gone = worker.connect()
            gone.sendall(b"GET /slow/gone HTTP/1.1\r\nHost: a\r\n\r\n")
            until(lambda: worker.status()["in_flight"] == 2, 5, "it waits")
            gone.shutdown(socket.SHUT_RDWR)
            gone.close()
            first.result()
        assert worker.ask("/slow/last")[0].status == 200
        assert [name for name, _, _ in lines(log)] == ["/first", "/last"]
        assert worker.status()["in_flight"] == 0


HOLDING = """
import gc
import time

import gevent

seen = set()


def application(environ, start_response):
    seen.add(gevent.getcurrent())
    path = environ["PATH_INFO"]
    if path == "/kill":
        time.sleep(0.3)
        for one in seen - {gevent.getcurrent()}:
            gevent.get_hub().loop.run_callback(one.throw, gevent.GreenletExit)
        time.sleep(0.1)
    elif path == "/hold":
        time.sleep(0.3)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % sum(type(one).__name__ == "Runner" for one in gc.get_objects())]
"""


@contextmanager
def holding(tmp_path: Path, limits: str) -> Iterator[Worker]:
    folder = lay(tmp_path, limits, "holding")
    (folder / "app.py").write_text(HOLDING)
    with serving(tmp_path, {"holding": folder}) as worker:
        yield worker


def test_a_place_is_not_lost_with_one_that_is_killed_while_it_waits(tmp_path: Path) -> None:
    """Of an app that holds on to the greenlets that have served it, and kills them when they serve others."""
    with holding(tmp_path, "running = 1\nwaiting = 5") as worker, ThreadPoolExecutor(2) as pool:
        assert {one.result()[0].status for one in [pool.submit(worker.ask, "/holding/hold") for _ in range(2)]} == {200}
        killing = pool.submit(worker.ask, "/holding/kill")
        until(lambda: worker.status()["in_flight"] == 1, 5, "it is inside")
        with pytest.raises((http.client.HTTPException, OSError)):
            worker.ask("/holding/killed")
        assert killing.result()[0].status == 200
        assert worker.ask("/holding/after")[0].status == 200


def test_who_is_refused_behind_its_wait_takes_no_greenlet_away(tmp_path: Path) -> None:
    with holding(tmp_path, "running = 1\nwaiting = 5\nwait_s = 0.05") as worker, ThreadPoolExecutor(1) as pool:
        for _ in range(6):
            first = pool.submit(worker.ask, "/holding/hold")
            until(lambda: worker.status()["in_flight"] == 1, 5, "it is inside")
            assert worker.ask("/holding/late")[0].status == 503
            first.result()
        assert int(worker.ask("/holding/count")[1]) <= 4, "two of the app's, the control socket's, the pages'"


def test_rates_of_all_and_of_one_client(tmp_path: Path) -> None:
    with gated(tmp_path, "rate = 20\nclient_rate = 2") as (worker, log):

        def ask(client: str) -> tuple[int, str | None]:
            response, body = worker.ask("/slow/", headers={"X-Forwarded-For": client, "Accept": "application/json"})
            assert response.status == 200 or b"More requests have come" in body
            return response.status, response.getheader("Retry-After")

        assert [ask("10.0.0.1") for _ in range(4)] == [(200, None)] * 2 + [(429, "1")] * 2
        assert ask("10.0.0.2") == (200, None), "another client has its own"
        assert Counter(ask(f"10.0.1.{number}")[0] for number in range(40))[429] >= 15
        assert [line for line in worker.lines('"cause":"rate"') if line.get("cause") == "rate"]
        assert len(lines(log)) <= 25


CLIENTS, RUNNING, WAITING = 200, 10, 20


def test_of_200_at_two_addresses_what_fits_is_served_and_the_rest_is_told_when_to_come(tmp_path: Path) -> None:
    with stack(workers=2) as here:
        lay(here.apps, f"running = {RUNNING}\nwaiting = {WAITING}\nwait_s = 30")
        here.up()
        until(lambda: get(here.port, "/slow/ready")[0] == 200, 30, "it is up")
        answers = posts(here, CLIENTS, "0.5")
        log = next((here.state / "data").rglob("log"))
        entered = [line for line in lines(log) if line[0] in answers]
        names = Counter(name for name, _, _ in entered)
        assert max(names.values()) == 1, "a POST is executed once at most"
        pids = Counter(pid for _, pid, _ in entered)
        assert len(pids) == 2, "both addresses take what they can"
        assert max(inside for _, _, inside in entered) == RUNNING
        assert {name for name, (status, _) in answers.items() if status == 200} == set(names)
        assert set(answers.values()) <= {(200, None), *((503, str(seconds)) for seconds in range(1, 61))}
        served = len(names)
        print(f"{served} of {CLIENTS} served, {dict(pids)}, the rest 503")
        assert served >= 2 * (RUNNING + WAITING) - 5, "the front moves what one address has no room for"
        assert get(here.port, "/slow/after")[0] == 200


def posts(here: Stack, count: int, query: str) -> dict[str, tuple[int, str | None]]:
    """So many POSTs at once, all connected before the first is sent: path → status and Retry-After."""
    answers: dict[str, tuple[int, str | None]] = {}
    start = threading.Barrier(count)

    def post(name: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", here.port, timeout=60)
        connection.connect()
        start.wait(30)
        connection.request("POST", f"/slow{name}?{query}", b"x" * 100)
        response = connection.getresponse()
        response.read()
        answers[name] = (response.status, response.getheader("Retry-After"))
        connection.close()

    threads = [threading.Thread(target=post, args=(f"/{number}",)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    return answers
