"""Deploys that have passed, and the packages that pools have because of them: pure functions over the ledger.

What is tried together with other packages than its pool has by the time of its round has to be tried again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .entries import ROLLBACK, Deploy, State, Version
from .placement import SHARED, Placement


@dataclass(frozen=True)
class Passed:
    """A deploy that may be served: its trial is over, or it needs none."""

    app: str
    deploy: Deploy
    refused: str = ""  # content that the folder holds and that is not to come back by itself: of a rollback
    beneath: str = ""  # its pool's environment when it was tried
    replaces: Mapping[str, str] | None = None  # that one's packages: the others' releases that were tried with these
    known: str = ""  # the mark of what was known then; more may be known by now


def wanted(state: State) -> dict[str, Version]:
    """What all workers are to run."""
    return {name: app.version for name, app in state.apps.items() if app.release}


def members(state: State, pool: str) -> dict[str, Version]:
    """What is wanted of the apps in a pool that is shared."""
    return {name: version for name, version in wanted(state).items() if version.placement.pool == pool}


def environment(state: State, pool: str = SHARED) -> str:
    """What a pool runs in: it is the same for all its apps; '' if it has none."""
    return next((version.placement.environment for version in members(state, pool).values()), "")


def outdated(state: State, passed: Iterable[Passed]) -> list[str]:
    """The apps of those that were tried with other packages than their pool has, or will have with the first one that
    brings it some.
    """
    return [app for pool, sharing in _by_pool(passed).items() for app in _outdated(state, pool, sharing)]


def _outdated(state: State, pool: str, sharing: Sequence[Passed]) -> list[str]:
    present, there = environment(state, pool), members(state, pool)
    joining = [one for one in sharing if _joins(one)]
    changing = (one for one in joining if one.beneath == present and _wants(one) != present)
    first = next((one for one in changing if not _misses(one, there)), None)
    replaces = first is not None and first.replaces is not None
    fitting = {present} if first is None else {_wants(first)} if replaces else {present, _wants(first)}
    late = [one for one in joining if one.beneath != present or _wants(one) not in fitting]
    back = [one for one in sharing if not _joins(one) and replaces]
    return [one.app for one in (*late, *back)]


def _misses(one: Passed, there: Mapping[str, Version]) -> bool:
    """Whether it replaces packages of a release that has come there since it was tried."""
    others = ((name, version.release) for name, version in there.items() if name != one.app)
    return one.replaces is not None and any(one.replaces.get(name) != release for name, release in others)


def _by_pool(passed: Iterable[Passed]) -> dict[str, list[Passed]]:
    """Those that are to share one."""
    found: dict[str, list[Passed]] = {}
    for one in passed:
        if one.deploy.release and not one.deploy.placement.is_own:
            found.setdefault(one.deploy.placement.pool, []).append(one)
    return found


def _joins(one: Passed) -> bool:
    return one.deploy.cause != ROLLBACK


def _wants(one: Passed) -> str:
    return one.deploy.placement.environment


def environments_of(state: State, passed: Iterable[Passed]) -> dict[str, str]:
    """What each pool runs in then of those that somebody is to share."""
    found = {}
    for pool, sharing in _by_pool(passed).items():
        present = environment(state, pool)
        brought = (_wants(one) for one in sharing if _joins(one) or not members(state, pool))
        found[pool] = next((name for name in brought if name != present), present)
    return found


def sharing(one: Passed, environments: Mapping[str, str]) -> Passed:
    placement = within(environments, one.deploy.placement)
    return dataclasses.replace(one, deploy=dataclasses.replace(one.deploy, placement=placement))


def within(environments: Mapping[str, str], placement: Placement) -> Placement:
    """A placement in a pool that is shared is in its environment."""
    return dataclasses.replace(placement, environment=environments.get(placement.pool, placement.environment))
