"""Many swaps on one replica leave no trace in its processes; a folder of many files is deployed in reasonable time."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from control_support import COUNTER, Load, Stack, descendants, drop, get, stack, until

from hedgerow.control.orders import ROLLBACK, Orders

WAITS = """
import time

def application(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"] or 0))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%s"]
"""
WORKERS = 2  # what a round costs beside its swaps is shared by them
FILES = 10_000
FILE_BYTES = 2048


@dataclass(frozen=True)
class Trace:
    """What a stack takes. descriptors, memory: of each kind of process that stays, and of the first worker."""

    processes: int
    descriptors: dict[str, int]
    memory: dict[str, int]


def trace(here: Stack) -> Trace:
    kinds = {"supervisord": here.supervisord, "worker": here.worker()}
    below = descendants(here.supervisord)
    [kinds["deployer"]] = [pid for pid in below if b"hedgerow.control.deployer" in command_line(pid)]
    return Trace(
        len(below),
        {kind: len(os.listdir(f"/proc/{pid}/fd")) for kind, pid in kinds.items()},
        {kind: resident_bytes(pid) for kind, pid in kinds.items()},
    )


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) * 1024


def generations(here: Stack) -> list[int]:
    """Of each address the number of its last swap, as its plan has it."""
    plans = [json.loads(path.read_text()) for path in sorted((here.base / "run" / "plans").glob("*.json"))]
    return [max(entry["generation"] for entry in plan["slots"].values() if entry) for plan in plans]


def swap(orders: Orders, count: int) -> None:
    """So many swaps, by rollbacks one after the other: each swaps every address once and needs no trial."""
    for _ in range(count // WORKERS):
        number = orders.give(ROLLBACK, "count").number
        until(lambda n=number: (found := orders.get(n)) is not None and found.done is not None, 30, "it is answered")
        answer = orders.get(number)
        assert answer is not None
        assert answer.done, answer


FULL = pytest.param(1000, 8, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])


@pytest.mark.parametrize(("swaps", "grows_mb"), [(20, 2), FULL])
def test_swaps_leave_descriptors_processes_and_memory_flat(swaps: int, grows_mb: float) -> None:
    with stack(workers=WORKERS) as here:
        drop(here.apps, "count", COUNTER % "one")
        here.up()
        drop(here.apps, "count", COUNTER % "two")
        until(lambda: get(here.first, "/count/")[1] == b"two", 15, "a second release, to go back from")
        orders = Orders(here.state)
        swap(orders, 4)
        before, first, began = trace(here), generations(here), time.monotonic()
        swap(orders, swaps)
        took, after = time.monotonic() - began, trace(here)
        swapped = [now - then for now, then in zip(generations(here), first, strict=True)]
        assert get(here.first, "/count/")[0] == 200
    grown = {kind: (after.memory[kind] - before.memory[kind]) / 1e6 for kind in before.memory}
    told = {kind: f"{size / 1e6:.1f} MB {grown[kind]:+.2f}" for kind, size in after.memory.items()}
    print(f"{swaps} swaps, {took / swaps:.2f} s each: {after.processes} processes, {after.descriptors}, {told}")
    assert swapped == [swaps // WORKERS] * WORKERS
    assert (after.processes, after.descriptors) == (before.processes, before.descriptors)
    assert all(size < grows_mb for size in grown.values())


def test_a_worker_that_is_killed_while_it_drains_holds_up_no_further_swap() -> None:
    """supervisord starts it again; an end in its first second would be a crash to it."""
    with stack(workers=1) as here:
        drop(here.apps, "waits", WAITS % "one")
        here.up()
        old = here.worker()
        request = threading.Thread(target=get, args=(here.port, "/waits/?30", "POST", 30))
        request.start()  # keeps it draining; the kill ends it
        drop(here.apps, "waits", WAITS % "two")
        until(lambda: get(here.port, "/waits/")[1] == b"two", 15, "another worker has taken over")
        os.kill(old, signal.SIGKILL)
        request.join()
        end = time.monotonic() + 2
        while time.monotonic() < end:
            found = get(here.first, "/waits/")  # each on a new connection, which either worker may accept
            assert found == (200, b"two"), "it does not serve again when it is started again"
        drop(here.apps, "waits", WAITS % "three")
        took = until(lambda: get(here.port, "/waits/")[1] == b"three", 15, "a further swap")
    print(f"the next swap took {took:.1f} s")


@pytest.mark.slow
def test_a_folder_of_10_000_files_deploys() -> None:
    with stack(workers=2) as here:
        drop(here.apps, "count", COUNTER % "one")
        here.up()
        big = here.base / "big"
        for number in range(FILES):
            file = big / f"part{number % 100}" / f"{number}.{'py' if number % 5 == 0 else 'txt'}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"A = {number}\n" + "#" * FILE_BYTES)
        (big / "app.py").write_text(COUNTER % "big")
        load = Load(here.port, "/count/")
        with load.running(2):
            big.rename(here.apps / "big")
            took = until(lambda: get(here.port, "/big/") == (200, b"big"), 60, "it answers")
            (here.apps / "big" / "app.py").write_text(COUNTER % "changed")
            changed = until(lambda: get(here.port, "/big/") == (200, b"changed"), 60, "it answers anew")
        newest = max((here.state / "ledger").glob("*.json"))
        steps = json.loads(newest.read_text())["apps"]["big"]["deploys"][0]["steps"]
    print(f"{FILES} files: {took:.1f} s to the first answer, {changed:.1f} s after a change ({steps})")
    assert load.failed == []
    assert load.answers == {b"one"}
