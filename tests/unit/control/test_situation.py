"""What groups of processes have to do with each other: who waits for whom, who is added, ended, put to sleep, woken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hedgerow.control import pools
from hedgerow.control.placement import OWN, Placement
from hedgerow.control.plan import Content
from hedgerow.control.policy import Action, Add, Drain, Sleep, Start, StartKeeper, Stop, Wake
from hedgerow.control.pools import App, Wanted, canary_name, name_of
from hedgerow.control.situation import Situation, decide
from hedgerow.control.views import AddressView, SlotView
from hedgerow.hosting.mounts import Mount

RUN = Path("/run/hedgerow")
BLOG = App("/s/releases/blog/b1/blog", Mount("/blog"))
SHOP = App("/s/releases/shop/s1/shop", Mount("/shop"))
OWN_SHOP = App(SHOP.code, SHOP.mount, Placement(OWN, "operator", "why"))
SHARING, APART = Wanted({"blog": BLOG, "shop": SHOP}), Wanted({"blog": BLOG, "shop": OWN_SHOP})
POOL = name_of("shop")


def group(name: str, content: Content, state: str = "ready", **more: bool) -> AddressView:
    slots = {"a": SlotView(True, False, state, 1.0, 1, content), "b": SlotView()}
    return AddressView(name, True, "a", slots, **more)


def done(
    wanted: Wanted, before: Wanted, *views: AddressView, idle: str = "", gateway: tuple[str, ...] = ()
) -> list[Action]:
    content = pools.of_addresses(wanted, RUN, gateway)
    address = group("8001", pools.of_addresses(before, RUN, gateway))
    seen = Situation(wanted, [address], {view.address: view for view in views}, content, gateway, {idle})
    return decide(seen)


def test_while_nobody_knows_what_is_wanted_only_keepers_are_started() -> None:
    assert decide(Situation(None, [AddressView("8001")])) == [StartKeeper("8001")]


def test_a_move_adds_the_pool_first_and_swaps_the_addresses_when_it_serves() -> None:
    own = pools.of_pools(APART)[POOL]
    goal = pools.of_addresses(APART, RUN)
    assert done(APART, SHARING) == [Add(POOL)]
    assert done(APART, SHARING, AddressView(POOL)) == [StartKeeper(POOL), Start(POOL, "a", own)]
    assert done(APART, SHARING, group(POOL, own, "loading")) == []
    assert done(APART, SHARING, group(POOL, own)) == [Start("8001", "b", goal)]
    assert done(APART, APART, group(POOL, own)) == []


def test_who_sends_to_a_pool_that_is_busy_or_loads_again_is_swapped_for_a_neighbour() -> None:
    own = pools.of_pools(APART)[POOL]
    newer = Wanted({**APART.apps, "blog": App("/s/releases/blog/b2/blog", BLOG.mount)})
    start = Start("8001", "b", pools.of_addresses(newer, RUN))
    assert start in done(newer, APART, group(POOL, own, "loading"))
    assert done(newer, SHARING, group(POOL, own, "loading")) == [], "one that is new has to serve first"


def test_who_is_new_and_has_a_pool_of_its_own_is_waited_for_by_nobody() -> None:
    own, before = pools.of_pools(APART)[POOL], Wanted({"blog": BLOG})
    newer = Wanted({**APART.apps, "blog": App("/s/releases/blog/b2/blog", BLOG.mount)})
    start = Start("8001", "b", pools.of_addresses(newer, RUN))
    assert done(newer, before, group(POOL, own, "loading")) == [start]
    left_out = Wanted({"blog": BLOG}, {"shop": "shop: it ends the worker"})
    assert done(newer, left_out, group(POOL, own, "loading")) == [], "it is down, and tried again"
    shared = Wanted({**newer.apps, "shop": SHOP})
    views = [group(name, pools.of_shared(before)) for name in ("s0", "s1")]
    [swap] = done(shared, before, *views, gateway=("s0", "s1"))
    assert swap == Start("s0", "b", pools.of_shared(shared)), "in a shared pool some may have it, and others not"


def test_a_move_back_ends_the_pool_when_nobody_sends_to_it() -> None:
    own = pools.of_pools(APART)[POOL]
    assert done(SHARING, APART, group(POOL, own)) == [Start("8001", "b", pools.of_addresses(SHARING, RUN))]
    assert done(SHARING, SHARING, group(POOL, own)) == [Drain(POOL, "a")]


def test_what_waits_for_a_pool_that_nobody_serves_and_that_is_wanted_no_more_is_refused() -> None:
    own = pools.of_pools(APART)[POOL]
    without = Wanted({"blog": BLOG}, {"shop": "shop: it ends the worker"})
    dead = AddressView(POOL, True, "a", {"a": SlotView(True, True, for_s=3.0, content=own), "b": SlotView()})
    assert done(without, APART, dead)[1:] == [Stop(POOL, "a"), Start(POOL, "b", Content(behind=True))]
    silent = AddressView(POOL, True, "a", {"a": SlotView(True, for_s=3.0, content=own), "b": SlotView()})
    assert done(without, APART, silent)[1:] == [Start(POOL, "b", Content(behind=True))], "it may be busy"
    assert not done(without, APART, group(POOL, own))[1:], "it serves: nobody is refused"
    refusing = SlotView(True, False, "ready", 1.0, 2, Content(behind=True))
    both = AddressView(POOL, True, "a", {**dead.slots, "b": refusing})
    assert len(done(without, APART, both)) == 1, "once is enough"
    assert done(without, without, both) == [Stop(POOL, "a"), Drain(POOL, "b")]


def test_a_pool_that_is_not_there_keeps_no_cold_address_from_its_start() -> None:
    goal = pools.of_addresses(APART, RUN)
    seen = Situation(APART, [AddressView("8001", True)], {}, goal)
    assert decide(seen) == [Start("8001", "a", goal), Add(POOL)]


def test_the_groups_of_a_shared_pool_take_turns_before_the_addresses() -> None:
    newer = Wanted({"blog": App("/s/releases/blog/b2/blog", BLOG.mount), "shop": SHOP})
    old, new = pools.of_shared(SHARING), pools.of_shared(newer)
    gateway = ("s0", "s1")
    assert done(SHARING, SHARING, gateway=gateway) == [Add("s0"), Add("s1")]
    views = [group(name, old) for name in gateway]
    assert done(SHARING, SHARING, *views, gateway=gateway) == []
    assert done(newer, SHARING, *views, gateway=gateway) == [Start("s0", "b", new)]
    # an app that leaves it stays there until no address sends it there
    own = group(POOL, pools.of_pools(APART)[POOL])
    assert done(APART, SHARING, own, *views, gateway=gateway) == [
        Start("8001", "b", pools.of_addresses(APART, RUN, gateway))
    ]
    assert done(APART, APART, own, *views, gateway=gateway) == [Start("s0", "b", pools.of_shared(APART))]


def test_an_idle_pool_sleeps_until_it_is_asked_or_to_be_another() -> None:
    own = pools.of_pools(APART)[POOL]
    assert done(APART, APART, group(POOL, own), idle=POOL) == [Sleep(POOL)]
    assert done(APART, APART, group(POOL, own, asleep=True), idle=POOL) == [Drain(POOL, "a")]
    gone = AddressView(POOL, True, "a", {"a": SlotView(content=own), "b": SlotView()}, asleep=True)
    assert done(APART, APART, gone) == []
    awake = AddressView(POOL, True, "a", gone.slots)
    assert done(APART, APART, awake) == [Start(POOL, "a")]
    newer = Wanted({"blog": BLOG, "shop": App("/s/releases/shop/s2/shop", SHOP.mount, OWN_SHOP.placement)})
    assert done(newer, newer, gone) == [Wake(POOL)]
    keeperless = AddressView(POOL, False, "a", gone.slots, asleep=True)
    assert done(APART, APART, keeperless) == [StartKeeper(POOL)]
    assert done(SHARING, SHARING, gone) == [Stop(POOL, "c")]


def test_a_canary_s_pool_stays_awake() -> None:
    """The time that it takes to wake would count as its own."""
    canary = pools.Canary("/s/releases/blog/b2/blog", Placement(OWN), "", 10, 7)
    wanted = Wanted({"blog": replace(BLOG, canary=canary)})
    pool = canary_name("blog")
    assert done(wanted, wanted, group(pool, pools.of_pools(wanted)[pool]), idle=pool) == []
