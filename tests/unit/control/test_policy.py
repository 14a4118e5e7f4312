"""The deployer's policy: each state of the table with its actions, and a simulated world that must always calm down."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgerow.control.plan import Content, other_slot
from hedgerow.control.policy import (
    AGAIN_S,
    DRAIN_MARGIN_S,
    SILENT_LIMIT_S,
    Action,
    Activate,
    Blame,
    Drain,
    Observation,
    Reject,
    Start,
    StartKeeper,
    Stop,
    decide,
)
from hedgerow.control.views import CRASH_LIMIT_S, SWAP_LIMIT_S, AddressView, SlotView

OLD, NEW = Content({"blog": "/releases/1"}), Content({"blog": "/releases/2"})


def ready(generation: int, content: Content = NEW, for_s: float = 5.0) -> SlotView:
    return SlotView(True, False, "ready", for_s, generation, content)


def loading(generation: int, content: Content = NEW, for_s: float = 1.0, failing: bool = False) -> SlotView:
    return SlotView(True, failing, "loading", for_s, generation, content)


def going(generation: int, content: Content = OLD, for_s: float = 1.0) -> SlotView:
    return SlotView(True, False, "draining", for_s, generation, content)


def importing(view: SlotView) -> SlotView:
    """The same slot, which says that it is loading the app blog."""
    return replace(view, importing="blog")


def loads(view: SlotView, for_s: float) -> SlotView:
    """The same slot, which has been loading the app blog for so long."""
    return replace(view, importing="blog", importing_s=for_s)


def worn(view: SlotView) -> SlotView:
    """The same slot, which says that another is to take over."""
    return replace(view, worn="memory")


def without(view: SlotView, *down: str) -> SlotView:
    """The same slot, which could not load these apps."""
    return replace(view, down=frozenset(down))


def stopped(generation: int = 0, content: Content | None = None, for_s: float = 0.0) -> SlotView:
    return SlotView(generation=generation, content=content, for_s=for_s)


# what is seen in the active slot a, in the other slot b → the state's name, what is done
TABLE: list[tuple[str, SlotView, SlotView, str, list[Action]]] = [
    ("cold, first start", stopped(), stopped(), "cold", [Start("1", "a", NEW)]),
    ("cold, same content", stopped(1, NEW), stopped(), "cold", [Start("1", "a")]),
    ("cold, newer content", stopped(1, OLD), stopped(), "cold", [Start("1", "a", NEW)]),
    ("steady", ready(1), stopped(), "single", []),
    ("steady, still loading", loading(1), stopped(), "single", []),
    ("steady, crashing", loading(1, failing=True), stopped(), "single", []),
    ("going, and asked again", going(1, NEW), stopped(), "single", [Start("1", "b", NEW)]),
    ("stale", ready(1, OLD), stopped(), "single", [Start("1", "b", NEW)]),
    ("worn", worn(ready(1)), stopped(), "single", [Start("1", "b", NEW, "memory")]),
    ("worn, and stale", worn(ready(1, OLD)), stopped(), "single", [Start("1", "b", NEW)]),
    (
        "worn, and took over from such a one",
        worn(ready(2)),
        stopped(1, NEW),
        "single",
        [Start("1", "b", NEW, "memory")],
    ),
    ("worn, swapping", worn(ready(1)), loading(2), "swapping", []),
    ("worn, turning", worn(ready(1)), ready(2), "turning", [Activate("1", "b"), Drain("1", "a")]),
    ("worn, and was", ready(2), worn(going(1, NEW)), "draining", []),
    (
        "worn, the new one never gets ready",
        worn(ready(1)),
        loading(2, for_s=SWAP_LIMIT_S),
        "swapping",
        [Stop("1", "b")],
    ),
    ("worn, stuck in blog", worn(ready(1)), importing(loading(2, for_s=SWAP_LIMIT_S)), "swapping", [Stop("1", "b")]),
    ("worn, busy, stuck", loading(1), importing(loading(2, for_s=SWAP_LIMIT_S)), "swapping", [Stop("1", "b")]),
    ("worn, and blog ends the new one", worn(ready(1)), importing(stopped(2, NEW)), "single", []),
    ("worn, blog is down now", worn(ready(1)), without(ready(2), "blog"), "turning", [Stop("1", "b")]),
    (
        "worn, blog was down already",
        worn(without(ready(1), "blog")),
        without(ready(2), "blog"),
        "turning",
        [Activate("1", "b"), Drain("1", "a")],
    ),
    (
        "stale, blog is down now",
        ready(1, OLD),
        without(ready(2), "blog"),
        "turning",
        [Activate("1", "b"), Drain("1", "a")],
    ),
    ("worn, just not replaced", worn(ready(1)), stopped(2, NEW, AGAIN_S - 1), "single", []),
    ("worn, tried again", worn(ready(1)), stopped(2, NEW, AGAIN_S), "single", [Start("1", "b", NEW, "memory")]),
    ("stale, still loading", loading(1, OLD), stopped(), "single", []),
    ("stale, crashing", loading(1, OLD, failing=True), stopped(), "single", [Start("1", "b", NEW)]),
    ("stale, loading for ever", loading(1, OLD, SWAP_LIMIT_S), stopped(), "single", [Start("1", "b", NEW)]),
    ("swapping", ready(1, OLD), loading(2), "swapping", []),
    ("swapping, too long", ready(1, OLD), loading(2, NEW, SWAP_LIMIT_S), "swapping", [Stop("1", "b"), Reject(NEW)]),
    ("swapping, being stopped", ready(1, OLD), going(2, NEW), "swapping", []),
    ("swapping, active gave up", stopped(1, OLD), loading(2), "swapping", [Start("1", "a")]),
    ("cold, blog ended the worker", importing(stopped(1, NEW)), stopped(), "cold", [Blame("1", "a", "blog")]),
    ("cold, blog is another one now", importing(stopped(1, OLD)), stopped(), "cold", [Start("1", "a", NEW)]),
    ("steady, loading blog", importing(loading(1)), stopped(), "single", []),
    ("slow, but another app each time", loads(loading(1, NEW, 9 * SWAP_LIMIT_S), 2.0), stopped(), "single", []),
    ("swap, slow, another app each time", ready(1, OLD), loads(loading(2, NEW, 9 * SWAP_LIMIT_S), 2.0), "swapping", []),
    ("stuck in blog", importing(loading(1, NEW, SWAP_LIMIT_S)), stopped(), "single", [Blame("1", "a", "blog")]),
    ("blog crashes it once", importing(loading(1, failing=True)), stopped(), "single", []),
    ("blog ends it", importing(loading(1, NEW, CRASH_LIMIT_S, True)), stopped(), "single", [Blame("1", "a", "blog")]),
    ("without blog", importing(loading(1, OLD, SWAP_LIMIT_S)), stopped(), "single", [Start("1", "b", NEW)]),
    (
        "swapping, stuck in blog",
        ready(1, OLD),
        importing(loading(2, NEW, SWAP_LIMIT_S)),
        "swapping",
        [Blame("1", "b", "blog", "/releases/1"), Stop("1", "b")],
    ),
    ("swap, exit 0", ready(1, OLD), importing(stopped(2, NEW)), "single", [Blame("1", "b", "blog", "/releases/1")]),
    ("swapping, turned back", ready(1), loading(2, OLD), "swapping", [Stop("1", "b")]),
    ("swapping, turned back, told", ready(1), going(2), "swapping", []),
    ("turning, turned back", ready(1), ready(2, OLD), "turning", [Stop("1", "b")]),
    ("turning, active gone, outdated", stopped(1), ready(2, OLD), "turning", [Activate("1", "b")]),
    ("turning", ready(1, OLD), ready(2), "turning", [Activate("1", "b"), Drain("1", "a")]),
    ("turning, active gone", stopped(1, OLD), ready(2), "turning", [Activate("1", "b")]),
    ("turning, active crashes", loading(1, OLD), ready(2), "turning", [Activate("1", "b"), Stop("1", "a")]),
    ("draining, not heard", ready(2), ready(1, OLD), "draining", [Drain("1", "b")]),
    ("draining", ready(2), going(1), "draining", []),
    ("draining, too long", ready(2), going(1, OLD, 45.0 + DRAIN_MARGIN_S), "draining", [Stop("1", "b")]),
    ("draining, gone in its first second", ready(2), loading(1, OLD, failing=True), "draining", [Stop("1", "b")]),
    ("draining, but the new one does not serve", loading(2), ready(1, OLD), "draining", []),
    (
        "draining, crashed and was started again",
        ready(2),
        loading(1, OLD, SILENT_LIMIT_S),
        "draining",
        [Stop("1", "b")],
    ),
    ("draining, does not answer just now", ready(2), loading(1, OLD), "draining", []),
]


@pytest.mark.parametrize(
    ("active", "other", "state", "actions"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_the_table(active: SlotView, other: SlotView, state: str, actions: list[Action]) -> None:
    view = AddressView("1", True, "a", {"a": active, "b": other})
    assert view.state == state
    assert decide(Observation((view,), NEW)) == actions


def test_a_keeper_comes_before_its_slot() -> None:
    assert decide(Observation((AddressView("1"),), NEW)) == [StartKeeper("1"), Start("1", "a", NEW)]


def test_while_nobody_knows_what_is_wanted_only_keepers_are_started() -> None:
    running = AddressView("2", True, "a", {"a": ready(1, OLD), "b": stopped()})
    assert decide(Observation((AddressView("1"), running), None)) == [StartKeeper("1")]


def test_a_lost_keeper_comes_back_without_touching_the_slots() -> None:
    view = AddressView("1", False, "a", {"a": ready(1), "b": stopped()})
    assert decide(Observation((view,), NEW)) == [StartKeeper("1")]


def test_one_address_swaps_at_a_time() -> None:
    stale = {"a": ready(1, OLD), "b": stopped()}
    views = tuple(AddressView(name, True, "a", stale) for name in "123")
    assert decide(Observation(views, NEW)) == [Start("1", "b", NEW)]
    swapping = AddressView("0", True, "a", {"a": ready(1, OLD), "b": loading(2)})
    assert decide(Observation((*views, swapping), NEW)) == []
    draining = AddressView("0", True, "b", {"a": going(1), "b": ready(2)})
    assert decide(Observation((draining, *views), NEW)) == [Start("1", "b", NEW)]


def test_one_address_recycles_at_a_time() -> None:
    tired = {"a": worn(ready(1)), "b": stopped()}
    views = tuple(AddressView(name, True, "a", tired) for name in "123")
    assert decide(Observation(views, NEW)) == [Start("1", "b", NEW, "memory")]


def test_rejected_content_is_not_tried_again_and_what_ran_is_started_again() -> None:
    steady = AddressView("1", True, "a", {"a": ready(1, OLD), "b": stopped(2, NEW)})
    assert decide(Observation((steady,), NEW, rejected=NEW)) == []
    cold = AddressView("1", True, "a", {"a": stopped(1, OLD), "b": stopped(2, NEW)})
    assert decide(Observation((cold,), NEW, rejected=NEW)) == [Start("1", "a")]


@dataclass
class Slot:
    """A slot of the simulated machine."""

    alive: bool = False
    state: str = "loading"
    since: float = 0.0
    generation: int = 0
    content: Content | None = None
    worn: str = ""
    down: frozenset[str] = frozenset()


@dataclass
class World:
    """A machine that does what it is told, with workers that become ready, crash and drain as chance has it."""

    count: int
    now: float = 0.0
    wanted: Content = OLD
    rejected: Content | None = None
    keepers: dict[str, bool] = field(default_factory=dict)
    active: dict[str, str] = field(default_factory=dict)
    slots: dict[tuple[str, str], Slot] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for address in self.addresses:
            self.keepers[address], self.active[address] = False, "a"
            self.slots |= {(address, slot): Slot() for slot in "ab"}

    @property
    def addresses(self) -> list[str]:
        return [str(number) for number in range(self.count)]

    def ready(self, address: str) -> int:
        return sum(slot.alive and slot.state == "ready" for (name, _), slot in self.slots.items() if name == address)

    def view(self, address: str) -> AddressView:
        views = {}
        for name in "ab":
            slot = self.slots[address, name]
            for_s = self.now - slot.since
            told = {"worn": slot.worn, "down": slot.down} if slot.state != "loading" else {}
            views[name] = SlotView(slot.alive, False, slot.state, for_s, slot.generation, slot.content, **told)
        return AddressView(address, self.keepers[address], self.active[address], views)

    def round(self) -> list[Action]:
        """One round of the deployer. What it does must never take a serving slot from an address that has no other."""
        views = tuple(self.view(address) for address in self.addresses)
        actions = decide(Observation(views, self.wanted, self.rejected))
        # One that turns is done with this round; one whose new worker has gone while the old one drains is no swap.
        swaps = [view.address for view in views if view.state == "swapping" and view.current.alive]
        starts = [action.address for action in actions if isinstance(action, Start)]
        assert len({*swaps, *(a for a in starts if self.ready(a))}) <= 1
        for action in actions:
            self.do(action)
        return actions

    def do(self, action: Action) -> None:
        match action:
            case StartKeeper(address):
                assert not self.keepers[address]
                self.keepers[address] = True
            case Start(address, name, content):
                slot = self.slots[address, name]
                assert not slot.alive, "a slot that runs is never started"
                assert self.keepers[address], "no slot without its keeper"
                if content is not None:
                    slot.content = content
                    slot.generation = 1 + max(self.slots[address, other].generation for other in "ab")
                slot.alive, slot.state, slot.since = True, "loading", self.now
                slot.worn, slot.down = "", frozenset()
            case Activate(address, name):
                slot, old = self.slots[address, name], self.slots[address, other_slot(name)]
                nobody_waits = old.alive and old.state == "ready" and old.content == slot.content
                assert not nobody_waits or slot.down <= old.down, "no app goes down for who is worn"
                self.active[address] = name
            case Drain(address, name):
                assert self.slots[address, other_slot(name)].state == "ready", "who drains is replaced"
                self.change(address, name, "draining")
            case Stop(address, name):
                was = self.slots[address, name]
                assert was.state != "ready" or self.ready(address) > 1
                was.alive = False
            case Reject(content):
                self.rejected = content

    def change(self, address: str, name: str, state: str) -> None:
        slot = self.slots[address, name]
        slot.state, slot.since = state, self.now

    def event(self, kind: str, address: str, name: str) -> None:
        slot = self.slots[address, name]
        if kind == "time":
            self.now += 1
        elif kind == "long time":
            self.now += SWAP_LIMIT_S
        elif kind == "change":
            self.wanted, self.rejected = Content({"blog": f"/releases/{self.now}-{address}{name}"}), None
        elif kind == "keeper lost":
            self.keepers[address] = False
        elif not slot.alive:
            return
        elif kind == "ready" and slot.state == "loading":
            self.change(address, name, "ready")
        elif kind == "ready without blog" and slot.state == "loading":
            slot.down = frozenset({"blog"})
            self.change(address, name, "ready")
        elif kind == "worn" and slot.state == "ready":
            slot.worn = "memory"
        elif kind == "crash":  # supervisord starts it again
            slot.worn, slot.down = "", frozenset()
            self.change(address, name, "loading")
        elif kind == "gave up" or (kind == "drained" and slot.state == "draining"):
            slot.alive = False


EVENTS = (
    "time", "long time", "change", "keeper lost", "ready", "ready", "ready without blog", "worn", "crash", "gave up",
    "drained",
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 2), st.sampled_from("ab")), max_size=60),
)
def test_whatever_happens_nothing_served_is_taken_away_and_all_calms_down(
    count: int, events: list[tuple[str, int, str]]
) -> None:
    """In each round only replaced slots go. Left alone, all is soon steady with the newest content."""
    world = World(count)
    for kind, number, name in events:
        world.event(kind, str(number % count), name)
        world.round()
    world.rejected = None
    for _ in range(40 * count):
        world.now += 1
        quiet = not world.round()
        moved = False
        for (address, name), slot in world.slots.items():
            if slot.alive and slot.state in ("loading", "draining"):
                world.event("ready" if slot.state == "loading" else "drained", address, name)
                moved = True
        if quiet and not moved:
            break
    for address in world.addresses:
        view = world.view(address)
        assert view.state == "single"
        assert view.current.ready
        assert view.current.content == world.wanted
