"""One bad app among several in a real stack: what its own client gets, and what the others notice of it, as told in
docs/neighbours.md. Whatever it does, two apps are asked all the time: one that shares its workers, and one in a pool of
its own, whose requests the same workers send on. None of their GETs may fail.
"""

from __future__ import annotations

import json
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from control_support import Neighbour, Stack, drop, get, stack, until

from hedgerow.control import client

QUIET = """
import json, locale, os, signal, socket, time

def application(environ, start_response):
    while environ["PATH_INFO"] == "/slow" and not os.path.exists(%r):
        time.sleep(0.05)
    body = b"quiet"
    if environ["PATH_INFO"] == "/state":
        handlers = [str(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGUSR1)]
        state = os.getcwd(), locale.setlocale(locale.LC_ALL), socket.getdefaulttimeout(), handlers
        body = json.dumps(state).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Worker", str(environ["hedgerow.worker"]))])
    return [body]
"""
# One thing a path.
BAD = """
import os, sys
import gevent

OPEN = []

class Broken(list):
    def close(self):
        raise RuntimeError("a broken close")

def exits():
    raise SystemExit("of the call")

def exits_in_a_greenlet():
    gevent.spawn(sys.exit, 3)
    gevent.spawn_raw(sys.exit, 3)
    gevent.sleep(0.05)

def takes_two_gigabytes():
    b"x" * (2 << 30)

def leaks_descriptors():
    for _ in range(200):
        OPEN.append(os.open(os.devnull, os.O_RDONLY))

def closes_them():
    while OPEN:
        os.close(OPEN.pop())

def floods_stdout():
    for number in range(10_000):
        print("flood", number)

def pieces():
    yield b"first"
    raise RuntimeError("in the middle of the body")

def application(environ, start_response):
    way = environ["PATH_INFO"].strip("/")
    if way in globals():
        globals()[way]()
    if way == "raises_before_start_response":
        raise RuntimeError(way)
    start_response("wrong" if way == "raises_in_start_response" else "200 OK", [("Content-Type", "text/plain")])
    if way == "raises_behind_start_response":
        raise RuntimeError(way)
    if way == "raises_in_the_middle":
        return pieces()
    if way == "closes_wrong":
        return Broken([b"whole"])
    return ["text"] if way == "sends_text" else [b"whole"]
"""
ENDS = """
import ctypes, os, signal

def application(environ, start_response):
    if environ["REQUEST_METHOD"] == "POST":
        %s
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"here"]
"""
DEATHS = {  # app → what it does, what the operator reads
    "exits_zero": ("os._exit(0)", "its worker has ended in exits_zero"),
    "exits_three": ("os._exit(3)", "its worker has ended in exits_three"),
    "segfaults": ("ctypes.string_at(0)", "its worker has ended in segfaults"),
    "is_killed": ("os.kill(os.getpid(), signal.SIGKILL)", "its worker has ended without a word"),
}
CHANGES = """
import locale, os, signal, socket

def application(environ, start_response):
    if environ["REQUEST_METHOD"] == "POST":
        %s
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"here"]
"""
STATES = {  # app → what it does, what is said of it
    "changes_directory": ('os.chdir("/tmp")', "uses os.chdir"),
    "changes_locale": ('locale.setlocale(locale.LC_NUMERIC, "C.UTF-8")', "uses locale.setlocale"),
    "changes_handlers": ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "uses signal.signal"),
    "changes_timeout": ("socket.setdefaulttimeout(0.001)", "uses socket.setdefaulttimeout"),
}
WHOLE, FAILED, BROKEN_OFF, LOST, REFUSED = 200, 500, 0, 502, 503
QUEUE_LINES = 1000
GO = "go"  # a file: those who wait inside go on when it is there


@pytest.fixture(scope="module")
def here() -> Iterator[Stack]:
    given = {
        "HEDGEROW_GATEWAY": "false",
        "HEDGEROW_LOG_QUEUE_LINES": str(QUEUE_LINES),
        "HEDGEROW_WORKER_REST_S": "3600",
    }
    with stack(workers=2, **given) as made:  # none is replaced for being worn
        for name in ("quiet", "apart"):
            drop(made.apps, name, QUIET % str(made.base / GO))
        drop(made.apps, "apart", 'pool = "own"\n', "app.toml")
        drop(made.apps, "bad", BAD)
        for texts, kinds in ((ENDS, DEATHS), (CHANGES, STATES)):
            for name, (what, _) in kinds.items():
                drop(made.apps, name, texts % what)
        made.up()
        names = ("quiet", "apart", "bad", *DEATHS, *STATES)
        until(lambda: all(get(made.port, f"/{name}/")[0] == 200 for name in names), 60, "all are up")
        until(lambda: len(workers(made)) == 2, 30, "two workers serve")
        yield made


def workers(here: Stack) -> set[int]:
    """The process ids of the addresses' workers that are ready, as the replica tells."""
    groups = json.loads((here.state / "replicas" / "here.json").read_text())["addresses"]
    return {slot["pid"] for group in groups for slot in group["slots"].values() if slot.get("state") == "ready"}


@contextmanager
def neighbours(here: Stack, refused: bool = False) -> Iterator[None]:
    """Both are asked all the time; none of it fails, but may be refused before entry."""
    with ExitStack() as asked:
        both = [
            asked.enter_context(
                Neighbour(lambda name=name: get(here.port, f"/{name}/", timeout_s=30), (200, b"quiet"), 2)
            )
            for name in ("quiet", "apart")
        ]
        time.sleep(0.2)
        yield
        time.sleep(0.2)
    print(f"the neighbours waited for {both[0].longest:.2f} and {both[1].longest:.2f} s at most")
    wrong = [answer for one in both for answer in one.wrong]
    assert [answer for answer in wrong if not refused or answer[0] != REFUSED] == []
    if wrong:
        print(f"{len(wrong)} were refused")


def in_flight(here: Stack) -> int:
    """Requests in the addresses' workers."""
    sockets = [path for number in range(2) for path in (here.base / "run").glob(f"{here.first + number}-?.sock")]
    return sum(status["in_flight"] for path in sockets if (status := client.status(path)) is not None)


def apps(here: Stack) -> dict[str, dict[str, Any]]:
    return {app["name"]: app for app in here.status()["apps"]}


def told(here: Stack) -> dict[str, str]:
    """The errors of those that have some."""
    return {name: app["error"] for name, app in apps(here).items() if app["error"]}


def state(here: Stack) -> bytes:
    """Of the process, as an app sees it that shares it."""
    return get(here.port, "/quiet/state")[1]


def ask_bad(here: Stack, path: str, method: str = "POST") -> tuple[int, bytes]:
    return get(here.port, path, method, 30)


def logged(here: Stack, words: str, at_least: int = 1) -> list[dict[str, Any]]:
    """The lines with these words, when they are there."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        files = (here.state / "logs" / "here").glob("*.log")
        lines = [line for file in files for line in file.read_text(errors="replace").splitlines() if words in line]
        found[:] = [json.loads(line) for line in lines if line.startswith("{")]
        return len(found) >= at_least

    until(look, 20, f"{words!r} is in the log")
    return found


RAISES = {  # path → the status, what the operator reads
    "exits": (FAILED, "raised SystemExit"),
    "exits_in_a_greenlet": (WHOLE, ""),
    "sends_text": (FAILED, "sends_text raised "),
    "closes_wrong": (WHOLE, "a broken close"),
    "raises_before_start_response": (FAILED, "raises_before_start_response raised RuntimeError"),
    "raises_in_start_response": (FAILED, "raises_in_start_response raised "),
    "raises_behind_start_response": (FAILED, "raises_behind_start_response raised RuntimeError"),
    "raises_in_the_middle": (BROKEN_OFF, "in the middle of the body"),
}


@pytest.mark.parametrize("way", RAISES)
def test_what_an_app_raises_is_its_own_clients(here: Stack, way: str) -> None:
    status, words = RAISES[way]
    before = workers(here)
    with neighbours(here):
        found = [ask_bad(here, f"/bad/{way}") for _ in range(5)]
    assert {answer[0] for answer in found} == {status}
    assert status != WHOLE or {answer[1] for answer in found} == {b"whole"}
    assert workers(here) == before
    if words:
        assert {line["app"] for line in logged(here, words)} == {"bad"}


@contextmanager
def limited(pids: set[int], what: int, limit: int) -> Iterator[None]:
    """What these workers may have, set from outside."""
    before = {pid: resource.prlimit(pid, what) for pid in pids}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, what, (limit, hard))
    try:
        yield
    finally:
        for pid, had in before.items():
            resource.prlimit(pid, what, had)


def test_two_gigabytes_where_there_is_a_limit(here: Stack) -> None:
    before = workers(here)
    with neighbours(here), limited(before, resource.RLIMIT_DATA, 1 << 30):
        assert [ask_bad(here, "/bad/takes_two_gigabytes")[0] for _ in range(5)] == [FAILED] * 5
    assert workers(here) == before
    assert {line["app"] for line in logged(here, "raised MemoryError")} == {"bad"}


@pytest.mark.parametrize("count", [1, 2], ids=["in one worker", "in both workers"])
def test_descriptors_leaked_until_there_are_none(here: Stack, count: int) -> None:
    """While another worker has some nobody notices; else new connections are refused before entry."""
    before = workers(here)
    starved = set(sorted(before)[:count])
    with neighbours(here, refused=count == len(before)):
        with limited(starved, resource.RLIMIT_NOFILE, 200):
            until(lambda: leak(here) and all(descriptors(pid) >= 199 for pid in starved), 20, "none are left")
            with ExitStack() as clients:  # the front may have enough connections already
                for number in range(2):
                    clients.enter_context(socket.create_connection(("127.0.0.1", here.first + number)))
                time.sleep(2.5)  # longer than accepting pauses
        until(lambda: ask_bad(here, "/bad/closes_them")[0] == WHOLE and not leaking(here), 20, "it is let in again")
    assert workers(here) == before
    assert "bad" in {line.get("app") for line in logged(here, "raised OSError")}
    assert logged(here, "accepting pauses: Too many open files")


def leak(here: Stack) -> bool:
    return ask_bad(here, "/bad/leaks_descriptors")[0] in (WHOLE, FAILED, REFUSED)


def leaking(here: Stack) -> bool:
    return any(descriptors(pid) > 150 for pid in workers(here))


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_a_flooded_stdout(here: Stack) -> None:
    before = workers(here)
    with neighbours(here), ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: ask_bad(here, "/bad/floods_stdout"), range(2)))
    assert found == [(WHOLE, b"whole")] * 2
    assert workers(here) == before
    dropped = sum(line["dropped"] for line in logged(here, " log lines were dropped"))
    missing = 2 * 10_000 - len(logged(here, '"flood ', 1000))
    print(f"{missing} lines are missing, {dropped} are told to be dropped")
    assert 0 < missing <= dropped


@contextmanager
def replaced(here: Stack) -> Iterator[None]:
    """One of the two workers ends meanwhile, and another comes."""
    before = workers(here)
    yield
    until(lambda: len(workers(here)) == 2 and workers(here) != before, 30, "another worker serves")
    assert len(workers(here) & before) == 1, "the other one goes on"


@pytest.mark.parametrize("app", DEATHS)
def test_who_ends_the_worker(here: Stack, app: str) -> None:
    with neighbours(here), replaced(here):
        assert ask_bad(here, f"/{app}/")[0] == LOST
    told = logged(here, DEATHS[app][1])
    assert {line.get("app") for line in told} == {None if app == "is_killed" else app}


def test_what_was_inside_the_worker_that_ended(here: Stack) -> None:
    """Of what cannot be repeated, what was in that worker is lost, also on its way to a pool; and nothing else."""
    paths = ["/quiet/slow", "/apart/slow"] * 6
    with ThreadPoolExecutor(len(paths)) as pool, replaced(here):
        asked = [pool.submit(get, here.port, path, "POST", 30) for path in paths]
        until(lambda: in_flight(here) >= len(paths), 20, "all are inside")
        assert ask_bad(here, "/segfaults/")[0] == LOST
        (here.base / GO).touch()
        found = [one.result()[0] for one in asked]
    lost = {path: found[number::2].count(LOST) for number, path in enumerate(paths[:2])}
    print(f"lost {lost} of {len(paths)}")
    assert set(found) == {WHOLE, LOST}


def test_what_exits_at_import_never_serves(here: Stack) -> None:
    before = workers(here)
    with neighbours(here):
        drop(here.apps, "never", "raise SystemExit(3)\n")
        drop(here.apps, "at_once", "import os\nos._exit(3)\n")
        until(lambda: {"never", "at_once"} <= told(here).keys(), 30, "both have failed")
    assert workers(here) == before
    assert all(get(here.port, f"/{name}/")[0] in (404, 503) for name in ("never", "at_once"))


def test_what_changes_the_process_moves(here: Stack) -> None:
    usual = {state(here) for _ in range(20)}
    assert len(usual) == 1
    with neighbours(here):
        began = time.monotonic()
        assert {ask_bad(here, f"/{app}/")[0] for app in STATES} == {WHOLE}
        changed = {state(here) for _ in range(20)} - usual
        until(
            lambda: all(app["pool"] == "own" for app in apps(here).values() if app["name"] in STATES), 60, "all moved"
        )
        until(lambda: {state(here) for _ in range(20)} == usual, 30, "it is as before")
    assert changed, "until then all of the worker have it"
    print(f"as before after {time.monotonic() - began:.1f} s")
    for name, (_, words) in STATES.items():
        assert apps(here)[name]["reason"].endswith(f"{words}, which is of the whole process")
        assert {line["app"] for line in logged(here, words)} == {name}
