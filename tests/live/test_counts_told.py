"""What workers count of each app's requests, and tell on their control sockets."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from control_support import until
from forward_support import FRONT, pool_worker
from worker_support import Worker, listening, listening_at, receive, serving

APP = """
import logging
import threading
import time


def application(environ, start_response):
    what, _, given = environ["PATH_INFO"].strip("/").partition("/")
    body = environ["wsgi.input"].read()
    if what == "sleep":
        time.sleep(float(given))
    elif what == "log":
        logging.getLogger(__name__).warning("x")
        time.sleep(float(given))
    elif what == "thread":
        threading.Thread(target=time.sleep, args=(float(given),)).start()
    elif what == "spin":
        end = time.monotonic() + float(given)
        while time.monotonic() < end:
            pass
    elif what == "stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return stream()
    status = f"{given} x" if what == "status" else "200 OK"
    start_response(status, [("Content-Type", "text/plain"), ("X-Hedgerow-Cause", "rate")])
    return [body + b"12345"]


def stream():
    while True:
        yield b"x" * 65536
"""
MOVABLE = FRONT | {"X-Hedgerow-Round": "1"}
NONE = {"requests": [0] * 6, "refused": {}, "moved": {}, "deadlines": 0, "blocks": 0, "bytes_in": 0, "bytes_out": 0}


def lay(place: Path, limits: str = "") -> Path:
    folder = place / "app"
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text(APP)
    (folder / "app.toml").write_text(f"[limits]\n{limits}\n")
    return folder


def counted(worker: Worker, app: str = "app") -> dict[str, Any]:
    told = worker.status()["counts"].get(app, {})
    return {name: told.get(name, usual) for name, usual in NONE.items()}


def settled(worker: Worker) -> None:
    until(lambda: not worker.status()["in_flight"], 10, "all is served")


def test_answers_bodies_and_durations_of_an_app(tmp_path: Path) -> None:
    with serving(tmp_path, {"app": lay(tmp_path)}) as worker:
        for path in ("/app/", "/app/status/404", "/app/status/404", "/app/status/500", "/app", "/nothing"):
            worker.ask(path)
        worker.ask("/app/", "POST", b"x" * 100_000)
        worker.ask("/app/", "POST", iter([b"x" * 1000] * 3))
        worker.ask("/app/sleep/0.3")
        told = worker.status()["counts"]["app"]
        assert told["requests"] == [0, 0, 4, 0, 2, 1]
        assert (told["bytes_in"], told["bytes_out"]) == (103_000, 103_000 + 7 * 5)
        assert sum(told["durations"]) == 7
        assert sum(told["durations"][8:]) == 1, "one took more than 250 ms"
        assert 300_000 <= told["duration_us"] < 1_000_000
        assert worker.status()["counts"][""]["requests"] == [0, 0, 0, 1, 1, 0], "no app's: 308 and 404"


def test_answers_that_do_not_come_whole(tmp_path: Path) -> None:
    with serving(tmp_path, {"app": lay(tmp_path)}) as worker:
        with worker.connect() as client:
            client.sendall(b"GET /app/stream HTTP/1.1\r\nHost: a\r\n\r\n")
            receive(client, 10)
        settled(worker)
        assert worker.status()["counts"]["app"]["aborted"] == 1
        with worker.connect() as client:
            client.sendall(b"no\r\n\r\n")
            receive(client)
        assert worker.status()["rejections"] == 1


def test_who_does_not_enter(tmp_path: Path) -> None:
    folder = lay(tmp_path, "running = 1\nwaiting = 0\nrate = 5")
    with serving(tmp_path, {"app": folder}, settings={"TRUST_FRONT": 1}) as worker, ThreadPoolExecutor(1) as pool:
        first = pool.submit(worker.ask, "/app/sleep/0.5")
        until(lambda: worker.status()["in_flight"] == 1, 5, "it is inside")
        statuses = [worker.ask("/app/", headers=headers)[0].status for headers in (MOVABLE, MOVABLE, FRONT)]
        assert (statuses, first.result()[0].status) == ([503] * 3, 200)
        asked = [worker.ask("/app/status/429")[0].status for _ in range(4)]
        found = counted(worker)
        assert (found["moved"], found["refused"]["full"]) == ({"full": 2}, 1)
        own = found["requests"][4]  # the app's own 429
        assert asked == [429] * 4
        assert found["refused"]["rate"] == 4 - own > 0


def test_deadlines_and_blocks(tmp_path: Path) -> None:
    with serving(tmp_path, {"app": lay(tmp_path, "deadline_s = 0.3")}) as worker:
        assert worker.ask("/app/sleep/5")[0].status == 504
        worker.ask("/app/spin/0.2")
        until(lambda: counted(worker)["blocks"], 5, "the block is told")
        assert (counted(worker)["deadlines"], counted(worker)["requests"][5]) == (1, 1)


def test_each_greenlet_is_one_also_if_it_logs_and_so_is_each_thread(tmp_path: Path) -> None:
    with serving(tmp_path, {"app": lay(tmp_path)}) as worker, ThreadPoolExecutor(8) as clients:

        def some(path: str) -> int:
            asked = [clients.submit(worker.ask, path) for _ in range(8)]
            assert {each.result()[0].status for each in asked} == {200}
            told: int = worker.status()["greenlets"]
            return told

        parked = some("/app/sleep/0.4")
        assert parked >= 8
        assert some("/app/log/0.4") == parked
        assert some("/app/thread/60") == parked + 8


def test_an_app_of_a_pool_is_counted_at_the_address_and_what_happens_inside_in_the_pool(tmp_path: Path) -> None:
    folder = lay(tmp_path, "running = 1\nwaiting = 0\nrate = 6\ndeadline_s = 0.6")
    short = Path("/tmp") / f"hgc-{tmp_path.stat().st_ino}"  # noqa: S108  # the paths of unix sockets must be short
    short.mkdir()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, short)
        socket = stack.enter_context(listening_at(short / "pool.sock"))
        pool = pool_worker(short, socket, app=folder, settings={"TRUST_FRONT": 1})
        forwards = {"pooled": {"path": "/app", "host": "", "sockets": [socket.getsockname()]}}
        listener = stack.enter_context(listening())
        door = Worker(short, {}, listener, "a", content={"forwards": forwards}, settings={"TRUST_FRONT": 1})
        clients = stack.enter_context(ThreadPoolExecutor(1))
        first = clients.submit(door.ask, "/app/sleep/0.4", headers=FRONT)
        until(lambda: pool.status()["in_flight"] == 1, 5, "it is inside")
        assert [door.ask("/app/", headers=headers)[0].status for headers in (MOVABLE, FRONT)] == [503, 503]
        assert first.result()[0].status == 200
        response, _ = door.ask("/app/sleep/5", "POST", b"abc", headers=FRONT)
        assert response.status == 504
        until(lambda: door.ask("/app/", headers=FRONT)[0].status == 429, 5, "too many")
        told = [door.ask("/app/", headers=FRONT | asks)[0] for asks in ({}, {"X-Hedgerow-Cause": "1"})]
        assert [one.status for one in told] == [429, 429]
        assert [one.getheader("X-Hedgerow-Cause") for one in told] == [None, "rate"], "who asks takes it off"
        found, inside = counted(door, "pooled"), counted(pool, "pooled")
        assert (door.status()["behind"], pool.status()["behind"]) == (False, True)
        assert found["refused"] == {"full": 1, "rate": 3}
        assert (found["moved"], found["deadlines"], found["bytes_in"]) == ({"full": 1}, 0, 3)
        assert (found["requests"][4], found["requests"][5], inside["deadlines"]) == (0, 1, 1)
        assert inside["requests"] == found["requests"], "by release, for who compares two of them"
