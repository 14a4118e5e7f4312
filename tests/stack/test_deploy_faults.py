"""Deploys while processes of one of two replicas are killed or paused: the stack comes back by itself to a named state,
and nobody who asks through the other replica notices.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from .deploy_client import clients, told
from .deploys import SAMPLE, Deploys, change, sample
from .engine import Stack, family, init_pid, inspect, wait_for
from .footprint import command_line

APPS = [SAMPLE]
NAME = SAMPLE.name
PATH = f"/{NAME}/"
LEASE_S = 10.0
SEED = 20261123
SWAP_S = 2.0  # from a deploy's begin to the end of its round
NOTICED_S = 0.5  # a record that is older may not tell of a kill
VICTIMS = ("deployer", "worker", "init")  # a replica's init is its supervisord
HOOK = "[deploy]\nbefore = \"sh -c 'echo run >> data/hooks'\"\n"


def replica_of(container: str) -> str:
    """The name that a replica gives itself."""
    return container[:12]


def processes(container: str, part: str) -> list[int]:
    """The processes of a container whose command line has this part, as pids of this machine."""
    return [pid for pid in family(init_pid(container)) if part in command_line(pid)]


def deployer(container: str) -> int:
    [pid] = processes(container, "hedgerow.control.deployer")
    return pid


@contextmanager
def paused(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def holder(deploys: Deploys) -> str:
    lease = deploys.now()["lease"]
    return str(lease["holder"]) if lease and lease["until"] > time.time() else ""


def stale_steps(entries: list[dict[str, Any]]) -> list[str]:
    """Entries of the ledger that were written under a lease which another one had replaced."""
    newest, found = 0, []
    for entry in entries:
        number = entry["lease"]["number"] if entry["lease"] else newest
        if number < newest:
            found.append(f"{entry['number']}: {entry['lease']}")
        newest = max(newest, number)
    return found


def round_begun(deploys: Deploys, app: str) -> bool:
    told_round = deploys.now()["round"]
    return bool(told_round) and app in told_round["changes"]


IN_A_ROUND = pytest.param("its round is under way", marks=pytest.mark.slow)


@pytest.mark.parametrize("moment", ["it tries a release", IN_A_ROUND])
def test_a_holder_that_is_paused_past_its_lease_does_nothing_more(stack: Stack, deploys: Deploys, moment: str) -> None:
    name = "tried" if moment == "it tries a release" else "rolled"
    folder = sample(stack.apps / name, "old", import_s=2.0, more=HOOK)
    deploys.wait_live(name, 0)
    deploys.wait_named_state()
    hooks = deploys.state / "data" / name / "data" / "hooks"
    assert hooks.read_text() == "run\n"
    before, number = deploys.number(name), deploys.now()["number"]
    with clients(stack.port, f"/{name}/", get=3, small=3) as crowd:
        change(folder, "new")
        wait_for(lambda: holder(deploys), "somebody has the lease", within_s=15)
        if moment == "its round is under way":
            wait_for(lambda: round_begun(deploys, name), "the round begins", within_s=15)
        else:
            time.sleep(1)
        first = holder(deploys)
        [container] = [one for one in stack.containers("appserver") if replica_of(one) == first]
        with paused(deployer(container)):
            began = time.monotonic()
            live = deploys.wait_live(name, before) - began
            second = [entry["lease"]["holder"] for entry in deploys.entries() if entry["lease"]][-1]
        deploys.wait_named_state()
        time.sleep(1)
        outcome = crowd.stop()
    entries = [entry for entry in deploys.entries() if entry["number"] > number]
    print(f"{moment}: live {live:.1f} s after the holder was paused; {told(outcome)}; {len(entries)} steps")
    assert second != first
    assert live > LEASE_S / 2
    assert stale_steps(entries) == []
    assert hooks.read_text() == "run\n" * 2
    rounds = {entry["round"]["number"] for entry in entries if entry["round"]}
    assert len(rounds) == 1
    assert len(deploys.now()["apps"][name]["deploys"]) == 2
    assert outcome.failures == []
    assert set(outcome.seen) == {"old", "new"}


@pytest.mark.parametrize("rounds", [5, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(2400)])])
def test_after_kill_9_at_any_moment_of_a_swap_all_comes_back_by_itself(
    stack: Stack, deploys: Deploys, rounds: int
) -> None:
    chance = random.Random(SEED + rounds)
    container = stack.containers("appserver")[0]
    back: list[float] = []
    with clients(stack.port, PATH, get=4) as crowd:
        for number in range(rounds):
            victim, delay_s = VICTIMS[number % len(VICTIMS)], chance.uniform(0, SWAP_S)
            before = deploys.number(NAME)
            change(stack.apps / NAME, f"kill{rounds}-{number}")
            wait_for(lambda: holder(deploys), "the deploy begins", within_s=15)
            time.sleep(delay_s)
            had = "the lease" if holder(deploys) == replica_of(container) else "no lease"
            killed, since = time.monotonic(), time.time()
            kill(container, victim)
            wait_for(lambda b=before: deploys.number(NAME) > b, f"a deploy after {victim} was killed")
            deploys.wait_named_state(since=since + NOTICED_S)
            back.append(time.monotonic() - killed)
            last = deploys.last(NAME)
            what = f"{victim} with {had} at {delay_s:.1f} s: {last['outcome']} after {back[-1]:.1f} s"
            print(f"{what} {last['reason']}", flush=True)
            assert last["outcome"] in ("live", "reverted", "failed")
        outcome = crowd.stop()
    print(f"{rounds} kills: back after {max(back):.1f} s at most; {told(outcome)}")
    assert stale_steps(deploys.entries()) == []
    assert outcome.failures == []
    assert outcome.requests > 500 * rounds


def kill(container: str, victim: str) -> None:
    """Ends one process as a crash would; of several workers that are there just now, any."""
    if victim == "init":
        pid, restarts = init_pid(container), inspect(container)["RestartCount"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: inspect(container)["RestartCount"] != restarts, "the engine restarts the container")
    else:
        part = {"deployer": "hedgerow.control.deployer", "worker": "hedgerow.worker"}[victim]
        os.kill(processes(container, part)[-1], signal.SIGKILL)
