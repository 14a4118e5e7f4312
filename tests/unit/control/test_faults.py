"""What a replica cannot run."""

from __future__ import annotations

import dataclasses

from hedgerow.control.faults import Faults
from hedgerow.control.placement import Placement
from hedgerow.control.plan import Content
from hedgerow.control.pools import App, Wanted
from hedgerow.control.rounds import NOT_READY
from hedgerow.hosting.mounts import Mount


def app(name: str, release: str) -> App:
    return App(f"/s/releases/{name}/{release}/{name}", Mount(f"/{name}"))


BOTH = Wanted({"blog": app("blog", "b1"), "shop": app("shop", "s1")})


def test_a_left_out_release_is_not_loaded_until_another_one_is_wanted() -> None:
    faults = Faults()
    assert faults.without(BOTH) == BOTH
    assert faults.leave_out(BOTH, "blog", None, "blog: it hangs")
    assert faults.without(BOTH) == Wanted({"shop": BOTH.apps["shop"]}, {"blog": "blog: it hangs"})
    assert faults.troubles == {"blog": "blog: it hangs"}
    newer = Wanted({**BOTH.apps, "blog": app("blog", "b2")})
    assert faults.without(newer) == newer
    assert faults.troubles == {}
    assert faults.without(BOTH) == BOTH, "it may be tried again, since something has changed"


def test_a_left_out_release_is_tried_again_when_its_deploy_is_ordered() -> None:
    faults = Faults()
    assert faults.leave_out(BOTH, "blog", None, "blog: it hangs")
    assert faults.left_out == {"blog": (0, "blog: it hangs")}
    neighbour = Wanted({**BOTH.apps, "shop": dataclasses.replace(BOTH.apps["shop"], ordered=7)})
    left = faults.without(neighbour)
    assert left is not None
    assert "blog" not in left.apps, "another's order is not its own"
    ordered = Wanted({**BOTH.apps, "blog": dataclasses.replace(BOTH.apps["blog"], ordered=7)})
    assert faults.without(ordered) == ordered
    assert faults.leave_out(ordered, "blog", None, "blog: it hangs")
    assert faults.left_out == {"blog": (7, "blog: it hangs")}
    assert faults.without(ordered) != ordered, "an order is for once"


def test_the_release_that_runs_is_kept_instead() -> None:
    faults = Faults()
    assert faults.leave_out(BOTH, "blog", "/s/releases/blog/b0/blog", "blog: it hangs")
    found = faults.without(BOTH)
    assert found is not None
    assert found.apps["blog"] == app("blog", "b0")
    assert found.broken == {}


def test_what_is_not_wanted_cannot_be_left_out() -> None:
    assert not Faults().leave_out(BOTH, "other", None, "why")


def test_a_rejection_is_told_by_releases() -> None:
    faults = Faults()
    assert faults.told == (None, "", "")
    faults.reject(BOTH, Content({"blog": "/s/releases/blog/b1/blog"}), "it hangs", "blog")
    assert faults.told == ({"blog": "b1", "shop": "s1"}, "blog", "it hangs")
    faults.forget_rejection()
    assert faults.told == (None, "", "")
    assert faults.rejected is None


def test_what_is_left_out_counts_as_run_for_a_round() -> None:
    faults = Faults()
    assert faults.leave_out(BOTH, "blog", None, "blog: it hangs")
    found = faults.without(BOTH)
    assert found is not None
    assert faults.as_told(found.keys) == faults.as_told(BOTH.keys) == {"blog": "b1", "shop": "s1"}
    assert faults.as_told(NOT_READY) == NOT_READY
    faults.reject(found, Content(), "why")
    assert faults.told[0] == {"blog": "b1", "shop": "s1"}


def test_who_has_no_python_is_left_out_until_it_has_one_and_who_runs_already_goes_on() -> None:
    gone = {"e1"}

    def trouble(environment: str) -> str:
        return "its Python is gone" if environment in gone else ""

    apps = {name: App("/r/1/x", Mount(f"/{name}"), Placement(environment=of)) for name, of in (("a", "e1"), ("b", ""))}
    wanted, faults = Wanted(apps), Faults()
    assert faults.mind(None, trouble) == []
    assert faults.mind(wanted, trouble) == ["a: its Python is gone; it is left out until it has one"]
    assert faults.mind(wanted, trouble) == [], "it is told once"
    left = faults.without(wanted)
    assert left is not None
    assert (set(left.apps), left.broken) == ({"b"}, {"a": "a: its Python is gone"})
    assert faults.as_told(left.keys) == wanted.keys, "a round does not wait for it"
    ordered = Wanted({**apps, "a": dataclasses.replace(apps["a"], ordered=7)})
    assert faults.mind(ordered, trouble) == []
    assert faults.without(ordered) == left, "an order does not bring its Python"
    assert faults.left_out["a"][0] == 7, "and is answered"
    gone.clear()
    assert faults.mind(wanted, trouble) == []
    assert faults.without(wanted) == wanted
    gone.add("e1")
    assert faults.mind(wanted, trouble) == []
    assert faults.without(wanted) == wanted, "it is not new: its worker runs"
