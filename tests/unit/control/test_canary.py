"""A release that some clients have first, as pure steps: how it begins, what it is judged by, how it ends."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from hedgerow.control import canary, layout, packages, references, rounds
from hedgerow.control.canary import Side, Sides, terms_of, total, verdict
from hedgerow.control.entries import MOVE, ROLLBACK, AppState, Deploy, State, from_json
from hedgerow.control.packages import Passed
from hedgerow.control.placement import OWN, Placement
from hedgerow.control.rounds import ReplicaView, advance, begin, goal
from hedgerow.hosting.manifest import Canary as Terms
from hedgerow.hosting.times import seconds_of, step_of

BOTH = State(9, apps={"blog": AppState("b1"), "shop": AppState("s1")})
TERMS = Terms(share=10, window_s=60, requests=100)
ALONE = Placement(pool=OWN)
GOOD = Side(1000, 0, {step_of(0.01): 1000})


def begun(state: State = BOTH, release: str = "b2") -> State:
    return begin(state, [Passed("blog", Deploy(release, canary=TERMS, placement=ALONE))])


def watched(now: float = 1000.0) -> State:
    state = begun()
    ended = advance(state, [ReplicaView("r1", (goal(state),))], now=now)
    assert ended is not None
    return ended


def judge(state: State, sides: Sides, now: float = 1100.0) -> State:
    found = canary.judged(state.apps["blog"], [sides], now)
    assert found is not None
    return canary.settle(state, "blog", *found)


def test_most_go_on_with_what_runs_and_the_round_waits_for_both() -> None:
    state = begun()
    blog = state.apps["blog"]
    assert (blog.release, blog.deploys[0].outcome) == ("b1", "")
    assert goal(state) == {"blog": "b1+b2@own/greenlets/:10%#10", "shop": "s1"}
    assert advance(state, [ReplicaView("r1", (goal(BOTH),))]) is None
    state = watched()
    assert state.round is None
    blog = state.apps["blog"]
    assert blog.canary is not None
    assert (blog.canary.release, blog.canary.began, blog.deploys[0].outcome) == ("b2", 1000.0, "canary")


def test_the_ledger_tells_it_whole() -> None:
    for state in (begun(), watched()):
        assert from_json(json_of(state)) == state


def json_of(told: State | Sides) -> dict[str, object]:
    read: dict[str, object] = json.loads(json.dumps(dataclasses.asdict(told)))
    return read


def test_one_that_does_not_get_ready_is_refused_and_the_others_go_on() -> None:
    state = begin(BOTH, [Passed("blog", Deploy("b2", canary=TERMS, placement=ALONE)), Passed("shop", Deploy("s2"))])
    failed = ReplicaView("r1", (goal(BOTH),), rejected=goal(state), blamed="blog", reason="it hangs")
    state = advance(state, [failed]) or state
    blog = state.apps["blog"]
    assert (blog.canary, blog.refused, blog.release) == (None, "b2", "b1")
    assert goal(state) == {"blog": "b1", "shop": "s2"}
    assert state.round is not None
    assert state.round.state == "rolling"


def test_a_good_one_is_promoted_by_a_deploy_to_all_with_its_figures() -> None:
    state = judge(watched(), Sides(10, GOOD, GOOD))
    blog = state.apps["blog"]
    assert state.round is None
    assert blog.promoted == "b2"
    assert terms_of(blog, Deploy("b2"), TERMS) is None, "all get it"
    assert canary.judged(blog, [Sides(10, GOOD, Side(1000, 900))], 2000.0) is None, "it is on its way"
    state = begin(dataclasses.replace(state, number=10), [Passed("blog", Deploy("b2"))])
    blog = state.apps["blog"]
    assert (goal(state)["blog"], blog.canary, blog.promoted) == ("b2", None, "")
    state = ended(state)
    told = state.apps["blog"].deploys
    assert [(one.release, one.outcome) for one in told] == [("b2", "live")], "it stands there once"
    assert "1000 requests" in told[0].figures


def ended(state: State) -> State:
    found = advance(state, [ReplicaView("r1", (goal(state),))])
    assert found is not None
    return found


def turned_back(state: State, blamed: str, again: float = 0.0) -> State:
    views = [ReplicaView("r1", (goal(BOTH),), rejected=goal(state), blamed=blamed, reason="it hangs")]
    found = advance(state, views, again=again)
    assert found is not None
    return found


def test_one_whose_trial_for_all_fails_is_taken_back() -> None:
    good = judge(watched(), Sides(10, GOOD, GOOD))
    state = rounds.fail(good, "blog", Deploy("b2", step="trial", reason="blog: it does not load"))
    state = judge(state, Sides(10, GOOD, GOOD))
    blog = state.apps["blog"]
    assert (blog.canary, blog.refused, blog.deploys[0].reason) == (None, "b2", "blog: it does not load")
    later = rounds.fail(good, "blog", Deploy("b2", step="trial", reason="the disk is full"), again=1160.0)
    assert later.apps["blog"].promoted == "b2"
    assert canary.judged(later.apps["blog"], [], 1110.0) is None, "it is the machine's fault, and tried again"


def test_it_is_watched_on_when_what_was_ordered_instead_fails() -> None:
    blog = dataclasses.replace(watched().apps["blog"], promoted="b2")
    state = rounds.fail(watched().with_app("blog", blog), "blog", Deploy("b3", step="trial", reason="a typo"))
    state = judge(state, Sides(10, GOOD, Side(200, 20)), now=1001.0)
    assert state.apps["blog"].canary is None


def test_a_share_that_was_ordered_outlives_the_faults_of_others() -> None:
    blog = dataclasses.replace(BOTH.apps["blog"], share=25.0)
    state = BOTH.with_app("blog", blog)
    failed = rounds.fail(state, "blog", Deploy("b2", step="trial", reason="the disk is full"), again=1060.0)
    assert failed.apps["blog"].share == 25.0
    assert rounds.fail(state, "blog", Deploy("b2", step="trial")).apps["blog"].share is None
    first = Deploy("b2", canary=dataclasses.replace(TERMS, share=25.0), placement=ALONE)
    state = begin(state, [Passed("blog", first), Passed("shop", Deploy("s2"))])
    assert turned_back(state, "shop").apps["blog"].share == 25.0
    assert turned_back(state, "blog").apps["blog"].share is None


def test_what_does_not_take_its_place_leaves_it_as_it_was() -> None:
    """The round that was to end it turns back: it is a canary still, and known as one."""
    before = dataclasses.replace(watched(), number=10)
    state = turned_back(begun(before, "b3"), "blog")
    blog = state.apps["blog"]
    assert blog.canary == before.apps["blog"].canary
    assert [(one.release, one.outcome) for one in blog.deploys] == [("b3", "reverted"), ("b2", "canary")]
    good = judge(before, Sides(10, GOOD, GOOD))
    state = turned_back(begin(good, [Passed("blog", Deploy("b2")), Passed("shop", Deploy("s2"))]), "shop")
    assert state.apps["blog"].promoted == "b2", "it goes to all as soon as it can"
    state = turned_back(begin(good, [Passed("blog", Deploy("b2"))]), "blog")
    assert judge(dataclasses.replace(state, round=None), Sides(10)).apps["blog"].canary is None


def test_its_release_is_kept_while_it_lasts(tmp_path: Path) -> None:
    assert layout.code(tmp_path, "blog", "b2") in references.releases(watched(), [], tmp_path)


def test_a_bad_one_is_taken_back_by_a_round_and_refused() -> None:
    state = judge(watched(), Sides(10, GOOD, Side(200, 20)), now=1001.0)
    blog = state.apps["blog"]
    assert (blog.canary, blog.refused, goal(state)) == (None, "b2", goal(BOTH))
    told = blog.deploys[0]
    assert (told.outcome, told.step, told.reason) == (
        "failed", "canary", "10 % of its answers are errors, 0 % before"
    )  # fmt: skip
    assert "200 requests, 10 % errors" in told.figures
    assert state.round is not None
    ended = advance(state, [ReplicaView("r1", (goal(BOTH),))])
    assert ended is not None
    assert ended.apps["blog"].deploys[0].outcome == "failed"


def test_if_it_cannot_be_taken_back_it_is_judged_again() -> None:
    state = judge(watched(), Sides(10, GOOD, Side(200, 20)))
    failed = ReplicaView("r1", (goal(watched()),), rejected=goal(state), reason="no worker got ready")
    state = advance(state, [failed], again=1200.0) or state
    assert state.apps["blog"].canary == watched().apps["blog"].canary


def test_other_content_takes_its_place() -> None:
    promoted = dataclasses.replace(watched().apps["blog"], promoted="b2")
    state = begun(dataclasses.replace(watched(), number=10).with_app("blog", promoted), "b3")
    blog = state.apps["blog"]
    assert blog.canary is not None
    assert (blog.canary.release, blog.canary.began) == ("b3", 0.0)
    assert blog.on_trial == "b3", "it is not begun again"
    told = ended(state).apps["blog"].deploys
    assert [(one.release, one.outcome) for one in told] == [("b3", "canary"), ("b2", "reverted")]


def test_a_move_keeps_it_and_a_rollback_ends_it() -> None:
    move = begin(watched(), [Passed("blog", Deploy("b1", cause=MOVE, placement=ALONE))])
    assert move.apps["blog"].canary == watched().apps["blog"].canary
    assert goal(move)["blog"].startswith("b1@own/greenlets/+b2@own")
    back = begin(watched(), [Passed("blog", Deploy("b0", cause=ROLLBACK), refused="b2")])
    assert (goal(back)["blog"], back.apps["blog"].canary) == ("b0", None)


def test_what_is_refused_meanwhile_is_taken_back() -> None:
    state = watched()
    refused = dataclasses.replace(state.apps["blog"], refused="b2")
    state = judge(state.with_app("blog", refused), Sides(10), now=1001.0)
    assert state.apps["blog"].deploys[0].reason == "it is not wanted any more"


def test_its_environment_is_kept_while_it_lasts() -> None:
    in_one = dataclasses.replace(ALONE, environment="e2")
    state = begin(BOTH, [Passed("blog", Deploy("b2", canary=TERMS, placement=in_one))])
    assert "e2" in state.apps["blog"].environments
    assert packages.environment(state) == "", "nobody else's is another"


@pytest.mark.parametrize(
    ("app", "deploy", "share"),
    [
        (AppState("b1"), Deploy("b2"), 10),
        (AppState("b1", share=25.0), Deploy("b2"), 25),
        (AppState("b1", share=100.0), Deploy("b2"), None),
        (AppState(), Deploy("b2"), None),  # nobody has had anything
        (AppState("b1"), Deploy("b1"), None),
        (AppState("b1"), Deploy("b2", cause=ROLLBACK), None),
        (AppState("b1"), Deploy(""), None),
        (AppState("b1", promoted="b2"), Deploy("b2"), None),
        (AppState("b1", promoted="b2"), Deploy("b3"), 10),
    ],
)
def test_who_gets_a_release_first(app: AppState, deploy: Deploy, share: float | None) -> None:
    found = terms_of(app, deploy, TERMS)
    assert (found.share if found else None) == share
    assert terms_of(dataclasses.replace(app, share=None), deploy, Terms()) is None, "not unless somebody wants it"


def test_errors_end_it_as_soon_as_they_are_beyond_doubt() -> None:
    held = watched().apps["blog"].canary
    assert held is not None
    for new, ends in ((Side(20, 4), False), (Side(20, 5), True), (Side(100, 5), True), (Side(600, 5), False)):
        found = verdict(held, Sides(10, Side(9000, 9), new), 1001.0)
        assert (found is not None) == ends, new
    assert verdict(held, Sides(10, Side(9000, 450), Side(900, 46)), 1001.0) is None, "the others have as many"


def test_all_answers_are_told_as_such() -> None:
    assert "1000 requests, 100 % errors" in str(Side(1000, 1000))


def test_its_speed_is_judged_when_the_window_is_over() -> None:
    held = watched().apps["blog"].canary
    assert held is not None
    slow = Side(1000, 0, {step_of(0.03): 1000})
    tail = Side(1000, 0, {step_of(0.01): 920, step_of(0.2): 80})
    perhaps = Side(1000, 0, {step_of(0.01): 940, step_of(0.2): 60})
    assert verdict(held, Sides(10, GOOD, slow), 1059.0) is None
    for new, words in ((slow, "100 % of its answers take"), (tail, "8 % of its answers take more than")):
        found = verdict(held, Sides(10, GOOD, new), 1060.0)
        assert found is not None
        assert not found.good
        assert words in found.reason
    for others, its in ((slow, GOOD), (GOOD, perhaps)):
        found = verdict(held, Sides(10, others, its), 1060.0)
        assert found is not None
        assert found.good


def test_a_hop_more_is_nobodys_fault() -> None:
    held = watched().apps["blog"].canary
    assert held is not None
    quick, hop = Side(1000, 0, {step_of(0.001): 1000}), Side(1000, 0, {step_of(0.004): 1000})
    found = verdict(held, Sides(10, quick, hop), 1060.0)
    assert found is not None
    assert found.good


def test_with_too_few_requests_it_goes_on() -> None:
    held = watched().apps["blog"].canary
    assert held is not None
    few = Side(99, 0, {step_of(0.01): 99})
    assert verdict(held, Sides(10, GOOD, few), 9000.0) is None
    assert verdict(held, Sides(10, few, GOOD), 9000.0) is None


def test_a_pool_that_cannot_load_it_ends_it() -> None:
    state = judge(watched(), Sides(10, trouble="blog: loading it does not end"), now=1001.0)
    assert state.apps["blog"].deploys[0].reason == "blog: loading it does not end"


def test_all_replicas_count_and_those_of_an_earlier_one_do_not() -> None:
    told = [Sides(10, GOOD, Side(3, 1, {5: 3})), Sides(10, GOOD, Side(2, 0, {5: 1, 6: 1})), Sides(9, GOOD, GOOD)]
    both = total(10, told)
    assert (both.old.requests, both.new) == (2000, Side(5, 1, {5: 4, 6: 1}))
    assert canary.read(json_of(both)) == both


@given(st.floats(1e-4, 3600))
def test_a_time_is_told_to_a_fifth(seconds: float) -> None:
    assert seconds * 0.999 <= seconds_of(step_of(seconds)) <= seconds * 1.19 + 1e-9


def test_a_good_one_is_hardly_ever_taken_for_a_bad_one() -> None:
    """Looked at 300 times during its window, with 2 % of errors on both sides."""
    draw = random.Random(7)
    held = watched().apps["blog"].canary
    assert held is not None
    taken = 0
    for _ in range(200):
        old = new = errors = old_errors = 0
        for _ in range(300):
            new, old = new + 3, old + 27
            errors += sum(draw.random() < 0.02 for _ in range(3))
            old_errors += sum(draw.random() < 0.02 for _ in range(27))
            if verdict(held, Sides(10, Side(old, old_errors), Side(new, errors)), 1001.0):
                taken += 1
                break
    assert taken <= 10, f"{taken} of 200"
