"""Two replicas that share a state: who holds the lease works, who was paused does nothing. Real ledgers, releases and
trials; the workers of a replica are played by a view that follows what is wanted at once.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from control_support import COUNTER, drop

from hedgerow.config import Settings
from hedgerow.control import candidates, deploys, entries
from hedgerow.control.deploys import Deploys
from hedgerow.control.entries import ROLLBACK, AppState
from hedgerow.control.ledger import Ledger
from hedgerow.control.orders import Orders
from hedgerow.control.rounds import NOT_READY, ReplicaView

LEASE_S = 1.0
SLOW = "import time\ntime.sleep(1)\n" + COUNTER


class Replica:
    """One deployer's part."""

    def __init__(self, base: Path, name: str, apps: str = "apps") -> None:
        run = base / name
        run.mkdir(mode=0o700, exist_ok=True)
        self.name = name
        self.told: list[str] = []
        self.deploys = Deploys(Settings(apps=base / apps, state=base / "state", run=run, replica=name), self._log)

    def _log(self, level: str, message: str, **more: object) -> None:
        self.told.append(message)

    @property
    def view(self) -> ReplicaView:
        wanted = self.deploys.wanted
        runs = NOT_READY if wanted is None else wanted.keys
        return ReplicaView(self.name, (runs,), folders=self.deploys.folders)


class Pair:
    """Both, and what they share."""

    def __init__(self, base: Path) -> None:
        (base / "apps").mkdir()
        (base / "state").mkdir()
        self.apps, self.state = base / "apps", base / "state"
        self.one, self.two = Replica(base, "one"), Replica(base, "two")

    def step(self, *replicas: Replica) -> None:
        """Each of these once; who is left out is silent."""
        for replica in replicas:
            replica.deploys.step([other.view for other in replicas])

    def until(self, what: Callable[[], object], *replicas: Replica) -> None:
        end = time.monotonic() + 20
        while not what():
            assert time.monotonic() < end, [self.one.told, self.two.told, self.ledger]
            self.step(*replicas)
            time.sleep(0.02)

    @property
    def ledger(self) -> entries.State:
        return Ledger(self.state).read()

    def app(self, name: str = "count") -> AppState:
        return self.ledger.app(name)

    def is_live(self, name: str = "count", times: int = 1) -> bool:
        lived = [one for one in self.app(name).deploys if one.outcome == "live"]
        return len(lived) == times and self.ledger.round is None


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    for module in (entries, deploys):
        monkeypatch.setattr(module, "LEASE_S", LEASE_S)
    monkeypatch.setattr(candidates, "LOOK_S", 0.1)
    monkeypatch.setattr(candidates, "MOVING_S", 0.1)
    made = Pair(tmp_path)
    try:
        yield made
    finally:
        made.one.deploys.close()
        made.two.deploys.close()


def test_two_that_start_at_once_deploy_each_app_once_and_give_the_lease_back(pair: Pair) -> None:
    for name in ("count", "late", "other"):
        drop(pair.apps, name, COUNTER % name)
    pair.until(lambda: all(pair.is_live(name) for name in ("count", "late", "other")), pair.one, pair.two)
    pair.until(lambda: pair.ledger.lease is None, pair.one, pair.two)
    assert pair.one.deploys.wanted == pair.two.deploys.wanted
    assert all(len(pair.app(name).deploys) == 1 for name in ("count", "late", "other"))
    number = pair.ledger.number
    for _ in range(10):
        pair.step(pair.one, pair.two)
    assert pair.ledger.number == number, "nothing more to do"


def test_a_holder_that_sleeps_past_its_lease_does_nothing_when_it_wakes(pair: Pair) -> None:
    drop(pair.apps, "count", SLOW % "one")
    pair.until(lambda: pair.ledger.lease is not None, pair.one)
    pair.until(pair.is_live, pair.two)  # which waits until the lease is over
    before = pair.ledger
    assert before.lease is None or before.lease.holder == "two"
    time.sleep(0.3)
    pair.step(pair.one)
    after = pair.ledger
    assert after.apps == before.apps
    assert not any("may be served" in line or "round" in line for line in pair.one.told)
    pair.until(lambda: pair.ledger.lease is None, pair.one, pair.two)
    assert len(pair.app().deploys) == 1


def test_an_order_outlives_who_accepted_it(pair: Pair) -> None:
    drop(pair.apps, "count", COUNTER % "one")
    pair.until(pair.is_live, pair.one, pair.two)
    first = pair.app().release
    drop(pair.apps, "count", COUNTER % "two")
    pair.until(lambda: pair.is_live(times=2), pair.one, pair.two)
    pair.until(lambda: pair.ledger.lease is None, pair.one, pair.two)
    given = Orders(pair.state)
    drop(pair.apps, "other", SLOW % "other")  # so that the round waits a second for it
    pair.until(lambda: pair.ledger.lease is not None and pair.ledger.lease.holder == "one", pair.one)
    order = given.give(ROLLBACK, "count")

    def accepted() -> bool:
        found = given.get(order.number)
        return found is not None and found.accepted > 0

    pair.until(accepted, pair.one)
    if pair.ledger.round is None:  # `one` is never heard of again
        pair.until(lambda: pair.app().release == first, pair.two)

    def answered() -> bool:
        found = given.get(order.number)
        return found is not None and found.done is not None

    pair.until(answered, pair.two)
    found = given.get(order.number)
    assert found is not None
    assert (found.done, found.answer) == (True, f"count: {first} is live")
    assert [one.cause for one in pair.app().deploys] == ["rollback", "folder", "folder"]


def test_what_a_rollback_left_behind_stays_refused_for_both(pair: Pair) -> None:
    drop(pair.apps, "count", COUNTER % "one")
    pair.until(pair.is_live, pair.one, pair.two)
    drop(pair.apps, "count", COUNTER % "two")
    pair.until(lambda: pair.is_live(times=2), pair.one, pair.two)
    Orders(pair.state).give(ROLLBACK, "count")
    pair.until(lambda: pair.is_live(times=3), pair.one, pair.two)
    pair.until(lambda: pair.ledger.lease is None, pair.one, pair.two)
    for _ in range(20):
        pair.step(pair.one, pair.two)
        time.sleep(0.02)
    assert len(pair.app().deploys) == 3


def test_a_new_app_does_not_take_the_mount_of_one_that_runs(pair: Pair) -> None:
    drop(pair.apps, "count", COUNTER % "one")
    pair.until(pair.is_live, pair.one, pair.two)
    drop(pair.apps, "aaa", 'mount = "/count"\n', file="app.toml")
    drop(pair.apps, "aaa", COUNTER % "other")
    pair.until(lambda: pair.app("aaa").trouble, pair.one, pair.two)
    found = pair.app("aaa").trouble
    assert found is not None
    assert (found.step, "the mount /count belongs to count" in found.reason) == ("mount", True)
    assert pair.one.deploys.wanted is not None
    assert list(pair.one.deploys.wanted.apps) == ["count"]
    drop(pair.apps, "aaa", 'mount = "/else"\n', file="app.toml")
    pair.until(lambda: pair.is_live("aaa"), pair.one, pair.two)


def test_an_emptied_folder_takes_nobody_down(pair: Pair) -> None:
    for name in ("count", "other"):
        drop(pair.apps, name, COUNTER % name)
    pair.until(lambda: pair.is_live() and pair.is_live("other"), pair.one, pair.two)
    pair.apps.rename(pair.apps.with_name("elsewhere"))
    pair.apps.mkdir()
    for _ in range(20):
        pair.step(pair.one, pair.two)
        time.sleep(0.05)
    assert sorted(pair.ledger.apps) == ["count", "other"]
    assert all(app.release for app in pair.ledger.apps.values())
    shutil.copytree(pair.apps.with_name("elsewhere") / "count", pair.apps / "count")
    pair.until(lambda: not pair.app("other").release, pair.one, pair.two)  # there is an app again, and this one is gone
    assert pair.app().release


@pytest.fixture
def elsewhere(pair: Pair) -> Path:
    """A folder of its own for `two`."""
    found = pair.apps.with_name("elsewhere")
    found.mkdir()
    pair.two.deploys.close()
    pair.two = Replica(pair.apps.parent, "two", "elsewhere")
    return found


def test_two_that_see_different_folders_do_not_deploy_in_turns(pair: Pair, elsewhere: Path) -> None:
    drop(pair.apps, "count", COUNTER % "here")
    drop(elsewhere, "count", COUNTER % "there")
    drop(elsewhere, "only", COUNTER % "there")
    pair.until(lambda: pair.is_live("count", 2) and pair.is_live("only"), pair.one, pair.two)
    pair.until(lambda: pair.ledger.lease is None, pair.one, pair.two)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        pair.step(pair.one, pair.two)
        time.sleep(0.02)
    assert (len(pair.app("count").deploys), len(pair.app("only").deploys)) == (2, 1)
    assert pair.ledger.lease is None
    drop(pair.apps, "count", COUNTER % "newer")
    pair.until(lambda: pair.is_live("count", 3), pair.one, pair.two)
    shutil.rmtree(elsewhere / "only")
    pair.until(lambda: not pair.app("only").release, pair.one, pair.two)
    assert pair.app("count").release


def test_two_that_see_different_broken_folders_do_not_try_in_turns(pair: Pair, elsewhere: Path) -> None:
    drop(pair.apps, "count", COUNTER % "one")
    pair.until(pair.is_live, pair.one, pair.two)
    for folder in (pair.apps, elsewhere):
        drop(folder, "count", f"application(  # {folder.name}\n")
    pair.until(lambda: len(pair.app().deploys) == 3 and pair.ledger.lease is None, pair.one, pair.two)
    number, end = pair.ledger.number, time.monotonic() + 2
    while time.monotonic() < end:
        pair.step(pair.one, pair.two)
        time.sleep(0.02)
    assert pair.ledger.number <= number + 2


def test_an_app_that_one_look_of_another_replica_missed_stays(pair: Pair, elsewhere: Path) -> None:
    drop(elsewhere, "count", COUNTER % "one")
    pair.until(pair.is_live, pair.one, pair.two)
    pair.until(lambda: pair.one.deploys._candidates.lacks("count") and not pair.ledger.lease, pair.one, pair.two)
    (elsewhere / "count").rename(elsewhere.with_name("aside"))
    pair.two.deploys.look_soon()
    pair.step(pair.two)  # its record tells what this look saw
    pair.step(pair.one, pair.two)
    elsewhere.with_name("aside").rename(elsewhere / "count")
    end = time.monotonic() + 1
    while time.monotonic() < end:
        pair.step(pair.one, pair.two)
        time.sleep(0.02)
    assert [one.cause for one in pair.app().deploys] == ["folder"]


def test_an_app_that_was_removed_while_the_only_replica_that_sees_it_was_silent_comes_back(
    pair: Pair, elsewhere: Path
) -> None:
    drop(elsewhere, "count", COUNTER % "one")
    pair.until(pair.is_live, pair.one, pair.two)
    pair.until(lambda: not pair.app().release and not pair.ledger.lease, pair.one)
    pair.until(lambda: pair.app().release and not pair.ledger.lease, pair.one, pair.two)
    assert [one.cause for one in pair.app().deploys] == ["folder", "removed", "folder"]
