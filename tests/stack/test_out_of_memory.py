"""An app takes all the memory of its container: the kernel ends that app's process, though others are larger."""

from __future__ import annotations

import pytest

from .engine import HERE, Stack, family, init_pid, inspect, wait_for
from .footprint import command_line
from .load_client import load

APPS = [HERE / "apps" / name for name in ("greedy", "large", "counting")]
REPLICAS = 1
TIMES = 3


def processes(container: str) -> dict[int, str]:
    """All but those of the app's own pool."""
    found = {pid: command_line(pid) for pid in family(init_pid(container))}
    return {pid: line for pid, line in found.items() if "/plans/p" not in line}


@pytest.mark.slow
def test_who_takes_all_memory_is_ended_and_nobody_else_is(stack: Stack) -> None:
    wait_for(lambda: [stack.get(f"/{name}/").status for name in ("greedy", "large")] == [200, 200], "both are up")
    [container] = stack.containers("appserver")
    before = processes(container)
    assert len([line for line in before.values() if "hedgerow.worker" in line]) == 2
    with load(stack.port, "/counting/", prefix="memory", clients=4, pause_s=0.01, seconds=60) as running:
        for _ in range(TIMES):
            taker = stack.get("/greedy/").text
            assert stack.request("POST", "/greedy/all").status == 502, "its process was ended"
            wait_for(lambda: stack.get("/greedy/").status == 200, "it is there again")
            assert stack.get("/greedy/").text != taker
        outcome = running.stop()
    print(f"{TIMES} times out of memory: {outcome.requests} requests of a neighbour, lost: {outcome.failures}")
    assert outcome.failures == []
    assert processes(container) == before
    assert inspect(container)["RestartCount"] == 0
