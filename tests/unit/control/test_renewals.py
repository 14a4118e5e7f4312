"""Which environments are made anew for whom, what an order's answer is, and what must not be removed: pure."""

from __future__ import annotations

import dataclasses

import pytest

from hedgerow.control import packages, references, renewals, rounds
from hedgerow.control.entries import (
    FAILED,
    LIVE,
    MOVE,
    RENEWAL,
    REVERTED,
    ROLLBACK,
    AppState,
    Deploy,
    Round,
    State,
    Version,
)
from hedgerow.control.orders import UPGRADE, Order
from hedgerow.control.packages import Passed
from hedgerow.control.placement import AUTO, OWN, Placement
from hedgerow.control.renewals import Renewal, Renewed
from hedgerow.control.step import Outcome

E1, E2, E3 = (Placement(environment=name) for name in ("e1", "e2", "e3"))
ALONE = Placement(OWN, "requirements", "old: it needs werkzeug<3", environment="o1")
APPS = {"blog": AppState("b1", E1), "old": AppState("o1", ALONE), "shop": AppState("s1", E1), "new": AppState()}
STATE = State(9, apps=APPS)
ALL = Renewal({"blog": APPS["blog"].version, "shop": APPS["shop"].version})
OLD = Renewal({"old": APPS["old"].version})
FURTHER = Placement("shared+plain", "requirements", "why", environment="p1")


def order(app: str = "", accepted: int = 9) -> Order:
    return Order("1", UPGRADE, app, accepted=accepted)


@pytest.mark.parametrize(("app", "about"), [("", ALL), ("blog", ALL), ("old", OLD), ("new", None), ("nobody", None)])
def test_an_order_is_about_all_who_share_or_about_the_one_that_does_not(app: str, about: Renewal | None) -> None:
    assert renewals.of_order(STATE, order(app)) == about


@pytest.mark.parametrize(
    ("stale", "found"), [({"e1"}, [ALL]), ({"o1"}, [OLD]), ({"e1", "o1"}, [ALL, OLD]), ({"gone"}, []), (set(), [])]
)
def test_what_is_not_current_changes_as_little_as_can_be(stale: set[str], found: list[Renewal]) -> None:
    assert renewals.of_stale(STATE, stale) == [dataclasses.replace(one, newest=False) for one in found]


def test_apps_of_one_conflict_are_renewed_together() -> None:
    state = STATE.with_app("one", AppState("x1", FURTHER)).with_app("two", AppState("y1", FURTHER))
    renewal = Renewal({name: state.app(name).version for name in ("one", "two")})
    assert renewals.of_order(state, order("two")) == renewal
    assert renewals.of_order(state, order()) == ALL
    assert (renewal.pool, renewal.who, renewal.environment) == ("shared+plain", "the pool shared+plain", "p1")
    assert (ALL.who, OLD.who, OLD.pool) == ("the shared pool", "old", OWN)
    assert renewals.of_stale(state, {"p1"}) == [dataclasses.replace(renewal, newest=False)]
    done = rounds.begin(state, renewals.passed(Renewed(renewal, Outcome("environment"), "p2")))
    assert [packages.environment(done, pool) for pool in ("shared", "shared+plain")] == ["e1", "p2"]


def test_it_begins_when_nothing_else_changes_and_counts_only_if_that_stays_so() -> None:
    assert renewals.may_begin(STATE, ALL, ())
    assert not renewals.may_begin(STATE, ALL, ("other",))
    assert not renewals.may_begin(dataclasses.replace(STATE, round=Round(9, "rolling", {})), ALL, ())
    assert renewals.holds(STATE, ALL, ("other",))
    assert not renewals.holds(STATE, ALL, ("shop",))
    for app in (AppState("b2", E1), AppState("b1", E2), AppState("b1", ALONE), AppState()):
        assert not renewals.holds(STATE.with_app("blog", app), ALL, ())
    assert not renewals.holds(STATE.with_app("third", AppState("t1", E1)), ALL, ()), "it has not been tried"
    assert renewals.holds(STATE.with_app("blog", AppState("b2", E1)), OLD, ())


def rolled(state: State = STATE) -> State:
    return rounds.begin(state, renewals.passed(Renewed(ALL, Outcome("environment"), "e2")))


def test_one_round_brings_all_and_changes_nothing_else_of_them() -> None:
    blog = AppState("b1", E1, refused="b2", again=5.0, wish=AUTO, placed="as it was")
    state = rolled(STATE.with_app("blog", blog))
    assert packages.environment(state) == "e2"
    assert state.app("old") == APPS["old"]
    changed = state.app("blog")
    assert (changed.release, changed.refused, changed.again, changed.placed) == ("b1", "b2", 5.0, "as it was")
    assert (changed.deploys[0].cause, changed.deploys[0].placement) == (RENEWAL, E2)
    assert state.round is not None
    assert set(state.round.changes) == {"blog", "shop"}


def test_an_order_is_answered_when_the_ledger_tells() -> None:
    given = order()
    assert renewals.answer(STATE, given) is None
    state = rolled()
    assert renewals.answer(state, given) is None, "it rolls"
    ended = rounds.advance(state, [rounds.ReplicaView("r1", (rounds.goal(state),))])
    assert ended is not None
    answer = renewals.answer(ended, given)
    assert answer is not None
    assert (answer.done, answer.answer) == (True, "2 apps run with other packages now")
    assert renewals.answer(ended, order(accepted=ended.number + 9)) is None, "that was an earlier one"
    assert renewals.answer(ended, order("old")) is None
    rejected = rounds.ReplicaView("r1", (), rejected=rounds.goal(state), blamed="shop", reason="shop: it does not end")
    turned = rounds.advance(state, [rejected])
    assert turned is not None
    answer = renewals.answer(turned, given)
    assert answer is not None
    assert not answer.done
    assert "reverted at swap" in answer.answer
    assert packages.environment(turned) == "e1"
    assert turned.app("shop").refused == "", "its content is not at fault"


@pytest.mark.parametrize(("app", "told"), [("shop", {"shop"}), ("", {"blog", "shop"})])
def test_a_failure_is_told_of_who_is_at_fault_and_nothing_changes(app: str, told: set[str]) -> None:
    failure = Renewed(ALL, Outcome("check", f"{app or 'the shared pool'}: it ends with exit status 1"), "", app)
    state = renewals.failed(STATE, failure)
    assert {name for name, one in state.apps.items() if one.trouble} == told
    assert rounds.goal(state) == rounds.goal(STATE)
    assert all(not one.refused for one in state.apps.values())
    answer = renewals.answer(state, order())
    assert answer is not None
    assert "failed at check" in answer.answer
    assert [one.number for one in renewals.concerned(STATE, ALL, [order(), order("old"), order("shop")])] == ["1", "1"]


def share(app: str, wants: Placement, replaces: bool = False, cause: str = "folder", **others: str) -> Passed:
    """others: the releases that it was tried beside, if those are not what runs."""
    beside = (others or {"blog": "b1", "shop": "s1"}) if replaces else None
    return Passed(app, Deploy(f"{app}2", cause=cause, placement=wants), beneath="e1", replaces=beside)


@pytest.mark.parametrize(
    ("passed", "late"),
    [
        ([share("blog", E1), share("shop", E2)], []),  # the second one only adds
        ([share("blog", E1), share("shop", E2, replaces=True)], ["blog"]),
        ([share("shop", E2, replaces=True), share("blog", E1, cause=MOVE)], ["blog"]),
        ([share("shop", E2), share("blog", E3, replaces=True)], ["blog"]),
        ([share("shop", E2, replaces=True), share("blog", E2, replaces=True)], []),
        ([share("shop", E2, replaces=True), share("blog", E1, cause=ROLLBACK)], ["blog"]),
        ([share("shop", E2), share("blog", E1, cause=ROLLBACK)], []),
        ([share("shop", E2, replaces=True), share("old", ALONE)], []),
        ([share("shop", E2, replaces=True, blog="b0")], ["shop"]),  # its neighbour is another by now
        ([share("shop", E2, replaces=True, nobody="n1")], ["shop"]),  # its neighbour has come meanwhile
        ([share("shop", E2, replaces=True, blog="b0"), share("blog", E1)], ["shop"]),
    ],
)
def test_what_was_tried_with_packages_that_are_replaced_is_tried_again(passed: list[Passed], late: list[str]) -> None:
    assert packages.outdated(STATE, passed) == late


def test_a_release_that_was_live_with_other_packages_goes_back_to_them() -> None:
    assert renewals.back(E1, "b1", "blog", []) == E1
    assert renewals.back(ALONE, "o1", "old", ["plain 1.0"]) == ALONE
    own = renewals.back(E1, "b1", "blog", ["plain 1.0", "other 2.0"])
    assert (own.pool, own.environment) == (OWN, "e1")
    assert own.reason == "blog: b1 was live with plain 1.0, other 2.0, which the shared pool has no more"
    assert renewals.back(FURTHER, "b1", "blog", []) == FURTHER
    many = renewals.back(FURTHER, "b1", "blog", ["a 1", "b 1", "c 1", "d 1", "e 1"])
    assert many.reason == "blog: b1 was live with a 1, b 1, c 1, 2 more, which the pool shared+plain has no more"


def test_environments_that_a_rollback_or_a_worker_needs_are_kept() -> None:
    deploys = (
        Deploy("b3", outcome=FAILED, placement=Placement(environment="failed")),
        Deploy("b2", outcome=LIVE, placement=Placement(environment="newest")),
        Deploy("b2", outcome=LIVE, placement=Placement(environment="older")),
        Deploy("b1", outcome=LIVE, placement=E3),
        Deploy("b1", outcome=REVERTED, placement=Placement(environment="reverted")),
        Deploy("b1", outcome="", placement=Placement(environment="rolls")),
    )
    blog = AppState("b2", E1, deploys=deploys)
    assert blog.environments == {"e1", "newest", "e3", "rolls"}
    assert [blog.environment_of(release) for release in ("b2", "b1", "b3")] == ["e1", "e3", ""]
    was = Version("s1", Placement(environment="was"))
    state = State(9, apps={"blog": blog}, round=Round(9, "rolling", {"shop": (was, APPS["shop"].version)}))
    told = [
        {"age_s": 1.0, "environments": ["told", ""]},
        {"age_s": 2 * 24 * 3600.0, "environments": ["forgotten"]},
        {"age_s": 1.0},
    ]
    waiting = [Passed("old", Deploy("o2", placement=ALONE), beneath="beneath")]
    used = references.environments(state, waiting, told)
    assert used == {"e1", "newest", "e3", "rolls", "was", "told", "o1", "beneath"}
