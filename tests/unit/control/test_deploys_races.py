"""What happens to deploys when folders, orders, rounds and restarts cross each other. Trials are real; a replica's
workers are told by the test.
"""

from __future__ import annotations

import dataclasses
import resource
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from hedgerow.config import Settings
from hedgerow.control import attempts, candidates, deploys, desk, layout, rounds
from hedgerow.control.canary import Side, Sides
from hedgerow.control.deploys import Deploys
from hedgerow.control.entries import AppState, State
from hedgerow.control.ledger import Ledger, LedgerError
from hedgerow.control.orders import Order, Orders
from hedgerow.control.rounds import ReplicaView
from hedgerow.errors import HedgerowError
from hedgerow.hosting.claims import claim
from hedgerow.hosting.times import step_of
from hedgerow.worker.absent import AbsentApps

APP = 'application = lambda e, s: (s("200 OK", []), [b"%s"])[1]\n'
BROKEN = "application(\n"


class Replica:
    """One, whose workers run what is wanted, or what they are held at."""

    def __init__(self, base: Path) -> None:
        for name in ("apps", "state", "run"):
            (base / name).mkdir(exist_ok=True)
        self.apps = base / "apps"
        self.settings = Settings.from_env({}, apps=self.apps, state=base / "state", run=base / "run", replica="r1")
        self.orders = Orders(self.settings.state)
        self.held: dict[str, str] | None = None
        self.deploys = Deploys(self.settings, lambda *told, **more: None)

    def drop(self, app: str, text: str, file: str = "app.py") -> None:
        (self.apps / app).mkdir(exist_ok=True)
        beside = self.apps / app / f".{file}~"
        beside.write_text(text)
        beside.replace(self.apps / app / file)
        self.deploys.look_soon()

    def remove(self, app: str) -> None:
        shutil.rmtree(self.apps / app)
        self.deploys.look_soon()

    def hold(self) -> None:
        """The workers stay as they are: a round does not end."""
        self.held = rounds.goal(self.deploys.state)

    def occupy(self) -> None:
        """Begin a round, of another app, that does not end."""
        self.hold()
        self.drop("other", APP % "1")
        self.until(lambda: self.deploys.state.round, "another app is rolled out")

    def step(self, others: Collection[str] = (), **more: Any) -> None:
        """others: the apps whose folders another replica sees."""
        runs = rounds.goal(self.deploys.state) if self.held is None else self.held
        self.deploys.step([ReplicaView("r1", (runs,), **more), ReplicaView("r2", (runs,), folders=others)])

    def go_on(self, seconds: float, **more: Any) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step(**more)
            time.sleep(0.03)

    def restart(self) -> None:
        """The deployer."""
        self.deploys.close()
        self.deploys = Deploys(self.settings, lambda *told, **more: None)

    def move(self, app: str, aside: str) -> None:
        (self.apps / app).rename(self.apps.parent / aside)
        self.deploys.look_soon()

    def move_back(self, aside: str, app: str) -> None:
        (self.apps.parent / aside).rename(self.apps / app)
        self.deploys.look_soon()

    def mount(self, app: str, path: str) -> None:
        self.drop(app, f'mount = "{path}"\n', file="app.toml")

    @property
    def mounts(self) -> dict[str, str]:
        found = rounds.goal(self.deploys.state)
        claims = [claim(app, layout.code(self.settings.state, app, release)) for app, release in found.items()]
        return {one.name: one.mount.path for one in claims if one}

    def is_tried(self, app: str) -> bool:
        return self.deploys._candidates.is_tried(app)

    def until(self, what: Callable[[], object], why: str, limit_s: float = 20.0, **more: Any) -> None:
        end = time.monotonic() + limit_s
        while not what():
            assert time.monotonic() < end, f"not within {limit_s} s: {why}; {self.deploys.state}"
            self.step(**more)
            time.sleep(0.03)

    def serve(self, app: str, text: str) -> str:
        """The release that this makes, when it is live."""
        before = self.app(app).release
        self.drop(app, text)
        self.until(lambda: self.app(app).release != before and not self.deploys.state.round, f"{app} is live")
        return self.app(app).release

    def app(self, name: str) -> AppState:
        return self.deploys.state.apps.get(name, AppState())

    def answered(self, order: Order) -> Order | None:
        found = self.orders.get(order.number)
        return found if found is not None and found.done is not None else None

    def answer(self, order: Order, limit_s: float = 20.0) -> Order:
        self.until(lambda: self.answered(order), f"{order} is answered", limit_s)
        found = self.answered(order)
        assert found is not None
        return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replica]:
    monkeypatch.setattr(candidates, "LOOK_S", 0.2)
    monkeypatch.setattr(candidates, "MOVING_S", 0.1)
    made = Replica(tmp_path)
    yield made
    made.deploys.close()


def test_a_folder_that_goes_comes_and_goes_during_its_round(here: Replica) -> None:
    here.serve("blog", APP % "1")
    here.hold()
    here.remove("blog")
    here.until(lambda: here.deploys.state.round, "its removal is rolled out")
    here.drop("blog", BROKEN)
    here.until(lambda: here.app("blog").refused, "what came is refused")
    here.remove("blog")
    here.until(lambda: here.deploys._candidates.lacks("blog"), "it is gone")
    here.step()
    here.held = None
    here.until(lambda: not here.deploys.state.round, "the round ends")
    here.until(lambda: here.deploys.state.lease is None, "nothing is left to do")


def test_a_new_app_that_goes_while_its_round_turns_back(here: Replica) -> None:
    here.serve("blog", APP % "1")
    here.drop("new", APP % "1")
    here.until(lambda: here.deploys.state.round, "the new one is rolled out")
    goal = rounds.goal(here.deploys.state)
    here.held = goal
    here.until(lambda: here.app("new").trouble, "it turns back", rejected=goal, blamed="new", reason="why")
    here.remove("new")
    here.until(lambda: here.deploys._candidates.lacks("new"), "it is gone")
    here.step()
    assert here.deploys.state.round, "an address still runs it"
    absent = AbsentApps(here.settings.state)
    assert absent.look()
    here.held = None
    here.until(lambda: "new" not in here.deploys.state.apps, "it is forgotten")


def test_an_order_given_during_a_round_that_turns_back_is_answered_and_the_lease_given_back(here: Replica) -> None:
    here.serve("blog", APP % "1")
    here.hold()
    here.drop("blog", APP % "2")
    here.until(lambda: here.deploys.state.round, "it is rolled out")
    goal = rounds.goal(here.deploys.state)
    order = here.orders.give("deploy", "blog")
    here.until(lambda: (found := here.orders.get(order.number)) and found.accepted, "it is accepted")
    here.until(lambda: not here.is_tried("blog"), "its release is found again")
    here.until(lambda: not here.deploys.state.round, "it has turned back", rejected=goal, blamed="blog", reason="why")
    answer = here.answer(order)
    assert (answer.done, answer.answer) == (False, "why")
    here.until(lambda: here.deploys.state.lease is None, "the lease is given back")


def test_a_rollback_outlives_the_deployer_that_accepted_it(here: Replica) -> None:
    first = here.serve("blog", APP % "1")
    here.serve("blog", APP % "2")
    here.occupy()
    order = here.orders.give("rollback", "blog")
    here.until(lambda: (found := here.orders.get(order.number)) and found.accepted, "it is accepted")
    here.restart()
    here.held = None
    answer = here.answer(order)
    assert (answer.done, answer.answer) == (True, f"blog: {first} is live")
    assert here.app("blog").release == first


def test_a_deploy_of_an_app_whose_folder_goes_meanwhile_is_answered(here: Replica) -> None:
    here.drop("blog", "import time\ntime.sleep(3)\nraise ValueError\n")
    order = here.orders.give("deploy", "blog")
    here.until(lambda: (found := here.orders.get(order.number)) and (found.accepted or found.done is not None), "seen")
    here.until(lambda: here.is_tried("blog"), "it is tried")
    again = here.orders.give("deploy", "blog")
    here.until(lambda: (found := here.orders.get(again.number)) and found.accepted, "it is accepted")
    here.remove("blog")
    answer = here.answer(again)
    assert (answer.done, answer.answer) == (False, "blog: its folder is gone")
    here.until(lambda: here.deploys.state.lease is None, "the lease is given back")


def test_what_does_not_hold_still_is_not_released_when_its_turn_comes(here: Replica) -> None:
    for name in ("one", "two", "three"):
        here.drop(name, f"import time\ntime.sleep(3)\n{APP % name}")
    here.until(lambda: all(map(here.is_tried, ("one", "two", "three"))), "so many are tried at once")
    here.drop("blog", APP % "whole")
    end, number = time.monotonic() + 4, 0
    while time.monotonic() < end:  # file after file arrives
        number += 1
        here.drop("blog", APP % "half", file=f"part{number}.py")
        here.step()
        time.sleep(0.15)
        assert not here.app("blog").release
    here.until(lambda: here.app("blog").release, "it holds still")
    found = here.settings.state / "releases" / "blog" / here.app("blog").release / "blog"
    assert len(list(found.glob("part*.py"))) == number


def test_trials_that_hang_hold_up_nobody(here: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "LONG_S", 1.0)
    hanging = [f"hangs{number}" for number in range(attempts.AT_ONCE)]
    here.serve("other", APP % "1")
    for name in hanging:
        here.drop(name, "import time\ntime.sleep(60)\n" + APP % "1")
    here.until(lambda: all(map(here.is_tried, hanging)), "they are tried")
    here.drop("blog", APP % "1")
    here.until(lambda: here.app("blog").release, "it is live", limit_s=10)
    assert all(map(here.is_tried, hanging))


def test_content_that_an_app_outside_of_its_round_kept_from_being_served_comes_again(
    here: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploys, "AGAIN_S", 2.0)
    here.serve("blog", APP % "1")
    here.hold()
    here.drop("blog", APP % "2")
    here.until(lambda: here.deploys.state.round, "it is rolled out")
    goal = rounds.goal(here.deploys.state)
    began = time.monotonic()
    here.until(
        lambda: here.app("blog").trouble and not here.deploys.state.round, "it has turned back",
        rejected=goal, blamed="shop", reason="shop: it hangs",
    )  # fmt: skip
    assert here.app("blog").trouble.reason == "shop: it hangs; tried again soon"  # type: ignore[union-attr]
    here.until(lambda: here.deploys.state.lease is None, "nothing is done meanwhile")
    assert not here.deploys.state.round
    here.held = None
    here.until(lambda: not here.app("blog").trouble and not here.deploys.state.round, "it is live")
    assert time.monotonic() - began > 1.5
    assert here.app("blog").release == goal["blog"]
    assert [one.outcome for one in here.app("blog").deploys] == ["live", "live"], "one record stands for both tries"


def test_a_full_disk_refuses_no_content(here: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploys, "AGAIN_S", 2.0)
    here.serve("blog", APP % "1")
    here.drop("blog", "#" * 200_000, file="big.py")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        here.until(lambda: here.app("blog").trouble, "there is no room for it")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    trouble = here.app("blog").trouble
    assert trouble is not None
    assert trouble.step == "snapshot"
    assert trouble.reason.endswith("File too large; this is tried again every 2 s")
    here.until(lambda: not here.app("blog").trouble, "it is live, and nobody has touched it")
    assert [one.outcome for one in here.app("blog").deploys][1:] == ["failed", "live"]


@pytest.mark.parametrize("delay_s", [0.0, 0.5])
def test_a_rollback_is_not_overtaken_by_what_is_being_tried(here: Replica, delay_s: float) -> None:
    first = here.serve("blog", APP % "1")
    here.serve("blog", APP % "2")
    here.drop("blog", "import time\ntime.sleep(1)\n" + APP % "3")
    here.until(lambda: here.is_tried("blog"), "the next is tried")
    time.sleep(delay_s)
    assert here.answer(here.orders.give("rollback", "blog")).done
    assert here.app("blog").release == first
    here.until(lambda: here.deploys.state.lease is None, "all is done")
    assert here.app("blog").release == first, "what was tried is refused, since nobody has changed it"
    assert here.app("blog").refused not in ("", first)
    assert here.answer(here.orders.give("deploy", "blog")).done
    assert here.app("blog").release not in ("", first)


def test_a_hook_runs_once_a_release_though_others_came_between(here: Replica) -> None:
    count = here.settings.state / "data" / "blog" / "data" / "count"
    (here.apps / "blog").mkdir()
    (here.apps / "blog" / "app.toml").write_text("[deploy]\nbefore = \"sh -c 'echo >> data/count'\"\n")
    for version, hooks in (("1", 1), ("2", 2), ("1", 2), ("3", 3), ("2", 3)):
        here.serve("blog", APP % version)
        assert len(count.read_text()) == hooks


def test_what_another_replica_sees_is_not_removed(here: Replica) -> None:
    here.serve("blog", APP % "1")
    here.remove("blog")
    here.until(lambda: here.deploys._candidates.lacks("blog"), "it is gone here", others=["blog"])
    for _ in range(5):
        here.step(others=["blog"])
        time.sleep(0.05)
    assert here.app("blog").release
    assert here.deploys.state.lease is None
    here.until(lambda: not here.app("blog").release, "nobody sees it any more")


def test_a_folder_that_comes_back_before_its_removal_begins_stays(here: Replica) -> None:
    here.serve("blog", APP % "1")
    here.occupy()
    (here.apps / "blog").rename(here.apps.parent / "aside")
    here.until(lambda: "blog" in here.deploys._candidates.waiting, "its removal waits")
    (here.apps.parent / "aside").rename(here.apps / "blog")
    here.deploys.look_soon()
    here.until(lambda: here.deploys._candidates.has_settled("blog"), "it is back")
    here.held = None
    here.until(lambda: here.deploys.state.lease is None, "all is done")
    assert [one.cause for one in here.app("blog").deploys] == ["folder"]


def test_a_lease_that_nobody_else_took_is_gone_on_with(here: Replica) -> None:
    """A clock that jumps, or a step that takes long, must not make a failed deploy of a hook that runs."""
    here.serve("blog", APP % "1")
    (here.apps / "blog" / "app.toml").write_text("[deploy]\nbefore = \"sh -c 'sleep 1; echo x >> data/hooks'\"\n")
    here.drop("blog", APP % "2")
    here.until(lambda: here.app("blog").hooking, "its hook runs")
    state = here.deploys._ledger.read()
    assert state.lease is not None
    here.deploys._ledger.write(
        dataclasses.replace(state, lease=dataclasses.replace(state.lease, until=time.time() - 1))
    )
    here.until(lambda: len(here.app("blog").deploys) == 2 and here.app("blog").deploys[0].outcome, "it has ended")
    assert here.app("blog").deploys[0].outcome == "live"
    assert (here.settings.state / "data" / "blog" / "data" / "hooks").read_text() == "x\n"


def test_an_emptied_folder_removes_nobody_whatever_is_under_way(here: Replica) -> None:
    for name in ("blog", "shop", "third"):
        here.serve(name, APP % "1")
    here.hold()
    here.drop("third", APP % "2")
    here.until(lambda: here.deploys.state.round, "one is rolled out")
    here.drop("shop", APP % "2")
    here.until(lambda: "shop" in here.deploys._candidates.waiting, "one waits")
    for name in ("blog", "shop", "third"):
        here.move(name, f"aside-{name}")
    here.go_on(1)
    here.held = None
    here.go_on(2, others=["shop"])
    assert set(rounds.goal(here.deploys.state)) == {"blog", "shop", "third"}


def test_content_that_waited_and_was_overtaken_can_come_back(here: Replica) -> None:
    first = here.serve("blog", APP % "1")
    here.serve("blog", APP % "2")
    here.occupy()
    here.drop("blog", APP % "1")
    here.until(lambda: "blog" in here.deploys._candidates.waiting, "it waits")
    here.move("blog", "kept")
    (here.apps / "blog").mkdir()
    here.drop("blog", "import time\ntime.sleep(2)\n" + APP % "3")
    here.until(lambda: "blog" not in here.deploys._candidates.waiting and here.is_tried("blog"), "a newer one is tried")
    here.move("blog", "newer")
    here.move_back("kept", "blog")
    here.held = None
    here.until(lambda: here.app("blog").release == first, "the older one is live")


@pytest.mark.parametrize("restarted", [False, True])
def test_a_rollback_is_not_overtaken_by_what_is_not_even_begun(here: Replica, restarted: bool) -> None:
    first = here.serve("blog", APP % "1")
    here.serve("blog", APP % "2")
    if not restarted:
        for name in ("one", "two", "three"):
            here.drop(name, f"import time\ntime.sleep(2)\n{APP % name}")
        here.until(lambda: all(map(here.is_tried, ("one", "two", "three"))), "there is no room")
    here.drop("blog", APP % "3")
    if restarted:
        order = here.orders.give("rollback", "blog")
        here.restart()
    else:
        here.until(lambda: "blog" in here.deploys._candidates.news(here.deploys.state), "it is settled, and not begun")
        order = here.orders.give("rollback", "blog")
    assert here.answer(order).done
    here.until(lambda: here.deploys.state.lease is None, "all is done")
    assert here.app("blog").release == first


def test_a_rollback_takes_no_mount_that_is_another_s_by_now(here: Replica) -> None:
    here.mount("shop", "/s")
    first = here.serve("shop", APP % "1")
    here.mount("shop", "/t")
    here.serve("shop", APP % "2")
    here.mount("blog", "/s")
    here.serve("blog", APP % "3")
    answer = here.answer(here.orders.give("rollback", "shop", first))
    assert answer.done is False
    assert "failed at mount: shop: the mount /s belongs to blog" in answer.answer
    assert here.mounts == {"blog": "/s", "shop": "/t"}


def test_who_relied_on_a_mount_that_stays_taken_fails(here: Replica) -> None:
    here.mount("shop", "/s")
    here.serve("shop", APP % "1")
    here.occupy()
    for app, path, text in (("shop", "/t", APP % "1"), ("blog", "/s", APP % "2")):
        here.mount(app, path)
        here.drop(app, text)
        here.until(lambda a=app: a in here.deploys._candidates.waiting, "it waits")
    here.drop("shop", BROKEN)
    here.until(lambda: here.app("shop").refused, "it does not move after all")
    here.held = None
    here.until(lambda: here.deploys.state.lease is None, "all is done")
    assert here.mounts == {"shop": "/s", "other": "/other"}


def test_a_failure_that_could_not_be_written_comes_again(here: Replica) -> None:
    here.serve("blog", APP % "1")
    here.drop("slow", f"import time\ntime.sleep(4)\n{APP % 's'}")  # keeps the lease
    here.until(lambda: here.deploys._candidates.tried_release("slow"), "it is tried")
    here.drop("blog", "#" * 200_000, file="big.py")
    failed: list[HedgerowError] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    end = time.monotonic() + 10
    try:
        while not failed and time.monotonic() < end:
            try:
                here.go_on(0.1)
            except LedgerError as error:
                failed.append(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failed
    here.until(lambda: len(here.app("blog").deploys) == 2 and not here.app("blog").trouble, "it is live")


def test_a_removal_that_an_app_outside_of_its_round_turns_back_is_not_begun_at_once(here: Replica) -> None:
    here.serve("blog", APP % "1")
    here.serve("shop", APP % "1")
    here.hold()
    here.remove("blog")
    here.until(lambda: here.deploys.state.round, "it is rolled out")
    number = here.deploys.state.number
    here.go_on(2, rejected={"shop": here.app("shop").release}, blamed="shop", reason="shop: it hangs")
    assert here.app("blog").release
    assert here.deploys.state.number < number + 5
    assert here.deploys.state.lease is None


def test_an_order_ends_though_its_folder_never_holds_still(here: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "STILL_S", 1.0)
    here.serve("blog", APP % "1")
    order, number = here.orders.give("deploy", "blog"), 0
    end = time.monotonic() + 10
    while not here.answered(order) and time.monotonic() < end:
        number += 1
        (here.apps / "blog" / "log.txt").write_text("." * number)
        here.go_on(0.05)
    found = here.answered(order)
    assert found is not None
    assert found.answer == "blog: its folder does not hold still"


def test_an_order_while_the_apps_are_away_tries_nothing_again_and_again(here: Replica) -> None:
    here.serve("blog", APP % "1")
    here.apps.rename(here.apps.with_name("away"))
    here.go_on(1)
    order = here.orders.give("deploy", "blog")
    here.go_on(1)
    assert not here.is_tried("blog")
    here.apps.with_name("away").rename(here.apps)
    assert here.answer(order).done


def test_an_order_that_met_a_missing_folder_leaves_what_was_refused_refused(here: Replica) -> None:
    here.serve("blog", APP % "1")
    here.drop("blog", BROKEN)
    here.until(lambda: here.app("blog").refused and here.deploys.state.lease is None, "it is refused")
    here.move("blog", "aside")
    here.go_on(0.5, others=["blog"])  # so it is not removed
    order = here.orders.give("deploy", "blog")
    here.go_on(0.5, others=["blog"])
    found = here.answered(order)
    assert found is not None
    assert found.done is False
    assert here.app("blog").refused
    here.move_back("aside", "blog")
    here.go_on(1)
    number = here.deploys.state.number
    here.go_on(2)
    assert here.deploys.state.number <= number + 1
    assert here.deploys.state.lease is None


def test_a_hook_that_could_not_begin_has_not_failed(here: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    (here.apps / "blog").mkdir()
    (here.apps / "blog" / "app.toml").write_text("[deploy]\nbefore = \"sh -c 'echo >> data/count'\"\n")
    read, failed = Ledger.read, []

    def reads_in_a_thread_fail_once(ledger: Ledger) -> State:
        if threading.current_thread() is not threading.main_thread() and not failed:
            failed.append(1)
            raise LedgerError("it cannot be read")
        return read(ledger)

    monkeypatch.setattr(Ledger, "read", reads_in_a_thread_fail_once)
    here.serve("blog", APP % "1")
    assert failed
    assert (here.settings.state / "data" / "blog" / "data" / "count").read_text() == "\n"


def test_the_trial_of_an_app_does_not_meet_its_neighbours(here: Replica) -> None:
    """The warm-up asks for localhost, which may be another app's host, and below a mount there may be another's."""
    (here.apps / "home").mkdir()
    (here.apps / "home" / "app.toml").write_text('host = "localhost"\n')
    here.serve("home", APP % "h")
    here.mount("api", "/site/api")
    here.drop("api", BROKEN)
    here.until(lambda: here.app("api").trouble, "it is broken")
    (here.apps / "site").mkdir()
    (here.apps / "site" / "app.toml").write_text('[deploy]\nwarmup = "/api/health"\n')
    assert here.serve("site", APP % "s")


def test_an_order_for_a_pool_during_the_trial_of_another_one_counts(here: Replica) -> None:
    here.serve("blog", "import time\ntime.sleep(0.7)\n" + APP % "1")
    earlier = here.orders.give("pool", "blog", pool="own")
    here.until(lambda: here.is_tried("blog"), "it is tried where it was ordered to")
    later = here.orders.give("pool", "blog", pool="shared")
    assert here.answer(later).done, here.answer(later)
    assert here.answer(earlier).done is False, "it says that another order was faster"
    assert (here.app("blog").wish, here.app("blog").placement.pool) == ("shared", "shared")


def test_an_order_for_a_pool_during_the_trial_of_a_release_counts(here: Replica) -> None:
    here.serve("blog", APP % "1")
    here.drop("blog", "import time\ntime.sleep(0.7)\n" + APP % "2")
    here.until(lambda: here.is_tried("blog"), "the next release is tried")
    order = here.orders.give("pool", "blog", pool="own")
    assert here.answer(order).done, here.answer(order)
    assert here.app("blog").placement.pool == "own"
    assert here.app("blog").deploys[0].cause == "pool"


def try_on_some(here: Replica, text: str) -> str:
    """A release that a part of the clients has for now."""
    here.drop("blog", "[canary]\nshare = 20\nwindow_s = 0.1\n", file="app.toml")
    here.drop("blog", text)
    here.until(lambda: here.app("blog").deploys[0].outcome == "canary", "it is a canary")
    canary = here.app("blog").canary
    assert canary is not None
    return canary.release


def judged(here: Replica, new: Side | None = None) -> dict[str, Sides]:
    """What is told of it that is as good, or as it is said."""
    good, canary = Side(1000, 0, {step_of(0.01): 1000}), here.app("blog").canary
    return {"blog": Sides(canary.number, good, new or good)} if canary else {}


def test_a_canary_goes_to_all_though_its_folder_holds_what_is_refused(here: Replica) -> None:
    here.serve("blog", APP % "1")
    release = try_on_some(here, APP % "2")
    here.drop("blog", BROKEN)
    here.until(lambda: here.app("blog").trouble, "what followed is refused")
    refused = here.app("blog").refused
    told = judged(here)
    here.until(lambda: here.app("blog").release == release, "all have it", canaries=told)
    here.until(lambda: not here.deploys.state.round, "the round has ended")
    assert (here.app("blog").canary, here.app("blog").refused) == (None, refused)
    here.until(lambda: not here.deploys.state.lease, "the lease is given back")


def test_a_canary_whose_folder_holds_again_what_most_have_is_no_failure(here: Replica) -> None:
    live = here.serve("blog", APP % "1")
    try_on_some(here, APP % "2")
    text = (here.settings.state / "releases" / "blog" / live / "blog" / "app.py").read_text()
    (here.apps / "blog" / "app.toml").unlink()
    here.drop("blog", text)
    here.until(lambda: here.app("blog").canary is None and not here.deploys.state.round, "it is taken back")
    blog = here.app("blog")
    assert (blog.release, blog.trouble, blog.refused) == (live, None, "")
    assert [(one.release == live, one.outcome) for one in blog.deploys][:2] == [(True, "live"), (False, "reverted")]
    try_on_some(here, APP % "2")


def test_a_canary_is_not_begun_again_and_again(here: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its round lasts, and after one that was to end it has turned back."""
    here.serve("blog", APP % "1")
    here.hold()
    here.drop("blog", "[canary]\nshare = 20\nwindow_s = 600\n", file="app.toml")
    here.drop("blog", APP % "2")
    here.until(lambda: here.app("blog").canary, "its round has begun")
    begun, begin = list[str](), attempts.Attempts.start

    def start(self: attempts.Attempts, app: str, *told: Any, **more: Any) -> None:
        begun.append(app)
        begin(self, app, *told, **more)

    monkeypatch.setattr(attempts.Attempts, "start", start)
    here.go_on(1.0)
    assert begun == []


def test_a_canary_that_is_rolled_back_goes_to_nobody_though_it_waits_for_its_round(here: Replica) -> None:
    live = here.serve("blog", APP % "1")
    release = try_on_some(here, APP % "2")
    here.occupy()
    promoted = here.orders.give("deploy", "blog")
    here.until(lambda: here.deploys._candidates.waiting, "it is to go to all")
    assert here.answer(here.orders.give("rollback", "blog")).done
    here.held = None
    here.until(lambda: here.answered(promoted) and not here.deploys.state.round, "all is over")
    here.go_on(0.5)
    assert (here.app("blog").release, here.app("blog").canary, here.app("blog").refused) == (live, None, release)
