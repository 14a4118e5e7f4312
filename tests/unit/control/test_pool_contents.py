"""From what is wanted of apps to what groups of processes load, and back to what the round is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hedgerow.control import gateway, pools, serving
from hedgerow.control.placement import OWN, THREADS, Placement
from hedgerow.control.plan import CanaryForward, Content, Forward
from hedgerow.control.policy import Drain, Remove, Stop
from hedgerow.control.pools import App, Wanted, name_of
from hedgerow.control.rounds import LOADING, NOT_READY
from hedgerow.control.views import AddressView, SlotView
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
        name_of("shop"): Content({"shop": SHOP.code}, behind=True, pool=OWN),
        name_of("asy"): Content({"asy": ASYNC.code}, behind=True, pool=OWN, concurrency=THREADS, environment="e0"),
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
    assert serving.runs(address, own()) == WANTED.keys
    assert WANTED.keys == {"blog": "b1", "shop": "s1@own/greenlets/", "asy": "a1@own/threads/e0"}
    late = {"blog": "b1", "shop": LOADING, "asy": LOADING}
    assert serving.runs(address, own(ready=False)) == late
    assert serving.runs(address, {}) == late
    assert serving.runs(group("8001", pools.of_addresses(WANTED, RUN), ready=False), own()) == NOT_READY


def test_what_sends_to_pools_waits_for_them() -> None:
    content = pools.of_addresses(WANTED, RUN)
    assert serving.serve(content, own())
    assert not serving.serve(content, own(ready=False))
    assert not serving.serve(content, {})
    assert serving.serve(Content({"blog": BLOG.code}), {})
    without = {name: group(name, Content(behind=True)) for name in own()}
    assert not serving.serve(content, without), "they do not have the apps yet"


def test_a_pool_is_in_use_while_a_worker_may_send_to_it() -> None:
    both, none = pools.of_addresses(WANTED, RUN), Content({"blog": BLOG.code})
    assert serving.in_use([group("8001", both)]) == {name_of("shop"), name_of("asy")}
    assert serving.in_use([group("8001", none)]) == set()
    leaving = SlotView(True, False, "draining", 1.0, 1, both)
    going = AddressView("8001", True, "b", {"a": leaving, "b": SlotView(True, False, "ready", 1.0, 2, none)})
    assert serving.in_use([going]) == {name_of("shop"), name_of("asy")}
    gone = AddressView("8001", True, "b", {"a": SlotView(content=both), "b": going.slots["b"]})
    assert serving.in_use([gone]) == set()


def test_the_end_of_a_pool() -> None:
    ready = SlotView(True, False, "ready", 1.0, 1, Content())
    assert serving.retire(AddressView("p1", True, "a", {"a": ready, "b": SlotView()})) == [Drain("p1", "a")]
    going = SlotView(True, False, "draining", 1.0, 1, Content())
    assert serving.retire(AddressView("p1", True, "a", {"a": going, "b": SlotView()})) == []
    loading = SlotView(True, False, "loading", 1.0, 1, Content())
    assert serving.retire(AddressView("p1", True, "a", {"a": going, "b": loading})) == [Stop("p1", "b")]
    assert serving.retire(AddressView("p1", True, "a", {"a": SlotView(), "b": SlotView()})) == [Stop("p1", "c")]
    assert serving.retire(AddressView("p1", False, "a", {"a": SlotView(), "b": SlotView()})) == [Remove("p1")]


GATEWAY = ["s0", "s1"]


def test_behind_a_gateway_the_shared_pool_is_groups_of_its_own() -> None:
    content = pools.of_addresses(WANTED, RUN, GATEWAY)
    assert (content.apps, content.environment, content.broken) == ({}, "", WANTED.broken)
    assert content.forwards["blog"] == Forward("/blog", "", ("/run/hedgerow/s0.http", "/run/hedgerow/s1.http"))
    shared = pools.of_shared(WANTED)
    assert shared == Content({"blog": BLOG.code}, behind=True)
    views = own() | {name: group(name, shared) for name in GATEWAY}
    address = group("8001", content)
    assert serving.runs(address, views) == WANTED.keys
    assert serving.serve(content, views)
    newer = dataclasses.replace(shared, apps={"blog": "/s/releases/blog/b2/blog"})
    assert serving.runs(address, views | {"s1": group("s1", newer)})["blog"] == serving.MIXED
    assert serving.runs(address, views | {"s1": group("s1", newer, ready=False)})["blog"] == LOADING
    assert serving.in_use([address]) == {*own(), *GATEWAY}


def test_the_shared_pool_keeps_what_is_still_sent_to_it() -> None:
    before = Wanted({"blog": BLOG, "shop": App(SHOP.code, SHOP.mount)})
    old, shared = pools.of_addresses(before, RUN, GATEWAY), pools.of_shared(before)
    views = {name: group(name, shared) for name in GATEWAY}
    wanted = pools.of_shared(Wanted({"blog": BLOG, "shop": SHOP}))
    assert serving.with_guests(wanted, GATEWAY, [group("8001", old)], views).apps == {
        "blog": BLOG.code,
        "shop": SHOP.code,
    }
    new = pools.of_addresses(Wanted({"blog": BLOG, "shop": SHOP}), RUN, GATEWAY)
    assert serving.with_guests(wanted, GATEWAY, [group("8001", new)], views) == wanted
    newer = pools.of_shared(Wanted({"blog": App("/s/releases/blog/b2/blog", BLOG.mount)}))
    assert serving.with_guests(newer, GATEWAY, [group("8001", old)], views).apps["blog"] == "/s/releases/blog/b2/blog"


FURTHER = "shared+werkzeug"
OLD = Placement(FURTHER, "requirements", "why", environment="e1")
OLDER = {name: App(f"/s/releases/{name}/r1/{name}", Mount(f"/{name}"), OLD) for name in ("ledger", "wiki")}
GROUP = pools.further_name(FURTHER)


def test_apps_of_one_conflict_are_one_group_beside_the_others() -> None:
    wanted = Wanted({**WANTED.apps, **OLDER})
    assert pools.of_addresses(wanted, RUN).apps == {"blog": BLOG.code}
    assert pools.of_addresses(wanted, RUN).forwards["wiki"] == Forward("/wiki", "", (f"/run/hedgerow/{GROUP}.http",))
    apps = {name: app.code for name, app in OLDER.items()}
    found = pools.of_pools(wanted)
    assert found[GROUP] == Content(apps, behind=True, pool=FURTHER, environment="e1")
    assert not found[GROUP].alone
    assert len(found) == 3
    assert pools.groups([f"{GROUP}:a"]) == [GROUP]
    assert (pools.has_neighbours(GROUP), pools.is_shared(GROUP)) == (True, False)
    views = {name: group(name, content) for name, content in found.items()}
    address = group("8001", pools.of_addresses(wanted, RUN))
    assert serving.runs(address, views) == wanted.keys
    assert wanted.keys["wiki"] == "r1@shared+werkzeug/greenlets/e1"


def test_an_app_that_leaves_such_a_group_stays_until_nobody_sends_it_there() -> None:
    before, after = Wanted(OLDER), Wanted({**OLDER, "wiki": App(OLDER["wiki"].code, Mount("/wiki"))})
    old, new = (pools.of_addresses(one, RUN) for one in (before, after))
    views = {GROUP: group(GROUP, pools.of_pools(before)[GROUP])}
    rest = pools.of_pools(after)[GROUP]
    assert set(rest.apps) == {"ledger"}
    assert set(serving.with_guests(rest, [GROUP], [group("8001", old)], views).apps) == {"ledger", "wiki"}
    assert serving.with_guests(rest, [GROUP], [group("8001", new)], views) == rest
    assert serving.runs(group("8001", new), views) == after.keys, "what it keeps is not what the address runs"


def test_a_pool_that_sleeps_serves() -> None:
    address = group("8001", pools.of_addresses(WANTED, RUN))
    asleep = {
        name: AddressView(name, True, "a", {"a": SlotView(content=content), "b": SlotView()}, asleep=True)
        for name, content in pools.of_pools(WANTED).items()
    }
    assert serving.runs(address, asleep) == WANTED.keys
    assert serving.serve(pools.of_addresses(WANTED, RUN), asleep)


@pytest.mark.parametrize(
    ("setting", "strict", "lost", "is_so", "wanted"),
    [
        ("false", True, 9, True, False),
        ("true", False, 0, False, True),
        ("auto", False, 0, False, False),
        ("auto", False, 1, False, False),
        ("auto", False, 2, False, True),
        ("auto", True, 0, False, True),
        ("auto", False, 0, True, True),
    ],
)
def test_when_the_addresses_are_a_gateway(setting: str, strict: bool, lost: int, is_so: bool, wanted: bool) -> None:
    apps = Wanted({"blog": BLOG, "shop": dataclasses.replace(SHOP, strict=strict)})
    assert gateway.is_wanted(setting, apps, lost, is_so) == wanted


def test_a_canary_begins_when_no_worker_is_left_that_knows_of_none() -> None:
    """On a connection that the front has kept it answers as before, also who belongs to the new release."""
    pool = group("pcanary", Content({"blog": BLOG.code}, behind=True, pool=OWN))
    to = CanaryForward(Forward("/blog", "", ("/run/hedgerow/pcanary.http",)), 20.0, 3, "b1")
    new = group("8001", Content({"blog": BLOG.code}, canaries={"blog": to}))

    def told(state: str, for_s: float) -> str:
        old = SlotView(True, False, state, for_s, 0, Content({"blog": BLOG.code}))
        return serving.runs(dataclasses.replace(new, slots={**new.slots, "b": old}), {"pcanary": pool})["blog"]

    begun = serving.runs(new, {"pcanary": pool})["blog"]
    assert begun != LOADING
    assert told("draining", 1.0) == LOADING
    assert told("draining", serving.KEPT_S) == begun, "what is left has a request, and then ends its connection"
