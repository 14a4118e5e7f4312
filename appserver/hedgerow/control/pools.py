"""From what is wanted of each app to what each group of processes loads: the addresses, and each own pool.

    wanted → one content for all addresses (the apps that share, and where the others are sent)
           → one content for each own pool

No processes; of files only the manifests of releases. How a group gets there is for policy.py, which knows no
placements.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..hosting.manifest import Manifest, read_manifest
from ..hosting.mounts import Mount, mount_of
from .entries import key
from .placement import BESIDE_OTHERS, GREENLETS, OWN, SHARED, Placement
from .plan import Content, Forward, pool_link, pool_listener
from .policy import Action, AddressView, Drain, Remove, Stop
from .rounds import NOT_READY, Releases

_NAME = re.compile(r"p[0-9a-f]{10}")


@dataclass(frozen=True)
class App:
    """What a replica is to run of one app. code: where the release lies; mount: where it answers; run: the command that
    is its server.
    """

    code: str
    mount: Mount
    placement: Placement = BESIDE_OTHERS
    run: str = ""

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
    return App(str(code), mount_of(name, manifest.mount, manifest.host), placement, manifest.run or "")


def name_of(app: str) -> str:
    """The name of an app's own pool: short, since it is a part of sockets' paths."""
    return "p" + hashlib.sha256(app.encode("utf-8", "surrogateescape")).hexdigest()[:10]


def groups(processes: Iterable[str]) -> list[str]:
    """The pools among the groups of these processes."""
    found = {name.partition(":")[0] for name in processes}
    return sorted(filter(_NAME.fullmatch, found))


def of_addresses(wanted: Wanted, run: Path) -> Content:
    """What each address loads."""
    shared = {name: app.code for name, app in wanted.apps.items() if not app.placement.is_own}
    forwards = {name: _forward(name, app, run) for name, app in wanted.apps.items() if app.placement.is_own}
    placements = (app.placement for app in wanted.apps.values() if not app.placement.is_own)
    environment = next((placement.environment for placement in placements), "")
    return Content(shared, dict(wanted.broken), forwards=forwards, environment=environment)


def _forward(name: str, app: App, run: Path) -> Forward:
    socket = pool_link(run, name_of(name)) if app.run else pool_listener(run, name_of(name))
    return Forward(app.mount.path, app.mount.host, (str(socket),), ours=not app.run)


def of_pools(wanted: Wanted) -> dict[str, Content]:
    """What each own pool loads, by its name."""
    return {name_of(name): _own(name, app) for name, app in wanted.apps.items() if app.placement.is_own}


def _own(name: str, app: App) -> Content:
    return dataclasses.replace(trial_content(name, Path(app.code), app.placement, app.run), behind=True)


def trial_content(name: str, code: Path, placement: Placement, run: str = "") -> Content:
    """What the worker of a trial loads: it differs from that of a pool in who asks."""
    concurrency = "" if placement.concurrency == GREENLETS else placement.concurrency
    alone = placement.is_own
    environment = placement.environment
    return Content({name: str(code)}, alone=alone, concurrency=concurrency, environment=environment, run=run)


def runs(address: AddressView, pools: Mapping[str, AddressView]) -> Releases:
    """What is served at an address, as rounds compare it: what it loads, and what the pools do that it sends to."""
    current = address.current
    if not current.ready or current.content is None:
        return NOT_READY
    found = _loaded(current.content)
    for name in current.content.forwards:
        pool = pools.get(name_of(name))
        if pool is None or not pool.current.ready or pool.current.content is None:
            return NOT_READY
        found |= _loaded(pool.current.content)
    return found


def _loaded(content: Content) -> dict[str, str]:
    pool = OWN if content.alone else SHARED
    concurrency = content.concurrency or GREENLETS
    return {name: _key(code, pool, concurrency, content.environment) for name, code in content.apps.items()}


def _key(code: str, pool: str, concurrency: str, environment: str) -> str:
    return key(Path(code).parent.name, pool, concurrency, environment)


def serve(content: Content, pools: Mapping[str, AddressView]) -> bool:
    """Whether all pools that this content sends to serve."""
    views = [pools.get(name_of(name)) for name in content.forwards]
    return all(view is not None and (view.current.ready or view.other.ready) for view in views)


def in_use(addresses: Iterable[AddressView]) -> set[str]:
    """The pools that some worker of an address sends to, or would if it were started again."""
    slots = [slot for view in addresses for slot in (view.current, *([view.other] if view.other.alive else []))]
    return {name_of(name) for slot in slots if slot.content for name in slot.content.forwards}


def retire(view: AddressView) -> list[Action]:
    """The next steps to the end of a pool that nobody sends to."""
    actions: list[Action] = []
    for name, slot in view.slots.items():
        if slot.ready:
            actions.append(Drain(view.address, name))
        elif slot.alive and not slot.going:
            actions.append(Stop(view.address, name))
    if any(slot.alive for slot in view.slots.values()):
        return actions
    return [Stop(view.address, "c")] if view.keeper else [Remove(view.address)]
