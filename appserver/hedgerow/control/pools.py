"""From what is wanted of each app to what each group of processes loads: the addresses, and each own pool.

    wanted → one content for all addresses (the apps that share, and where the others are sent)
           → one content for each own pool, and for each further shared one
           → behind a gateway: one for all groups of the shared pool, and none of it at the addresses

No processes; of files only the manifests of releases. How a group gets there is for policy.py, which knows no
placements.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..hosting.manifest import Manifest, read_manifest
from ..hosting.mounts import Mount, mount_of
from .entries import key
from .placement import BESIDE_OTHERS, GREENLETS, SHARED, STRICT, Placement
from .plan import Content, Forward, other_slot, pool_link, pool_listener
from .policy import CRASH_LIMIT_S, Action, AddressView, Drain, Remove, Start, Stop
from .rounds import LOADING, NOT_READY, Releases

MIXED = "mixed"  # the processes of a pool serve different releases
# p: of an app; r: of one that brings its server, which is found by another way; x: a further shared pool; s: the shared
# pool behind a gateway.
_NAME = re.compile(r"[prx][0-9a-f]{10}|s[0-9]{1,3}")


@dataclass(frozen=True)
class App:
    """What a replica is to run of one app. code: where the release lies; mount: where it answers; run: the command that
    is its server; strict: it wants nobody's fate to be its own; ordered: when somebody last ordered its deploy.
    """

    code: str
    mount: Mount
    placement: Placement = BESIDE_OTHERS
    run: str = ""
    strict: bool = False
    ordered: int = 0

    @property
    def key(self) -> str:
        """As the ledger tells it."""
        return _key(self.code, self.placement.pool, self.placement.concurrency, self.placement.environment)


@dataclass(frozen=True)
class Wanted:
    """What a replica is to run. broken: apps that have no release that can be run here, and why."""

    apps: Mapping[str, App] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> dict[str, str]:
        return {name: app.key for name, app in self.apps.items()}


def app(name: str, code: Path, placement: Placement) -> App:
    """Of the release in `code`, as its manifest says."""
    try:
        manifest = read_manifest(code)
    except UserError:  # the worker will tell
        manifest = Manifest()
    return App(
        str(code),
        mount_of(name, manifest.mount, manifest.host),
        placement,
        manifest.run or "",
        manifest.isolation == STRICT,
    )


def name_of(app: str, run: str = "") -> str:
    """The name of an app's own pool: short, since it is a part of sockets' paths."""
    return ("r" if run else "p") + _short(app)


def further_name(pool: str) -> str:
    """The name of the group of a further shared pool."""
    return "x" + _short(pool)


def _short(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:10]


def _group(name: str, app: App) -> str:
    """The group that an app runs in which is not in the shared pool."""
    return name_of(name, app.run) if app.placement.is_own else further_name(app.placement.pool)


def shared_names(workers: int) -> list[str]:
    """The groups of the shared pool where it stands behind a gateway: as many as there are addresses."""
    return [f"s{number}" for number in range(workers)]


def is_shared(pool: str) -> bool:
    """Whether it is a group of the shared pool."""
    return pool.startswith("s")


def has_neighbours(pool: str) -> bool:
    """Whether its apps are in spaces."""
    return pool.startswith(("s", "x"))


def groups(processes: Iterable[str]) -> list[str]:
    """The pools among the groups of these processes."""
    found = {name.partition(":")[0] for name in processes}
    return sorted(filter(_NAME.fullmatch, found))


def of_addresses(wanted: Wanted, run: Path, gateway: Sequence[str] = ()) -> Content:
    """What each address loads. gateway: the groups of the shared pool, if it is none of the addresses' own."""
    elsewhere = {name: _forward(name, app, run) for name, app in wanted.apps.items() if not _shares(app)}
    if not gateway:
        return dataclasses.replace(of_shared(wanted), broken=dict(wanted.broken), forwards=elsewhere, behind=False)
    sockets = tuple(str(pool_listener(run, name)) for name in gateway)
    mounts = {name: app.mount for name, app in wanted.apps.items() if _shares(app)}
    shared = {name: Forward(mount.path, mount.host, sockets) for name, mount in mounts.items()}
    return Content({}, dict(wanted.broken), forwards=elsewhere | shared)


def of_shared(wanted: Wanted) -> Content:
    """What each group of the shared pool loads."""
    return _together({name: app for name, app in wanted.apps.items() if _shares(app)}, SHARED)


def _shares(app: App) -> bool:
    return app.placement.pool == SHARED


def _together(apps: Mapping[str, App], pool: str) -> Content:
    environment = next((app.placement.environment for app in apps.values()), "")
    return Content({name: app.code for name, app in apps.items()}, behind=True, pool=pool, environment=environment)


def _forward(name: str, app: App, run: Path) -> Forward:
    pool = _group(name, app)
    socket = pool_link(run, pool) if app.run else pool_listener(run, pool)
    return Forward(app.mount.path, app.mount.host, (str(socket),), ours=not app.run)


def of_pools(wanted: Wanted) -> dict[str, Content]:
    """What each pool loads but the shared one, by the names of their groups."""
    own = {_group(name, app): _own(name, app) for name, app in wanted.apps.items() if app.placement.is_own}
    further: dict[str, dict[str, App]] = {}
    for name, app in wanted.apps.items():
        if not (_shares(app) or app.placement.is_own):
            further.setdefault(app.placement.pool, {})[name] = app
    return own | {further_name(pool): _together(apps, pool) for pool, apps in further.items()}


def _own(name: str, app: App) -> Content:
    return dataclasses.replace(trial_content(name, Path(app.code), app.placement, app.run), behind=True)


def trial_content(name: str, code: Path, placement: Placement, run: str = "") -> Content:
    """What the worker of a trial loads: it differs from that of a pool in who asks."""
    concurrency = "" if placement.concurrency == GREENLETS else placement.concurrency
    environment = placement.environment
    return Content({name: str(code)}, pool=placement.pool, concurrency=concurrency, environment=environment, run=run)


def runs(address: AddressView, pools: Mapping[str, AddressView]) -> Releases:
    """What is served at an address, as rounds compare it: what it loads, and what the pools do that it sends to."""
    content = address.current.content
    if not address.current.ready or content is None:
        return NOT_READY
    found = _loaded(content)
    for pool in sent_to(content):
        served = pools[pool].served if pool in pools else None
        asked = _asked_of(pool, content)
        for name, one in (_loaded(served) if served else dict.fromkeys(asked, LOADING)).items():
            if name in asked:  # it may keep one that is sent elsewhere by now
                found[name] = _both(found.get(name, one), one)
    return found


def _both(one: str, other: str) -> str:
    if LOADING in (one, other):
        return LOADING
    return one if one == other else MIXED


def _asked_of(pool: str, content: Content) -> list[str]:
    """The apps for which a worker with this content sends to a pool."""
    sent = content.forwards.items()
    return [name for name, forward in sent if any(Path(socket).stem == pool for socket in forward.sockets)]


def _loaded(content: Content) -> dict[str, str]:
    concurrency = content.concurrency or GREENLETS
    return {name: _key(code, content.pool, concurrency, content.environment) for name, code in content.apps.items()}


def _key(code: str, pool: str, concurrency: str, environment: str) -> str:
    return key(Path(code).parent.name, pool, concurrency, environment)


def sent_to(content: Content) -> set[str]:
    """The pools that a worker with this content sends to."""
    return {Path(socket).stem for forward in content.forwards.values() for socket in forward.sockets}


def serve(content: Content, pools: Mapping[str, AddressView], addresses: Iterable[AddressView] = ()) -> bool:
    """Whether all pools serve what this content sends to them and some address does not yet: one that all send to is
    no better served if they wait for it, and may be busy, or loading, for long. Nor is an app that is new.
    """
    present = [view.current.content for view in addresses]
    for name, forward in content.forwards.items():
        if present and all(one and (_is_sent(name, forward, one) or _is_new(name, forward, one)) for one in present):
            continue
        for socket in forward.sockets:
            view = pools.get(Path(socket).stem)
            served = view.served if view else None
            if served is None or name not in served.apps:
                return False
    return True


def _is_sent(name: str, forward: Forward, content: Content) -> bool:
    known = content.forwards.get(name)
    return known is not None and known.sockets == forward.sockets


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
