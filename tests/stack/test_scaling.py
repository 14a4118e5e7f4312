"""One replica becomes two while the front runs on."""

from __future__ import annotations

import json
from pathlib import Path

from .engine import ROOT, Stack, family, init_pid, wait_for

APPS = [ROOT / "apps" / "whoami"]
REPLICAS = 1


def processes_of_the_front(stack: Stack) -> set[tuple[int, str]]:
    """Each process by pid and start time: neither a reload nor a restart leaves this set as it was."""
    pids = family(init_pid(stack.containers("front")[0]))
    return {(pid, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]) for pid in pids}


def test_a_second_replica_serves_without_a_reload_of_the_front(stack: Stack) -> None:
    before = processes_of_the_front(stack)
    replicas: set[str] = set()
    failed: list[int] = []

    def both() -> bool:
        answer = stack.get("/whoami/", Accept="application/json")
        if answer.status != 200:
            failed.append(answer.status)
        else:
            replicas.add(json.loads(answer.body)["replica"])
        return len(replicas) == 2

    both()
    assert len(replicas) == 1
    stack.scale(2)
    wait_for(both, "requests reach the second replica")
    assert failed == []
    assert len(before) >= 2, "a master and at least one worker"
    assert processes_of_the_front(stack) == before
