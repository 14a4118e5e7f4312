"""Replicas that die, leave, hang or crawl under load, and a request that ends whichever worker takes it.

What happened is read in the front's log: each line has the addresses that were tried, in their order.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from .engine import HERE, Stack, family, init_pid, inspect, kill_init, run, wait_for
from .load_client import Outcome, load

APPS = [HERE / "apps" / name for name in ("counting", "ends_its_worker")]
PATH = "/counting/"
CLIENTS = 12
ADDRESSES = 2  # of a replica
READ_TIMEOUT_S, FAIL_TIMEOUT_S = 3, 10
SENT_MOST = 3


@dataclass(frozen=True)
class Line:
    """One line of the front's log. tries: address without port, status, whether anything was handed over."""

    method: str
    status: int
    tries: tuple[tuple[str, str, bool], ...]

    def sent_to(self, host: str) -> bool:
        return any(address == host and sent for address, _, sent in self.tries)

    def held_by(self, host: str) -> bool:
        return any((address, status, sent) == (host, "504", True) for address, status, sent in self.tries)


def parsed(text: str) -> Line:
    line = json.loads(text)
    columns = [re.split(" ?[,:] ", line[f"upstream_{name}"]) for name in ("addr", "status", "bytes_sent")]
    tries = ((addr.partition(":")[0], status, sent not in "-0") for addr, status, sent in zip(*columns, strict=False))
    return Line(line["request"].partition(" ")[0], line["status"], tuple(tries))


def lines_of(stack: Stack, mark: str, number: int) -> list[Line]:
    """So many lines of requests with this query; nginx writes one after the client has its answer."""
    found: list[str] = []

    def all_are_there() -> bool:
        found[:] = [
            line for line in stack.logs("front").splitlines() if line.startswith("{") and f" {PATH}?{mark} " in line
        ]
        return len(found) >= number

    wait_for(all_are_there, f"{number} lines of {mark}")
    return [parsed(line) for line in found]


def host_of(container: str) -> str:
    (network,) = inspect(container)["NetworkSettings"]["Networks"].values()  # type: ignore[index]
    return str(network["IPAddress"])


def under_load(stack: Stack, mark: str, steps: Callable[[], None]) -> tuple[Outcome, list[Line]]:
    """What clients and front saw of GETs and POSTs in turns, and that no POST ran twice or was answered and did not."""
    options = {"clients": CLIENTS, "pause_s": 0.02, "requests": 300_000, "seconds": 200}
    with load(stack.port, f"{PATH}?{mark}", prefix=mark, **options) as running:
        time.sleep(1)  # every client has been answered
        steps()
        outcome = running.stop()
    ran = Counter(line for line in stack.get(f"{PATH}ids").text.split() if line.startswith(f"{mark}-"))
    assert {identity: times for identity, times in ran.items() if times > 1} == {}
    assert [identity for identity in outcome.answered if identity not in ran] == []
    lines = lines_of(stack, mark, outcome.requests)
    print(f"{mark}: {outcome.requests} requests, {Counter((line.method, line.status) for line in lines)}")
    return outcome, lines


def assert_only_posts_inside_failed(outcome: Outcome, lines: list[Line], host: str) -> None:
    """Each failed request is a POST that was handed over once, to this replica."""
    failed = [line for line in lines if line.status != 200]
    assert outcome.failed == len(failed) <= CLIENTS, outcome.failures
    for line in failed:
        assert line.method == "POST", outcome.failures
        assert [address for address, _, sent in line.tries if sent] == [host]


def test_a_crawling_replica_fails_nothing_and_gets_less(stack: Stack) -> None:
    slow, quick = stack.containers("appserver")
    run(["docker", "update", "--cpus", "0.05", slow])
    try:
        outcome, lines = under_load(stack, "crawling", lambda: time.sleep(3))
    finally:
        run(["docker", "update", "--cpus", "2", slow])
    answered = Counter(line.tries[-1][0] for line in lines)
    print(f"slow {answered[host_of(slow)]}, quick {answered[host_of(quick)]}, the longest {outcome.longest_s:.2f} s")
    assert outcome.failures == []
    assert answered[host_of(slow)] < answered[host_of(quick)] / 2


def test_a_killed_and_a_leaving_replica_cost_no_get_and_only_posts_inside(stack: Stack) -> None:
    killed, leaving = stack.containers("appserver")
    host = host_of(killed)

    def steps() -> None:
        before = inspect(killed)["RestartCount"]
        kill_init(killed)
        wait_for(lambda: inspect(killed)["RestartCount"] != before, "the engine restarts the container")
        stack.scale(2)  # returns when both are healthy
        run(["docker", "stop", leaving])

    outcome, lines = under_load(stack, "killed", steps)
    assert_only_posts_inside_failed(outcome, lines, host)
    stack.scale(2)


@pytest.mark.parametrize("pause_s", [READ_TIMEOUT_S + 3, pytest.param(45, marks=pytest.mark.slow)])
def test_a_paused_replica_holds_one_request_of_each_client_and_the_other_answers(stack: Stack, pause_s: int) -> None:
    paused = stack.containers("appserver")[0]
    host = host_of(paused)
    mark = f"paused{pause_s}"

    took = []

    def steps() -> None:
        began = time.monotonic()
        run(["docker", "pause", paused])
        time.sleep(pause_s)
        run(["docker", "unpause", paused])
        took.append(time.monotonic() - began)  # the engine may need seconds for each
        time.sleep(1)  # it is asked again, or left alone

    outcome, lines = under_load(stack, mark, steps)
    held = [line for line in lines if line.held_by(host)]
    print(f"held: {Counter((line.method, line.status, len(line.tries)) for line in held)}")
    workers = len(family(init_pid(stack.containers("front")[0]))) - 1
    later = workers * ADDRESSES * math.ceil(took[0] / FAIL_TIMEOUT_S)
    assert len(held) <= CLIENTS + later
    assert held, "some were inside"
    gets = [line for line in held if line.method == "GET"]
    assert {line.status for line in gets} == {200}
    assert [line for line in gets if line.tries[-1][0] == host] == [], "another replica answered"
    failed = [line for line in lines if line.status != 200]
    assert outcome.failed == len(failed)
    assert [line for line in failed if not (line.method == "POST" and line.sent_to(host))] == []
    assert [line for line in failed if sum(sent for _, _, sent in line.tries) != 1] == []


def test_a_poisonous_request_ends_few_workers(stack: Stack) -> None:
    for number in range(4):
        for method, most in (("GET", SENT_MOST), ("POST", 1)):
            query = f"{method}{number}"
            answer = stack.request(method, f"/ends_its_worker/?{query}", b"x" if method == "POST" else None)
            assert answer.status in (502, 503, 504)  # 504: the third one was still starting
            taken = [line for line in stack.get("/ends_its_worker/").text.split() if f":{query}:" in line]
            print(f"{query}: {answer.status}, {len(taken)} workers")
            assert len(taken) <= most
            assert taken or number, "the first ones reach a worker"
