"""What becomes of deploys, as pure steps."""

from __future__ import annotations

import dataclasses

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from hedgerow.control.entries import AppState, Deploy, State
from hedgerow.control.packages import Passed
from hedgerow.control.rounds import LOADING, NOT_READY, ReplicaView, advance, begin, fail, goal

BOTH = State(9, apps={"blog": AppState("b1"), "shop": AppState("s1")})


def rolling(**releases: str) -> State:
    return begin(BOTH, [Passed(app, Deploy(release)) for app, release in releases.items()])


def runs(state: State) -> dict[str, str]:
    return goal(state)


def test_a_failed_trial_leaves_the_release_and_refuses_the_content() -> None:
    state = fail(BOTH, "blog", Deploy("b2", step="load", reason="blog.py line 1: SyntaxError"))
    assert goal(state) == goal(BOTH)
    blog = state.apps["blog"]
    assert blog.refused == "b2"
    assert blog.trouble is not None
    assert (blog.trouble.outcome, blog.trouble.before, blog.trouble.step) == ("failed", "b1", "load")
    assert state.round is None


def test_a_first_release_that_fails_is_known_with_its_reason() -> None:
    state = fail(State(), "new", Deploy("n1", step="load", reason="no entry"))
    assert goal(state) == {}
    assert state.apps["new"].trouble is not None


def test_deploys_that_have_passed_go_together() -> None:
    state = rolling(blog="b2", shop="s2", new="n1")
    assert goal(state) == {"blog": "b2", "shop": "s2", "new": "n1"}
    assert state.round is not None
    assert state.round.state == "rolling"
    changes = {name: (old.key, new.key) for name, (old, new) in state.round.changes.items()}
    assert changes == {"blog": ("b1", "b2"), "shop": ("s1", "s2"), "new": ("", "n1")}
    assert state.apps["blog"].deploys[0].outcome == ""


def test_what_changes_nothing_begins_no_round() -> None:
    assert begin(BOTH, [Passed("blog", Deploy("b1"))]) == BOTH


def test_a_round_waits_for_every_address_of_every_live_replica() -> None:
    state = rolling(blog="b2")
    old, new = runs(BOTH), runs(state)
    assert advance(state, [ReplicaView("r1", (new, old)), ReplicaView("r2", (new, new))]) is None
    assert advance(state, [ReplicaView("r1", (new, new)), ReplicaView("r2", (old, new))]) is None
    assert advance(state, []) is None
    ended = advance(state, [ReplicaView("r1", (new, new)), ReplicaView("r2", (new, new))])
    assert ended is not None
    assert ended.round is None
    assert (ended.apps["blog"].release, ended.apps["blog"].deploys[0].outcome) == ("b2", "live")


def test_one_replica_that_cannot_turns_all_back() -> None:
    state = rolling(blog="b2", shop="s2")
    old, new = runs(BOTH), runs(state)
    views = [ReplicaView("r1", (new, new)), ReplicaView("r2", (old, old), rejected=new, blamed="blog", reason="why")]
    turned = advance(state, views)
    assert turned is not None
    assert turned.round is not None
    assert (turned.round.state, goal(turned)) == ("reverting", old)
    assert turned.apps["blog"].refused == "b2"
    assert turned.apps["blog"].deploys[0].reason == "why"
    assert turned.apps["shop"].refused == "", "the other app's content comes again"
    assert advance(turned, views) is None, "r1 has still to go back"
    ended = advance(turned, [ReplicaView("r1", (old, old)), ReplicaView("r2", (old, old), rejected=new)])
    assert ended is not None
    assert ended.round is None
    assert goal(ended) == old
    assert ended.apps["blog"].deploys[0].outcome == "reverted"


def test_who_is_not_known_to_be_the_cause_is_refused_with_the_others() -> None:
    state = rolling(blog="b2", shop="s2")
    turned = advance(state, [ReplicaView("r1", (runs(BOTH),), rejected=runs(state), reason="why")])
    assert turned is not None
    assert [turned.apps[name].refused for name in ("blog", "shop")] == ["b2", "s2"]


def test_a_round_does_not_wait_for_ever() -> None:
    state = rolling(blog="b2")
    old, new = runs(BOTH), runs(state)
    views = [ReplicaView("r1", (new, NOT_READY))]
    assert advance(state, views) is None
    ended = advance(state, views, overdue=True)
    assert ended is not None
    assert ended.round is None
    assert advance(state, [ReplicaView("r1", (new, old))], overdue=True) is None, "something older serves"
    turned = advance(state, [ReplicaView("r1", (new, old), rejected=new)])
    assert turned is not None
    stuck = [ReplicaView("r1", (new, old), rejected=old)]
    assert advance(turned, stuck) is None
    given_up = advance(turned, stuck, overdue=True)
    assert given_up is not None
    assert given_up.round is None


def test_a_round_does_not_wait_for_the_pool_of_another_app() -> None:
    state = rolling(blog="b2")
    busy = {**runs(state), "shop": LOADING}
    ended = advance(state, [ReplicaView("r1", (busy,))])
    assert ended is not None
    assert ended.round is None
    assert advance(state, [ReplicaView("r1", ({**busy, "blog": LOADING},))]) is None, "its own it does wait for"
    assert advance(state, [ReplicaView("r1", ({**busy, "blog": "b1"},))]) is None
    assert advance(state, [ReplicaView("r1", ({**busy, "gone": LOADING},))]) is None, "one that is wanted no more"


def test_an_old_rejection_does_not_turn_a_later_round_back() -> None:
    state = rolling(blog="b3")
    assert advance(state, [ReplicaView("r1", (runs(BOTH),), rejected={"blog": "b2", "shop": "s1"})]) is None


def test_a_removed_app_is_wanted_no_more_and_keeps_its_history() -> None:
    state = begin(BOTH, [Passed("blog", Deploy("", cause="removed"))])
    ended = advance(state, [ReplicaView("r1", (runs(state),))])
    assert ended is not None
    assert goal(ended) == {"shop": "s1"}
    assert ended.apps["blog"].trouble is None
    assert ended.apps["blog"].deploys[0].before == "b1"


def test_after_a_round_a_rollback_goes_to_what_lived_before() -> None:
    state = State()
    for release in ("b1", "b2"):
        state = begin(state, [Passed("blog", Deploy(release))])
        ended = advance(state, [ReplicaView("r1", (goal(state),))])
        assert ended is not None
        state = dataclasses.replace(ended, number=state.number + 1)
    assert state.apps["blog"].previous == "b1"
    back = begin(state, [Passed("blog", Deploy("b1", cause="rollback"), refused="b2")])
    assert back.apps["blog"].refused == "b2"
    assert goal(back) == {"blog": "b1"}


@pytest.mark.parametrize("rejecting", [False, True])
@settings(deadline=None)
@given(data=st.data())
def test_every_round_ends_all_old_or_all_new(rejecting: bool, data: st.DataObject) -> None:
    """Replicas that follow the ledger one address at a time, in any order: the round always ends, and uniformly."""
    state = rolling(blog="b2")
    new = goal(state)
    addresses = [[goal(BOTH)] * 2 for _ in range(2)]
    broken = data.draw(st.integers(0, 1)) if rejecting else None
    for _ in range(60):
        wanted = goal(state)
        replica, address = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 1))
        rejects = replica == broken and wanted == new
        if not rejects:
            addresses[replica][address] = wanted
        views = [
            ReplicaView(str(n), tuple(one), rejected=new if n == broken and rejects else None)
            for n, one in enumerate(addresses)
        ]
        state = advance(state, views) or state
        if state.round is None:
            break
    else:
        for replica in (0, 1):
            addresses[replica] = [goal(state)] * 2
        state = advance(state, [ReplicaView(str(n), tuple(one)) for n, one in enumerate(addresses)]) or state
    if state.round is None:
        assert {tuple(sorted(runs.items())) for one in addresses for runs in one} == {
            tuple(sorted(goal(state).items()))
        }


def test_a_failure_during_a_round_is_not_told_as_the_rounds_outcome() -> None:
    state = fail(dataclasses.replace(rolling(blog="b2"), number=10), "blog", Deploy("b3", step="load", reason="no"))
    new, old = runs(state), runs(BOTH)
    ended = advance(state, [ReplicaView("r1", (new,))])
    assert ended is not None
    assert [(one.release, one.outcome) for one in ended.apps["blog"].deploys] == [("b3", "failed"), ("b2", "live")]
    turned = advance(state, [ReplicaView("r1", (old,), rejected=new, reason="why")])
    assert turned is not None
    blog = turned.apps["blog"]
    assert [(one.release, one.outcome, one.reason) for one in blog.deploys] == [
        ("b3", "failed", "no"),
        ("b2", "reverted", "why"),
    ]
    assert (blog.release, blog.refused) == ("b1", "b3")


def test_many_failures_during_a_round_do_not_take_its_deploy_away() -> None:
    state = dataclasses.replace(rolling(blog="b2"), number=10)
    for number in range(20):
        state = dataclasses.replace(
            fail(state, "blog", Deploy(f"f{number}", step="load", reason="no")), number=11 + number
        )
    ended = advance(state, [ReplicaView("r1", (runs(state),))])
    assert ended is not None
    assert [one.release for one in ended.apps["blog"].deploys if one.outcome == "live"] == ["b2"]
