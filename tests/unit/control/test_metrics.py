"""Sums that outlive workers: whatever becomes of these, nothing is counted twice, and nothing goes back."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from hedgerow.control import metrics
from hedgerow.control.metrics import Metrics, add
from hedgerow.control.plan import final_counts, write_json
from hedgerow.hosting.counts import BOUNDS_S, Counts


class Worker:
    """One as it counts and tells."""

    def __init__(self, pid: int, name: str = "", behind: bool = False) -> None:
        self.pid = pid
        self.name = name or f"{pid}-1"
        self.behind = behind
        self.apps: dict[str, Counts] = {}
        self.rejections = 0

    def serve(self, app: str = "shop", times: int = 1) -> None:
        for _ in range(times):
            self.apps.setdefault(app, Counts()).served("200 OK", True, 0.01, 2, 3)

    def counted(self) -> dict[str, Any]:
        counts = {app: one.told() for app, one in self.apps.items()}
        told = {"id": self.name, "behind": self.behind, "rejections": self.rejections}
        told |= {"bounds": BOUNDS_S, "counts": counts}
        copy: dict[str, Any] = json.loads(json.dumps(told))
        return copy

    def told(self) -> dict[str, Any]:
        return self.counted() | {"pid": self.pid, "address": "8001", "slot": "a", "memory_bytes": 1}

    def leave(self, run: Path) -> None:
        write_json(final_counts(run, self.name), self.counted())


class Replica:
    """A deployer's part, on a run folder and a state. The log must stay empty."""

    def __init__(self, base: Path, name: str = "here") -> None:
        self.state, self.run, self.name = base / "state", base / "run", name
        self.state.mkdir(exist_ok=True)
        self.start()

    def start(self) -> None:
        self.metrics = Metrics(self.state, self.run, self.name)

    def look(self, *told: Worker, alive: tuple[Worker, ...] = ()) -> None:
        self.metrics.look([worker.told() for worker in told], {worker.pid for worker in (*told, *alive)})

    def write(self) -> None:
        self.metrics.write(lambda level, told: pytest.fail(told))

    def sums(self) -> dict[str, Any]:
        self.write()
        [told] = [one for one in metrics.read_all(self.state, time.time()) if one["replica"] == self.name]
        sums: dict[str, Any] = {}
        add(sums, told["ended"])
        for worker in told["workers"].values():
            add(sums, worker["counts"])
        return sums

    def served(self, app: str = "shop") -> int:
        return int(sum(self.sums().get(app, {}).get("requests", [0])))


def test_sums_add_numbers_lists_and_dictionaries() -> None:
    sums: dict[str, Any] = {}
    add(sums, {"a": 1, "b": [1, 2], "c": {"x": 1}})
    add(sums, {"a": 2, "b": [3, 4], "c": {"y": 5}, "d": 1})
    assert sums == {"a": 3, "b": [4, 6], "c": {"x": 1, "y": 5}, "d": 1}


def test_a_swap_loses_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    here, old, new = Replica(tmp_path), Worker(1), Worker(2)
    old.serve(times=5)
    here.look(old)
    new.serve(times=2)
    here.look(old, new)
    assert here.served() == 7
    old.serve(times=3)  # since the last look
    old.leave(here.run)
    for _ in range(3):
        here.look(new)
        assert here.served() == 10
    assert list((here.run / "ended").iterdir()) == []


def test_one_that_is_killed_keeps_what_was_seen_of_it(tmp_path: Path) -> None:
    here, worker = Replica(tmp_path), Worker(1)
    worker.serve(times=5)
    here.look(worker)
    worker.serve(times=100)
    here.look(alive=(worker,))  # it is busy, and silent
    assert here.served() == 5
    here.look()
    assert here.served() == 5
    again = Worker(1, "1-2")  # the same number, another process
    again.serve(times=2)
    here.look(again)
    assert here.served() == 7


def test_a_number_that_is_given_again_between_two_looks_is_another_worker(tmp_path: Path) -> None:
    here, worker, again = Replica(tmp_path), Worker(1), Worker(1, "1-2")
    worker.serve(times=5)
    here.look(worker)
    again.serve(times=2)
    for _ in range(2):
        here.look(again)
        assert here.served() == 7
    [told] = metrics.read_all(here.state, time.time())
    assert list(told["workers"]) == ["1-2"], "what the other was is no news any more"


def test_a_deployer_that_starts_again_goes_on(tmp_path: Path) -> None:
    here, ended, stays, leaves = Replica(tmp_path), Worker(1), Worker(2), Worker(3)
    for worker in (ended, stays, leaves):
        worker.serve(times=10)
    here.look(ended, stays, leaves)
    here.look(stays, leaves)
    here.write()
    stays.serve(times=5)
    leaves.serve(times=5)
    leaves.leave(here.run)  # while there is no deployer
    here.start()
    here.look(alive=(stays,))
    assert here.served() == 35
    here.look(stays)
    assert here.served() == 40


def test_a_replica_that_starts_again_tells_of_no_worker_that_it_had_though_its_number_is_anothers(
    tmp_path: Path,
) -> None:
    here, before, keeper, worker = Replica(tmp_path), Worker(15), Worker(15), Worker(16, "16-2")
    before.serve(times=3)
    here.look(before)
    here.write()
    here.start()  # in a new container, where numbers begin anew
    worker.serve()
    here.look(worker, alive=(keeper,))
    assert here.served() == 4
    [told] = metrics.read_all(here.state, time.time())
    assert [name for name, worker in told["workers"].items() if worker["now"] is not None] == ["16-2"]


def test_a_deployer_that_ends_leaves_those_that_live_on_as_they_are(tmp_path: Path) -> None:
    here, lives, leaves = Replica(tmp_path), Worker(1), Worker(2)
    for worker in (lives, leaves):
        worker.serve(times=10)
    here.look(lives, leaves)
    leaves.serve()
    leaves.leave(here.run)
    here.metrics.close(lambda level, told: pytest.fail(told))
    here.start()
    here.look(lives)
    assert here.served() == 21


def test_what_a_worker_has_left_counts_once_though_the_deployer_ends_before_it_takes_it_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, worker = Replica(tmp_path), Worker(1)
    worker.serve(times=3)
    here.look(worker)
    worker.serve()
    worker.leave(here.run)
    here.look()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda path, missing_ok=False: os.stat("/nothing"))  # it ends here
        told: list[str] = []
        here.metrics.write(lambda level, text: told.append(text))
        assert len(told) == 1
    here.start()
    for _ in range(2):
        here.look()
        assert here.served() == 4


def test_of_a_pool_is_counted_what_its_addresses_do_not_see(tmp_path: Path) -> None:
    here, door, pool = Replica(tmp_path), Worker(1), Worker(2, behind=True)
    for worker in (door, pool):
        worker.serve(times=3)
        worker.rejections = 2
    pool.apps["shop"].deadlines = 2
    pool.apps["shop"].turned_away("full", True)
    here.look(door, pool)
    sums = here.sums()
    assert (sum(sums["shop"]["requests"]), sums["shop"]["deadlines"], sums["shop"]["moved"]) == (3, 2, {})
    assert sums[""]["rejections"] == 2


def test_a_server_that_an_app_brings_counts_nothing_and_has_memory(tmp_path: Path) -> None:
    here = Replica(tmp_path)
    here.metrics.look([{"pid": os.getpid(), "address": "p", "slot": "a", "memory_bytes": 7}], {os.getpid()})
    assert here.sums() == {}
    [told] = metrics.read_all(here.state, time.time())
    [worker] = told["workers"].values()
    assert worker["now"]["memory_bytes"] == 7
    assert worker["now"]["descriptors"] >= 3


def test_files_of_others_and_broken_ones_are_passed_over(tmp_path: Path) -> None:
    here = Replica(tmp_path)
    here.write()
    (here.state / "metrics" / "half.json").write_text('{"time"')
    (here.state / "metrics" / "older.json").write_text('{"time": 1, "bounds": [1]}')
    (here.state / "metrics" / ".here.json.77").write_text("{}")
    other = Replica(tmp_path, "there")
    other.write()
    now = time.time()
    assert [one["replica"] for one in metrics.read_all(here.state, now)] == ["here", "there"]
    assert metrics.read_all(here.state, now + metrics.FORGOTTEN_S + 1) == []
    metrics.tidy(here.state, now + metrics.KEPT_S - 100)
    assert len(list((here.state / "metrics").iterdir())) == 5
    metrics.tidy(here.state, now + metrics.KEPT_S + 100)
    assert list((here.state / "metrics").iterdir()) == []
    (here.run / "ended").mkdir(parents=True)
    (here.run / "ended" / "5-5.json").write_text("{")
    here.look()


def test_what_a_worker_of_another_version_counts_is_passed_over_and_its_figures_are_told(tmp_path: Path) -> None:
    here, worker = Replica(tmp_path), Worker(1)
    worker.serve(times=3)
    other = Worker(2).told() | {"bounds": [1.0], "counts": {"shop": {"requests": [5] * 9, "durations": [5, 5]}}}
    older = {"pid": 3, "address": "8002", "slot": "a", "memory_bytes": 1}
    for _ in range(2):
        here.metrics.look([worker.told(), other, older], {1, 2, 3})
        assert here.served() == 3
    write_json(final_counts(here.run, "2-1"), other)
    for _ in range(3):
        here.look(worker)
        assert here.served() == 3


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_sums_never_go_back_and_are_right_in_the_end(tmp_path: Path, seed: int) -> None:
    """Workers that serve, leave, are killed or silent, and a deployer that starts again, in any order."""
    chance = random.Random(seed)
    here = Replica(tmp_path)
    living: list[Worker] = []
    seen: dict[str, int] = {}  # by worker, of one that was killed what was last told
    served: dict[str, int] = {}
    shown = 0
    for step in range(120):
        what = chance.choice(("start", "serve", "serve", "serve", "leave", "kill", "again", "look", "look"))
        one = chance.choice(living) if living else None
        if what == "start" and len(living) < 4:
            pid = chance.choice([number for number in range(1, 7) if number not in {each.pid for each in living}])
            living.append(Worker(pid, f"w{step}"))
            served[living[-1].name] = 0
        elif one is None or what == "start":
            continue
        elif what == "serve":
            one.serve()
            served[one.name] += 1
        elif what == "leave":
            one.leave(here.run)
            living.remove(one)
        elif what == "kill":
            living.remove(one)
            served[one.name] = seen.get(one.name, 0)
        elif what == "again":
            here.write()
            here.start()
        elif what == "look":
            told = [each for each in living if chance.random() < 0.8]
            here.look(*told, alive=tuple(living))
            seen |= {each.name: served[each.name] for each in told}
            assert here.served() >= shown
            shown = here.served()
    here.look(*living)
    assert here.served() == sum(served.values())
