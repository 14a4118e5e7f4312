"""Front and replica disagree about HEDGEROW_WORKERS."""

from __future__ import annotations

from .engine import ROOT, Stack, inspect, wait_for

APPS = [ROOT / "apps" / "function"]
SENTENCE = "HEDGEROW_WORKERS=3 here, but the front balances over 2 addresses a replica"


def test_a_replica_that_disagrees_with_the_front_says_so_and_ends(idle_stack: Stack) -> None:
    """In a stack that starts the front comes last: the replica ends when it has asked it, and again before a start."""
    idle_stack.up(1, wait=False)
    container = idle_stack.containers("appserver")[0]

    def state() -> dict[str, object]:
        found = inspect(container)["State"]
        assert isinstance(found, dict)
        return found

    def refused() -> bool:
        log = idle_stack.logs("appserver")
        return log.count(SENTENCE) >= 2 and state()["Status"] in ("exited", "restarting") and state()["ExitCode"] == 2

    wait_for(refused, "the replica refuses to start", within_s=60)
    assert "Traceback" not in idle_stack.logs("appserver")
