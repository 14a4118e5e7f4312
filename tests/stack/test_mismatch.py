"""Front and replica disagree about HEDGEROW_WORKERS."""

from __future__ import annotations

from .engine import ROOT, Stack, inspect, wait_for

APPS = [ROOT / "apps" / "function"]


def test_a_replica_that_disagrees_with_the_front_says_so_and_ends(idle_stack: Stack) -> None:
    idle_stack.up(1, wait=False)
    container = idle_stack.containers("appserver")[0]

    def state() -> dict[str, object]:
        found = inspect(container)["State"]
        assert isinstance(found, dict)
        return found

    wait_for(lambda: state()["Status"] == "exited", "the replica ends", within_s=40)
    assert state()["ExitCode"] == 2
    log = idle_stack.logs("appserver").strip()
    assert "\n" not in log, "one sentence, no traceback"
    assert "HEDGEROW_WORKERS" in log
    assert "3" in log
    assert "2" in log
