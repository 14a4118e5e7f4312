"""What happens to deploys when folders, orders, rounds and restarts cross each other. Trials are real; a replica's
workers are told by the test.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hedgerow.config import Settings
from hedgerow.control import rounds
from hedgerow.control.deploys import Deploys
from hedgerow.control.ledger import AppState
from hedgerow.control.orders import Order, Orders
from hedgerow.control.rounds import ReplicaView
from hedgerow.worker.arrivals import Arrivals

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
        self.held = rounds.wanted(self.deploys.state)

    def step(self, **more: Any) -> None:
        runs = rounds.wanted(self.deploys.state) if self.held is None else self.held
        self.deploys.step([ReplicaView("r1", (runs,), **more)])

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
def here(tmp_path: Path) -> Iterator[Replica]:
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
    here.until(lambda: here.deploys._folders.lacks("blog"), "it is gone")
    here.step()
    here.held = None
    here.until(lambda: not here.deploys.state.round, "the round ends")
    here.until(lambda: here.deploys.state.lease is None, "nothing is left to do")


def test_a_new_app_that_goes_while_its_round_turns_back(here: Replica) -> None:
    here.serve("blog", APP % "1")
    here.drop("new", APP % "1")
    here.until(lambda: here.deploys.state.round, "the new one is rolled out")
    goal = rounds.wanted(here.deploys.state)
    here.held = goal
    here.until(lambda: here.app("new").trouble, "it turns back", rejected=goal, blamed="new", reason="why")
    here.remove("new")
    here.until(lambda: here.deploys._folders.lacks("new"), "it is gone")
    here.step()
    assert here.deploys.state.round, "an address still runs it"
    assert Arrivals(here.settings.state).expects("/nobody/", "") is False
    here.held = None
    here.until(lambda: "new" not in here.deploys.state.apps, "it is forgotten")


def test_an_order_given_during_a_round_that_turns_back_is_answered_and_the_lease_given_back(here: Replica) -> None:
    here.serve("blog", APP % "1")
    here.hold()
    here.drop("blog", APP % "2")
    here.until(lambda: here.deploys.state.round, "it is rolled out")
    goal = rounds.wanted(here.deploys.state)
    order = here.orders.give("deploy", "blog")
    here.until(lambda: (found := here.orders.get(order.number)) and found.accepted, "it is accepted")
    here.until(lambda: len(here.deploys._attempts) == 0, "its release is found again")
    here.until(lambda: not here.deploys.state.round, "it has turned back", rejected=goal, blamed="blog", reason="why")
    answer = here.answer(order)
    assert (answer.done, answer.answer) == (False, "why")
    here.until(lambda: here.deploys.state.lease is None, "the lease is given back")


def test_a_rollback_outlives_the_deployer_that_accepted_it(here: Replica) -> None:
    first = here.serve("blog", APP % "1")
    here.serve("blog", APP % "2")
    here.hold()
    here.drop("other", APP % "1")
    here.until(lambda: here.deploys.state.round, "another app is rolled out")
    order = here.orders.give("rollback", "blog")
    here.until(lambda: (found := here.orders.get(order.number)) and found.accepted, "it is accepted")
    here.deploys.close()
    here.deploys = Deploys(here.settings, lambda *told, **more: None)
    here.held = None
    answer = here.answer(order)
    assert (answer.done, answer.answer) == (True, f"blog: {first} is live")
    assert here.app("blog").release == first


def test_a_deploy_of_an_app_whose_folder_goes_meanwhile_is_answered(here: Replica) -> None:
    here.drop("blog", "import time\ntime.sleep(3)\nraise ValueError\n")
    order = here.orders.give("deploy", "blog")
    here.until(lambda: (found := here.orders.get(order.number)) and (found.accepted or found.done is not None), "seen")
    here.until(lambda: len(here.deploys._attempts), "it is tried")
    again = here.orders.give("deploy", "blog")
    here.until(lambda: (found := here.orders.get(again.number)) and found.accepted, "it is accepted")
    here.remove("blog")
    answer = here.answer(again)
    assert (answer.done, answer.answer) == (False, "blog: its folder is gone")
    here.until(lambda: here.deploys.state.lease is None, "the lease is given back")


def test_what_does_not_hold_still_is_not_released_when_its_turn_comes(here: Replica) -> None:
    for name in ("one", "two"):
        here.drop(name, f"import time\ntime.sleep(3)\n{APP % name}")
    here.until(lambda: len(here.deploys._attempts) == 2, "both threads are busy")
    here.drop("blog", APP % "whole")
    here.until(lambda: len(here.deploys._attempts) == 3, "the third waits for its turn")
    end, number = time.monotonic() + 6, 0
    while time.monotonic() < end:  # file after file arrives
        number += 1
        here.drop("blog", APP % "half", file=f"part{number}.py")
        here.step()
        time.sleep(0.15)
        assert not here.app("blog").release
    here.until(lambda: here.app("blog").release, "it holds still")
    found = here.settings.state / "releases" / "blog" / here.app("blog").release / "blog"
    assert len(list(found.glob("part*.py"))) == number


def test_a_folder_that_comes_back_before_its_removal_begins_stays(here: Replica) -> None:
    here.serve("blog", APP % "1")
    here.hold()
    here.drop("other", APP % "1")
    here.until(lambda: here.deploys.state.round, "another round is under way")
    (here.apps / "blog").rename(here.apps.parent / "aside")
    here.until(lambda: "blog" in here.deploys._waiting, "its removal waits")
    (here.apps.parent / "aside").rename(here.apps / "blog")
    here.deploys.look_soon()
    here.until(lambda: "blog" in here.deploys._folders.settled, "it is back")
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
