"""What a quiet app notices of a noisy one in the same worker, through the front, in a real stack of one worker.

A wait counts from the moment at which a request was to be sent: one that is late because the one before it had to wait
has waited as well. The noise comes from another process than the quiet app's client.
"""

from __future__ import annotations

import http.client
import multiprocessing
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from load import Shape, load
from meter import resident_bytes
from rounds import Verdict

sys.path.append(str(Path(__file__).parents[1] / "live"))

from control_support import Stack, drop, get, stack, until

from hedgerow.control import client

SLOW = 1000  # requests at once
HUB_LIMIT_S = 2.0
LEAK_MB = 1000  # as in the app below
RECYCLING: dict[str, str] = {}  # settings by which a worker that has grown is replaced, if they are not the usual ones
SETTLED_S = 4.0  # behind the time in which it has to be quick again: so that what is late is seen
LATE_S = 0.1  # a quiet request that takes longer has waited
APP = """
import json, random, re, time

MEGABYTES = 1000
kept = []
many = range(2 * 10**9)  # to add them takes half a minute, in C, which nothing interrupts
rows = [{"name": "some text", "value": 1.5, "more": [1, 2, 3]}]  # 54 bytes each as JSON


def loop():
    while True:
        pass


def leak():
    for _ in range(MEGABYTES):
        kept.append(b"x" * 10**6)
        time.sleep(0.005)


WAYS = {
    "/": lambda: None,
    "/sleep": lambda: time.sleep(random.uniform(2, 8)),
    "/loop": loop,
    "/regex": lambda: re.match("(a*)*$", "a" * 40 + "b"),
    "/json": lambda: json.dumps(rows * 9_300_000),
    "/c": lambda: sum(many),
    "/leak": leak,
}


def application(environ, start_response):
    WAYS[environ["PATH_INFO"]]()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"noisy"]
"""
QUIET = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"quiet"]
"""
STALLS = {
    "an endless loop": "/loop",
    "a catastrophic regular expression": "/regex",
    "a `json.dumps` of 500 MB": "/json",
    "a call in C of 30 s": "/c",
}


@dataclass(frozen=True)
class Asked:
    """One request of the quiet app. due: when it was to be sent; waited_s: from then to the end of its answer."""

    due: float
    waited_s: float
    fine: bool


@dataclass
class Asker:
    """Who asks the quiet app, every so many seconds if it can, on one connection."""

    port: int
    method: str = "GET"
    every_s: float = 0.02
    asked: list[Asked] = field(default_factory=list)

    def ask_until(self, end: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        due = time.monotonic() + random.uniform(0, self.every_s)
        while not end.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            fine = False
            with suppress(OSError, http.client.HTTPException):
                connection.request(self.method, "/quiet/")
                answer = connection.getresponse()
                fine = (answer.read(), answer.status) == (b"quiet", 200)
            if not fine:
                connection.close()
            now = time.monotonic()
            self.asked.append(Asked(due, now - due, fine))
            due += self.every_s
        connection.close()


@contextmanager
def asking(here: Stack, gets: int = 4, posts: int = 0) -> Iterator[list[Asker]]:
    """Some clients of the quiet app, those that GET first; what they have is whole behind the block."""
    askers = [Asker(here.port, method) for method in ["GET"] * gets + ["POST"] * posts]
    end = threading.Event()
    threads = [threading.Thread(target=asker.ask_until, args=(end,)) for asker in askers]
    for thread in threads:
        thread.start()
    try:
        yield askers
    finally:
        end.set()
        for thread in threads:
            thread.join()


@contextmanager
def running(**settings: str) -> Iterator[Stack]:
    """One worker with both apps. What is found of the noisy one does not move it."""
    with stack(workers=1, HEDGEROW_HUB_LIMIT_S=str(HUB_LIMIT_S), HEDGEROW_GATEWAY="false", **settings) as here:
        drop(here.apps, "noisy", 'pool = "shared"\n', "app.toml")
        drop(here.apps, "noisy", APP)
        drop(here.apps, "quiet", QUIET)
        here.up()
        until(lambda: all(get(here.port, f"/{name}/")[0] == 200 for name in ("noisy", "quiet")), 40, "both are up")
        yield here


def ready(here: Stack) -> dict[int, int]:
    """The workers that are ready: process id → requests in flight."""
    told = [client.status(path) for path in (here.base / "run").glob(f"{here.first}-?.sock")]
    return {one["pid"]: one["in_flight"] for one in told if one and one["state"] == "ready"}


def p99_s(here: Stack, seconds: float) -> float:
    """Of the quiet app. Raises RuntimeError if one of its requests failed."""
    with asking(here) as askers:
        time.sleep(seconds)
    asked = [one for asker in askers for one in asker.asked]
    if not all(one.fine for one in asked):
        raise RuntimeError(f"{sum(not one.fine for one in asked)} of {len(asked)} requests of the quiet app failed")
    return statistics.quantiles([one.waited_s for one in asked], n=100)[98]


@contextmanager
def crowd(here: Stack, count: int) -> Iterator[None]:
    """So many clients of the noisy app, all inside; none is left behind the block."""
    noise = multiprocessing.get_context("fork").Process(target=_crowd, args=(here.port, count), daemon=True)
    noise.start()
    try:
        until(lambda: sum(ready(here).values()) >= count, 60, f"{count} are inside")
        yield
    finally:
        noise.kill()
        noise.join()
        until(lambda: sum(ready(here).values()) <= 1, 60, "they have gone")


def _crowd(port: int, count: int) -> None:
    with load(("127.0.0.1", port), Shape("slow", "/noisy/sleep", connections=count)) as running:
        running.run(3600)


@dataclass
class Beside:
    """p99 of the quiet app in ms, alone and beside a noise, a pair a round."""

    name: str
    alone: list[float] = field(default_factory=list)
    noisy: list[float] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        alone, noisy = statistics.median(self.alone), statistics.median(self.noisy)
        return Verdict(f"p99 in ms of a quiet app beside {self.name}", noisy, max(1.5 * alone, alone + 5))


def slow(rounds: int, seconds: float, count: int = SLOW) -> Beside:
    found = Beside(f"{count:,} slow requests")
    with running() as here:
        for _ in range(rounds):
            found.alone.append(p99_s(here, seconds) * 1000)
            with crowd(here, count):
                found.noisy.append(p99_s(here, seconds) * 1000)
    return found


def leaking(rounds: int, seconds: float) -> tuple[Beside, list[float]]:
    """And the memory in MB: the worker's before, with the leak, and that of who serves some seconds later."""
    found, memory = Beside(f"a leak of {LEAK_MB:,} MB"), []
    for _ in range(rounds):
        with running(**RECYCLING) as here:
            found.alone.append(p99_s(here, seconds) * 1000)
            memory.append([used_mb(here)])
            leak = threading.Thread(target=get, args=(here.port, "/noisy/leak", "POST", 60))
            leak.start()
            found.noisy.append(p99_s(here, seconds) * 1000)
            leak.join()
            memory[-1].append(used_mb(here))
            time.sleep(SETTLED_S)
            memory[-1].append(used_mb(here))
    return found, [statistics.median(one) for one in zip(*memory, strict=True)]


def used_mb(here: Stack) -> float:
    return sum(resident_bytes(pid) for pid in ready(here)) / 10**6


@dataclass(frozen=True)
class Stall:
    """What one request did that let nobody else run. longest_s: that a GET of the quiet app waited; quick_s: from its
    sending until no GET waits any more; gets, posts: those of the quiet app that failed; late_posts: those that were
    not inside when the noisy one ended.
    """

    longest_s: float
    quick_s: float
    gets: int
    posts: int
    late_posts: int


def stall(here: Stack, path: str) -> Stall:
    before = set(ready(here))
    with asking(here, 4, 4) as askers:
        time.sleep(1)
        began = time.monotonic()
        get(here.port, f"/noisy{path}", "POST", 60)
        ended = time.monotonic()
        time.sleep(HUB_LIMIT_S + SETTLED_S)
        until(lambda: ready(here) and not before & set(ready(here)), 30, "another worker serves")
    gets = [one for asker in askers if asker.method == "GET" for one in asker.asked]
    posts = [one for asker in askers if asker.method == "POST" for one in asker.asked if not one.fine]
    late = [one.due + one.waited_s for one in gets if one.waited_s > LATE_S and one.due + one.waited_s > began]
    return Stall(
        max(one.waited_s for one in gets),
        max(late, default=began) - began,
        sum(not one.fine for one in gets),
        len(posts),
        sum(one.due > ended for one in posts),
    )


def stalls(rounds: int) -> dict[str, list[Stall]]:
    found: dict[str, list[Stall]] = {name: [] for name in STALLS}
    with running() as here:
        for _ in range(rounds):
            for name, path in STALLS.items():
                found[name].append(stall(here, path))
    return found


def verdicts(found: dict[str, list[Stall]]) -> list[Verdict]:
    """Of the worst of all rounds."""
    every = [one for rounds in found.values() for one in rounds]
    return [
        *(
            Verdict(
                f"s until a quiet app is quick again behind {name}", max(one.quick_s for one in rounds), HUB_LIMIT_S + 2
            )
            for name, rounds in found.items()
        ),
        Verdict("GETs of the quiet app that failed meanwhile", sum(one.gets for one in every), 0),
        Verdict("POSTs that failed and were not in that worker", sum(one.late_posts for one in every), 0),
    ]
