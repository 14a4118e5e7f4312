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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..hosting.cache_table import NOTHING, CacheTable
from ..hosting.manifest import Manifest, read_manifest
from ..hosting.mounts import Mount, mount_of
from . import entries, layout
from .entries import canary_key, key
from .placement import BESIDE_OTHERS, GREENLETS, SHARED, STRICT, Placement
from .plan import CanaryForward, Content, Forward, pool_link, pool_listener

# p: of an app; r: of one that brings its server, which is found by another way; x: a further shared pool; s: the shared
# pool behind a gateway.
_NAME = re.compile(r"[prx][0-9a-f]{10}|s[0-9]{1,3}")


@dataclass(frozen=True)
class Canary:
    """A release that a part of an app's clients is served by: share, in percent. number: which canary it is."""

    code: str
    placement: Placement
    run: str
    share: float
    number: int

    @property
    def key(self) -> str:
        placed = self.placement
        return canary_key(
            key_of(self.code, placed.pool, placed.concurrency, placed.environment), self.share, self.number
        )


@dataclass(frozen=True)
class App:
    """What a replica is to run of one app. code: where the release lies; mount: where it answers; run: the command that
    is its server; strict: it wants nobody's fate to be its own; ordered: when somebody last ordered its deploy; canary:
    the release that some clients have; cache: what the front keeps of it.
    """

    code: str
    mount: Mount
    placement: Placement = BESIDE_OTHERS
    run: str = ""
    strict: bool = False
    ordered: int = 0
    canary: Canary | None = None
    cache: CacheTable = NOTHING

    @property
    def key(self) -> str:
        """As the ledger tells it."""
        placed = self.placement
        own = key_of(self.code, placed.pool, placed.concurrency, placed.environment)
        return own if self.canary is None else own + self.canary.key


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
        cache=manifest.cache,
    )


def canary(name: str, folder: Path, told: entries.Canary) -> Canary:
    """As the ledger tells it. folder: of the state."""
    code = layout.code(folder, name, told.release)
    return Canary(str(code), told.placement, app(name, code, told.placement).run, told.terms.share, told.number)


def name_of(app: str, run: str = "") -> str:
    """The name of an app's own pool: short, since it is a part of sockets' paths."""
    return ("r" if run else "p") + _short(app)


def canary_name(app: str, run: str = "") -> str:
    """The name of the pool of an app's canary: no folder has such a name."""
    return name_of(f"{app}/canary", run)


def canary_names(wanted: Wanted) -> set[str]:
    """The pools of all canaries."""
    return {canary_name(name, app.canary.run) for name, app in wanted.apps.items() if app.canary}


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
    canaries = {name: _canary(name, app, app.canary, run) for name, app in wanted.apps.items() if app.canary}
    if not gateway:
        shared = of_shared(wanted)
        broken = dict(wanted.broken)
        return dataclasses.replace(shared, broken=broken, forwards=elsewhere, canaries=canaries, behind=False)
    sockets = tuple(str(pool_listener(run, name)) for name in gateway)
    behind = {
        name: Forward(app.mount.path, app.mount.host, sockets, cache=app.cache)
        for name, app in wanted.apps.items()
        if _shares(app)
    }
    return Content({}, dict(wanted.broken), forwards=elsewhere | behind, canaries=canaries)


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
    return Forward(app.mount.path, app.mount.host, (str(socket),), ours=not app.run, cache=app.cache)


def _canary(name: str, app: App, canary: Canary, run: Path) -> CanaryForward:
    pool = canary_name(name, canary.run)
    socket = pool_link(run, pool) if canary.run else pool_listener(run, pool)
    to = Forward(app.mount.path, app.mount.host, (str(socket),), ours=not canary.run)
    return CanaryForward(to, canary.share, canary.number, Path(canary.code).parent.name)


def of_pools(wanted: Wanted) -> dict[str, Content]:
    """What each pool loads but the shared one, by the names of their groups."""
    own = {_group(name, app): _own(name, app) for name, app in wanted.apps.items() if app.placement.is_own}
    for name, app in wanted.apps.items():
        if canary := app.canary:
            content = trial_content(name, Path(canary.code), canary.placement, canary.run)
            own[canary_name(name, canary.run)] = dataclasses.replace(content, behind=True)
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


def key_of(code: str, pool: str, concurrency: str, environment: str) -> str:
    return key(Path(code).parent.name, pool, concurrency, environment)
