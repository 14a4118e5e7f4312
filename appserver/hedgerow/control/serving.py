"""What groups of processes serve, as rounds compare it, and how those go that nobody wants any more."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from .entries import canary_key
from .placement import GREENLETS
from .plan import CanaryForward, Content, Forward, other_slot
from .policy import Action, Drain, Remove, Start, Stop
from .pools import has_neighbours, key_of
from .rounds import LOADING, NOT_READY, Releases
from .views import CRASH_LIMIT_S, AddressView, SlotView

KEPT_S = 8.0  # longer than the front keeps a connection, and than a worker that drains waits for one to be closed
MIXED = "mixed"  # the processes of a pool serve different releases


def runs(address: AddressView, pools: Mapping[str, AddressView]) -> Releases:
    """What is served at an address, as rounds compare it: what it loads, and what the pools do that it sends to."""
    content = address.current.content
    if not address.current.ready or content is None:
        return NOT_READY
    found = _loaded(content)
    for pool in {Path(socket).stem for forward in content.forwards.values() for socket in forward.sockets}:
        served = pools[pool].served if pool in pools else None
        asked = _asked_of(pool, content)
        for name, one in (_loaded(served) if served else dict.fromkeys(asked, LOADING)).items():
            if name in asked:  # it may keep one that is sent elsewhere by now
                found[name] = _both(found.get(name, one), one)
    for name, canary in content.canaries.items():
        if _answers_as_before(address.other):
            found[name] = LOADING
            continue
        found[name] = _with_canary(name, found.get(name, LOADING), canary, pools)
    return found


def _answers_as_before(old: SlotView) -> bool:
    """Whether a worker that knows of no canary may still get requests: on connections that the front has kept. A client
    that belongs to the new release would meet the old one.
    """
    return old.going and old.for_s < KEPT_S


def _with_canary(name: str, key: str, canary: CanaryForward, pools: Mapping[str, AddressView]) -> str:
    pool = Path(canary.to.sockets[0]).stem
    served = pools[pool].served if pool in pools else None
    if key == LOADING or served is None or name not in served.apps:
        return LOADING
    return key + canary_key(_loaded(served)[name], canary.share, canary.number)


def _both(one: str, other: str) -> str:
    if LOADING in (one, other):
        return LOADING
    return one if one == other else MIXED


def _asked_of(pool: str, content: Content) -> list[str]:
    """The apps for which a worker with this content sends to a pool."""
    return [name for name, forward in _sends(content) if any(Path(socket).stem == pool for socket in forward.sockets)]


def _sends(content: Content) -> list[tuple[str, Forward]]:
    """All that it sends on, and where."""
    return [*content.forwards.items(), *((name, canary.to) for name, canary in content.canaries.items())]


def _loaded(content: Content) -> dict[str, str]:
    concurrency = content.concurrency or GREENLETS
    return {name: key_of(code, content.pool, concurrency, content.environment) for name, code in content.apps.items()}


def sent_to(content: Content) -> set[str]:
    """The pools that a worker with this content sends to."""
    return {Path(socket).stem for _, forward in _sends(content) for socket in forward.sockets}


def serve(content: Content, pools: Mapping[str, AddressView], addresses: Iterable[AddressView] = ()) -> bool:
    """Whether all pools serve what this content sends to them and some address does not yet: one that all send to is
    no better served if they wait for it, and may be busy, or loading, for long. Nor is an app that is new.
    """
    present = [view.current.content for view in addresses]
    for name, forward in _sends(content):
        if present and all(one and (_is_sent(name, forward, one) or _is_new(name, forward, one)) for one in present):
            continue
        for socket in forward.sockets:
            view = pools.get(Path(socket).stem)
            served = view.served if view else None
            if served is None or name not in served.apps:
                return False
    return True


def _is_sent(name: str, forward: Forward, content: Content) -> bool:
    return any(name == app and known.sockets == forward.sockets for app, known in _sends(content))


def _is_new(name: str, forward: Forward, content: Content) -> bool:
    """Nobody has had an answer of it: who asks may as well wait for its own pool."""
    own = not any(has_neighbours(Path(socket).stem) for socket in forward.sockets)
    return own and not any(name in known for known in (content.apps, content.forwards, content.broken))


def _contents(addresses: Iterable[AddressView]) -> list[Content]:
    """What workers of addresses have loaded, or would load if they were started again."""
    slots = [slot for view in addresses for slot in (view.current, *([view.other] if view.other.alive else []))]
    return [slot.content for slot in slots if slot.content]


def in_use(addresses: Iterable[AddressView]) -> set[str]:
    """The pools that some worker of an address sends to."""
    return {pool for content in _contents(addresses) for pool in sent_to(content)}


def with_guests(
    content: Content, groups: Collection[str], addresses: Iterable[AddressView], pools: Mapping[str, AddressView]
) -> Content:
    """What these groups of a pool are to load, with the apps that have left it and are still sent there."""
    sent = {name for one in _contents(addresses) for group in groups for name in _asked_of(group, one)}
    served = [view.served for name, view in pools.items() if name in groups]
    guests = {name: code for one in served if one for name, code in one.apps.items() if name in sent}
    return dataclasses.replace(content, apps=dict(sorted((guests | dict(content.apps)).items())))


def let_go(view: AddressView) -> list[Action]:
    """The next steps to the end of a pool's workers."""
    actions: list[Action] = []
    for name, slot in view.slots.items():
        if slot.ready:
            actions.append(Drain(view.address, name))
        elif slot.alive and not slot.going:
            actions.append(Stop(view.address, name))
    return actions


def refuse(view: AddressView) -> list[Action]:
    """For a pool that is wanted no more, and that workers of addresses still send to until they have drained: where
    nobody serves it, a worker without its app takes what waits in the socket's queue, and refuses it before entry.
    """
    now = view.current
    if view.other.alive or now.ready or now.going or now.for_s < CRASH_LIMIT_S:
        return []
    if now.content is None or now.content.run:  # who sends to a server of an app's own finds out by itself
        return []
    stop: list[Action] = [Stop(view.address, view.active)] if now.failing else []  # or supervisord would go on trying
    return [*stop, Start(view.address, other_slot(view.active), Content(behind=True))]


def retire(view: AddressView) -> list[Action]:
    """The next steps to the end of a pool that nobody sends to."""
    if any(slot.alive for slot in view.slots.values()):
        return let_go(view)
    return [Stop(view.address, "c")] if view.keeper else [Remove(view.address)]
