"""What the ledger and the replicas refer to, and what is removed because nobody does. It decides nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..config import Settings
from ..errors import HedgerowError
from . import layout, records
from . import releases as made
from .candidates import Log
from .child import Cancelled, Clock
from .entries import State
from .environments import builds
from .environments.uv import CACHE, LIMIT_S, Uv
from .packages import Passed

MOST_CACHE_BYTES = 4 * 2**30


def releases(state: State, waiting: Iterable[Passed], folder: Path) -> set[Path]:
    """The releases, as folders, that the ledger refers to, and those that wait for a round. folder: of the state."""
    found = {(one.app, one.deploy.release) for one in waiting}
    for name, app in state.apps.items():
        found |= {(name, app.release), (name, app.previous), (name, app.canary.release if app.canary else "")}
    for name, change in (state.round.changes if state.round else {}).items():
        found |= {(name, version.release) for version in change}
    return {layout.code(folder, name, release) for name, release in found if release}


def prune(settings: Settings, state: State, waiting: Iterable[Passed], told: list[dict[str, Any]], log: Log) -> None:
    """Removes the other releases. told: the replicas' records. May raise OSError."""
    used = [*releases(state, waiting, settings.state), *records.used_releases(told)]
    for root in made.prune(settings.state, used):
        log("info", "an old release is removed", release=str(root))


def environments(state: State, waiting: Collection[Passed], told: Iterable[Mapping[str, Any]]) -> set[str]:
    """The same of environments. told: the replicas' records."""
    found = {one.deploy.placement.environment for one in waiting} | {one.beneath for one in waiting}
    found |= {name for app in state.apps.values() for name in app.environments}
    for change in (state.round.changes if state.round else {}).values():
        found |= {version.placement.environment for version in change}
    found |= {name for one in told if one["age_s"] < records.FORGOTTEN_S for name in one.get("environments", ())}
    return found - {""}


def tidy(settings: Settings, used: Iterable[str], log: Log) -> Callable[[threading.Event], None]:
    """What removes the other environments, and what uv keeps without use."""

    def run(cancel: threading.Event) -> None:
        try:
            for name in builds.prune(settings.state, set(used)):
                log("info", "an old environment is removed", environment=name)
            if (settings.state / CACHE).is_dir():
                uv = Uv(settings, Clock(LIMIT_S, cancel))
                whole = builds.size(settings.state / CACHE) > MOST_CACHE_BYTES
                uv.run("cache", "clean" if whole else "prune", "--quiet", cwd=settings.state)
        except Cancelled:
            pass
        except (HedgerowError, OSError) as error:
            log("error", f"old environments cannot be removed: {error}")

    return run
