"""From what is wanted of apps to what groups of processes load, and back to what the round is told."""

from __future__ import annotations

from pathlib import Path

from hedgerow.control import pools
from hedgerow.control.placement import OWN, THREADS, Placement
from hedgerow.control.plan import Content, Forward
from hedgerow.control.policy import AddressView, Drain, Remove, SlotView, Stop
from hedgerow.control.pools import App, Wanted, name_of
from hedgerow.control.rounds import NOT_READY
from hedgerow.hosting.mounts import Mount

RUN = Path("/run/hedgerow")
BLOG = App("/s/releases/blog/b1/blog", Mount("/blog"))
SHOP = App("/s/releases/shop/s1/shop", Mount("", "shop.test"), Placement(OWN, "operator", "why"))
ASYNC = App("/s/releases/asy/a1/asy", Mount("/asy"), Placement(OWN, "manifest", "why", THREADS, "e0"))
WANTED = Wanted({"blog": BLOG, "shop": SHOP, "asy": ASYNC}, {"bad": "bad: no entry"})


def group(name: str, content: Content | None, ready: bool = True) -> AddressView:
    slot = SlotView(True, False, "ready" if ready else "loading", 1.0, 1, content)
    return AddressView(name, True, "a", {"a": slot, "b": SlotView()})


def own(ready: bool = True) -> dict[str, AddressView]:
    return {name: group(name, content, ready) for name, content in pools.of_pools(WANTED).items()}


def test_addresses_load_what_shares_and_send_on_the_rest() -> None:
    content = pools.of_addresses(WANTED, RUN)
    assert content.apps == {"blog": BLOG.code}
    assert content.broken == WANTED.broken
    assert content.forwards["shop"] == Forward("", "shop.test", (f"/run/hedgerow/{name_of('shop')}.http",))
    assert not content.behind
    assert pools.of_pools(WANTED) == {
        name_of("shop"): Content({"shop": SHOP.code}, behind=True, alone=True),
        name_of("asy"): Content({"asy": ASYNC.code}, behind=True, alone=True, concurrency=THREADS, environment="e0"),
    }


def test_a_new_release_of_an_app_in_its_own_pool_changes_nothing_at_the_addresses() -> None:
    newer = Wanted({**WANTED.apps, "shop": App("/s/releases/shop/s2/shop", SHOP.mount, SHOP.placement)}, WANTED.broken)
    assert pools.of_addresses(newer, RUN) == pools.of_addresses(WANTED, RUN)
    assert pools.of_pools(newer) != pools.of_pools(WANTED)


def test_a_pool_has_a_short_name_that_tells_it_from_addresses() -> None:
    names = {name_of(app) for app in ("blog", "b" * 250, "größe", "a/b")}
    assert len(names) == 4
    assert {len(name) for name in names} == {11}
    processes = [f"{name}:a" for name in names] + ["8001:a", "deployer", "nginx", "p1:a"]
    assert set(pools.groups(processes)) == names


def test_an_address_runs_what_it_loads_and_what_its_pools_do() -> None:
    address = group("8001", pools.of_addresses(WANTED, RUN))
    assert pools.runs(address, own()) == WANTED.keys
    assert WANTED.keys == {"blog": "b1", "shop": "s1@own/greenlets/", "asy": "a1@own/threads/e0"}
    assert pools.runs(address, own(ready=False)) == NOT_READY
    assert pools.runs(address, {}) == NOT_READY
    assert pools.runs(group("8001", pools.of_addresses(WANTED, RUN), ready=False), own()) == NOT_READY


def test_what_sends_to_pools_waits_for_them() -> None:
    content = pools.of_addresses(WANTED, RUN)
    assert pools.serve(content, own())
    assert not pools.serve(content, own(ready=False))
    assert not pools.serve(content, {})
    assert pools.serve(Content({"blog": BLOG.code}), {})


def test_a_pool_is_in_use_while_a_worker_may_send_to_it() -> None:
    both, none = pools.of_addresses(WANTED, RUN), Content({"blog": BLOG.code})
    assert pools.in_use([group("8001", both)]) == {name_of("shop"), name_of("asy")}
    assert pools.in_use([group("8001", none)]) == set()
    leaving = SlotView(True, False, "draining", 1.0, 1, both)
    going = AddressView("8001", True, "b", {"a": leaving, "b": SlotView(True, False, "ready", 1.0, 2, none)})
    assert pools.in_use([going]) == {name_of("shop"), name_of("asy")}
    gone = AddressView("8001", True, "b", {"a": SlotView(content=both), "b": going.slots["b"]})
    assert pools.in_use([gone]) == set()


def test_the_end_of_a_pool() -> None:
    ready = SlotView(True, False, "ready", 1.0, 1, Content())
    assert pools.retire(AddressView("p1", True, "a", {"a": ready, "b": SlotView()})) == [Drain("p1", "a")]
    going = SlotView(True, False, "draining", 1.0, 1, Content())
    assert pools.retire(AddressView("p1", True, "a", {"a": going, "b": SlotView()})) == []
    loading = SlotView(True, False, "loading", 1.0, 1, Content())
    assert pools.retire(AddressView("p1", True, "a", {"a": going, "b": loading})) == [Stop("p1", "b")]
    assert pools.retire(AddressView("p1", True, "a", {"a": SlotView(), "b": SlotView()})) == [Stop("p1", "c")]
    assert pools.retire(AddressView("p1", False, "a", {"a": SlotView(), "b": SlotView()})) == [Remove("p1")]
