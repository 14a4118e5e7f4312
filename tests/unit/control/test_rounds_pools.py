"""Rounds that change where apps run, and what they run with."""

from __future__ import annotations

from hedgerow.control.entries import MOVE, ROLLBACK, AppState, Deploy, State
from hedgerow.control.packages import Passed, environment, outdated
from hedgerow.control.placement import OWN, Placement
from hedgerow.control.rounds import ReplicaView, advance, begin, goal, stay
from hedgerow.hosting.findings import NAMES, Finding

ALONE = Placement(OWN, "operator", "it was ordered")
FOUND = (Finding(NAMES, "blog: it looks for 'models'"),)
BOTH = State(9, apps={"blog": AppState("b1"), "shop": AppState("s1")})


def with_packages(name: str, **more: str) -> Placement:
    return Placement(environment=name, **more)


def ended(state: State) -> State:
    done = advance(state, [ReplicaView("r1", (goal(state),))])
    assert done is not None
    return done


def test_a_move_is_a_round_in_which_the_release_stays() -> None:
    state = begin(BOTH, [Passed("blog", Deploy("b1", cause=MOVE, placement=ALONE))])
    assert goal(state) == {"blog": "b1@own/greenlets/", "shop": "s1"}
    assert advance(state, [ReplicaView("r1", (goal(BOTH),))]) is None
    done = ended(state)
    assert done.apps["blog"].deploys[0].outcome == "live"
    assert (done.apps["blog"].release, done.apps["blog"].placement) == ("b1", ALONE)


def test_a_move_that_is_turned_back_refuses_no_content() -> None:
    blog = AppState("b1", found=FOUND, refused="b2")
    move = Passed("blog", Deploy("b1", cause=MOVE, placement=ALONE), known=blog.known.mark)
    state = begin(State(9, apps={"blog": blog}), [move])
    turned = advance(state, [ReplicaView("r1", rejected=goal(state), blamed="blog", reason="it does not load")])
    assert turned is not None
    back = turned.apps["blog"]
    assert (back.release, back.placement, back.refused) == ("b1", Placement(), "b2")
    assert not back.is_unplaced, "the same is not tried again"
    assert back.deploys[0].outcome == "reverted"


def test_what_has_a_pool_of_its_own_turns_back_alone_and_the_others_go_on() -> None:
    before = State(9, apps={**BOTH.apps, "blog": AppState("b1", ALONE)})
    passed = [
        Passed("shop", Deploy("s2")),
        *(Passed(app, Deploy(f"{app}2", placement=ALONE)) for app in ("blog", "new")),
    ]
    state = begin(before, passed)
    for app in ("new", "blog"):
        turned = advance(state, [ReplicaView("r1", (goal(before),), goal(state), app, f"{app}: it hangs")])
        assert turned is not None
        assert turned.round is not None
        assert (turned.round.state, app in turned.round.changes) == ("rolling", False)
        assert (turned.apps[app].refused, turned.apps[app].deploys[0].outcome) == (f"{app}2", "reverted")
        assert turned.apps[app].deploys[0].reason == f"{app}: it hangs"
        state = turned
    assert goal(state) == {"blog": "b1@own/greenlets/", "shop": "s2"}
    assert state.apps["shop"].deploys[0].reason == ""
    assert advance(state, [ReplicaView("r1", ({**goal(state), "blog": "blog2"},))]) is None, "r1 has still to go back"
    assert ended(state).apps["shop"].deploys[0].outcome == "live"
    alone = begin(before, passed[1:2])
    turned = advance(alone, [ReplicaView("r1", (goal(before),), goal(alone), "blog", "it hangs")])
    assert turned is not None
    assert turned.round is not None
    assert (turned.round.state, goal(turned)) == ("reverting", goal(before))


def test_who_shared_its_worker_turns_back_with_the_others() -> None:
    state = begin(BOTH, [Passed("shop", Deploy("s2")), Passed("blog", Deploy("b1", cause=MOVE, placement=ALONE))])
    turned = advance(state, [ReplicaView("r1", (goal(BOTH),), goal(state), "blog", "it hangs")])
    assert turned is not None
    assert goal(turned) == goal(BOTH)


def test_what_is_known_is_placed_once() -> None:
    blog = AppState("b1", found=FOUND)
    assert blog.is_unplaced
    state = State(9, apps={"blog": blog})
    mark = blog.known.mark
    assert not stay(state, "blog", mark).apps["blog"].is_unplaced
    assert stay(state, "blog", "").apps["blog"].is_unplaced, "more is known by now"
    failed = stay(state, "blog", mark, Deploy("b1", step="load", reason="it does not load")).apps["blog"]
    assert (failed.is_unplaced, failed.deploys[0].outcome, failed.refused) == (False, "failed", "")
    moved = begin(state, [Passed("blog", Deploy("b1", cause=MOVE, placement=ALONE), known=mark)]).apps["blog"]
    assert not moved.is_unplaced
    assert not AppState("b1").is_unplaced
    assert not AppState(found=FOUND).is_unplaced, "nothing of it is served"


def test_further_packages_are_a_round_of_all_who_share() -> None:
    state = State(9, apps={**BOTH.apps, "own": AppState("o1", ALONE)})
    state = begin(state, [Passed("new", Deploy("n1", placement=with_packages("e1")))])
    assert state.round is not None
    assert set(state.round.changes) == {"blog", "shop", "new"}
    assert goal(state) == {
        "blog": "b1@shared/greenlets/e1",
        "shop": "s1@shared/greenlets/e1",
        "new": "n1@shared/greenlets/e1",
        "own": "o1@own/greenlets/",
    }
    assert environment(state) == "e1"
    turned = advance(state, [ReplicaView("r1", rejected=goal(state), blamed="new", reason="why")])
    assert turned is not None
    assert goal(turned) == {"blog": "b1", "shop": "s1", "own": "o1@own/greenlets/"}
    assert turned.apps["new"].refused == "n1"
    assert [turned.apps[name].refused for name in ("blog", "shop")] == ["", ""]
    assert goal(ended(state)) == goal(state)


def test_who_was_tried_with_other_packages_is_outdated() -> None:
    state = State(9, apps={"blog": AppState("b1", with_packages("e1"))})

    def passed(app: str, name: str, beneath: str, **more: str) -> Passed:
        return Passed(app, Deploy("x1", placement=with_packages(name), **more), beneath=beneath)

    assert outdated(state, [passed("new", "e1", "e1"), passed("more", "e2", "e1")]) == []
    assert outdated(state, [passed("more", "e2", "e1"), passed("other", "e3", "e1")]) == ["other"]
    assert outdated(state, [passed("more", "e2", "e1"), passed("same", "e2", "e1")]) == []
    assert outdated(state, [passed("late", "", "")]) == ["late"]
    assert outdated(state, [passed("back", "", "", cause=ROLLBACK)]) == []
    assert outdated(state, [Passed("own", Deploy("x1", placement=ALONE)), Passed("gone", Deploy(""))]) == []


def test_a_rollback_takes_the_packages_that_there_are() -> None:
    state = State(9, apps={"blog": AppState("b2", with_packages("e1")), "shop": AppState("s1", with_packages("e1"))})
    state = begin(state, [Passed("blog", Deploy("b1", cause=ROLLBACK), refused="b2")])
    assert goal(state) == {"blog": "b1@shared/greenlets/e1", "shop": "s1@shared/greenlets/e1"}
    assert state.round is not None
    assert set(state.round.changes) == {"blog"}


FURTHER = "shared+werkzeug"


def further(name: str) -> Placement:
    return with_packages(name, pool=FURTHER, cause="requirements")


def test_each_pool_has_packages_of_its_own() -> None:
    state = State(9, apps={**BOTH.apps, "old": AppState("o1", further("e1"))})
    assert (environment(state), environment(state, FURTHER)) == ("", "e1")
    new = Passed("new", Deploy("n1", placement=further("e2")), beneath="e1")
    shop = Passed("shop", Deploy("s2", placement=Placement()), beneath="")
    assert outdated(state, [new, shop]) == []
    state = begin(state, [new, shop])
    assert goal(state) == {
        "blog": "b1",
        "shop": "s2",
        "old": "o1@shared+werkzeug/greenlets/e2",
        "new": "n1@shared+werkzeug/greenlets/e2",
    }
    assert state.round is not None
    assert set(state.round.changes) == {"shop", "old", "new"}
    other = Passed("other", Deploy("x1", placement=further("e3")), beneath="e1")
    assert outdated(ended(state), [other]) == ["other"], "the pool has more by now"


def test_the_first_two_of_a_conflict_do_not_both_make_its_pool() -> None:
    one, two = (Passed(name, Deploy("x1", placement=further(f"e-{name}"))) for name in ("one", "two"))
    assert outdated(BOTH, [one, two]) == ["two"]
    both = goal(begin(BOTH, [one, two]))
    assert both["one"] == "x1@shared+werkzeug/greenlets/e-one"
    assert both["two"] == "x1@shared+werkzeug/greenlets/e-one", "whatever comes, one pool has one environment"


def test_a_release_that_goes_back_to_a_pool_takes_what_that_has_and_else_what_it_had() -> None:
    back = Passed("old", Deploy("o1", cause=ROLLBACK, placement=further("e1")), refused="o2")
    assert goal(begin(BOTH, [back]))["old"] == "o1@shared+werkzeug/greenlets/e1"
    grown = BOTH.with_app("other", AppState("x1", further("e2")))
    assert goal(begin(grown, [back]))["old"] == "o1@shared+werkzeug/greenlets/e2"
