"""Replicas come, go and are killed under load; the app counts what runs, the clients count what was answered."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from .engine import HERE, Stack, inspect, kill_init, wait_for
from .load_client import Outcome, load

APPS = [HERE / "apps" / "counting"]
PATH = "/counting/"

# About 1,500 requests a second leave a machine of two cores time for what is to happen under them.
GENTLE = {"clients": 16, "pause_s": 0.008, "requests": 300_000, "seconds": 200}
FULL = {"clients": 16, "requests": 4_000_000, "seconds": 900}


def executed(stack: Stack) -> Counter[str]:
    """How often each id ran, as the app tells."""
    return Counter(stack.get("/counting/ids").text.split())


def assert_nothing_lost_nothing_twice(stack: Stack, outcome: Outcome, at_least: int) -> None:
    ran = executed(stack)
    assert outcome.failures == []
    assert outcome.requests >= at_least
    assert [identity for identity in outcome.answered if identity not in ran] == []
    assert {identity: times for identity, times in ran.items() if times > 1} == {}


def scaled_up_and_down(stack: Stack, cycles: int) -> Callable[[], None]:
    def steps() -> None:
        for _ in range(cycles):
            for replicas in (4, 1, 2):
                stack.scale(replicas)
                time.sleep(1)  # load on what is there now, before the next change

    return steps


def under_load(stack: Stack, steps: Callable[[], None], **options: object) -> Outcome:
    with load(stack.port, PATH, **options) as running:
        time.sleep(1)
        steps()
        outcome = running.stop()
    print(f"{outcome.requests} requests, {outcome.failed} failed, the longest took {outcome.longest_s:.3f} s")
    return outcome


def test_state_survives_the_stack(stack: Stack) -> None:
    assert stack.request("POST", PATH, b"kept").status == 200
    stack.down(volumes=False)
    stack.up(2)
    assert executed(stack)["kept"] == 1


def test_replicas_that_come_and_go_lose_nothing_and_run_nothing_twice(stack: Stack) -> None:
    outcome = under_load(stack, scaled_up_and_down(stack, 1), prefix="scale", **GENTLE)
    assert_nothing_lost_nothing_twice(stack, outcome, at_least=20_000)


def test_a_killed_replica_fails_no_get_and_comes_back(stack: Stack) -> None:
    stack.scale(2)
    victim = stack.containers("appserver")[0]

    def kill_and_wait() -> None:
        before = inspect(victim)["RestartCount"]
        kill_init(victim)
        wait_for(lambda: inspect(victim)["RestartCount"] != before, "the engine restarts the container")
        stack.scale(2)  # returns when both are healthy
        time.sleep(1)

    outcome = under_load(stack, kill_and_wait, prefix="kill", methods="GET", **GENTLE)
    assert outcome.failures == []
    assert outcome.requests >= 2_000


def test_an_app_that_moves_between_pools_loses_nothing_and_runs_nothing_twice(stack: Stack) -> None:
    """Replicas come and go while it has a pool of its own: what an address has begun to send on is answered."""
    stack.scale(2)

    def move() -> None:
        stack.exec("appserver", "hedgerow", "pool", "counting", "own", "--wait")
        for replicas in (1, 2):
            stack.scale(replicas)
            time.sleep(1)
        stack.exec("appserver", "hedgerow", "pool", "counting", "shared", "--wait")

    outcome = under_load(stack, move, prefix="move", **GENTLE)
    assert_nothing_lost_nothing_twice(stack, outcome, at_least=5_000)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_three_rounds_of_scaling_under_200_000_requests(stack: Stack) -> None:
    stack.scale(2)
    outcome = under_load(stack, scaled_up_and_down(stack, 3), prefix="full", **FULL)
    assert_nothing_lost_nothing_twice(stack, outcome, at_least=200_000)
