"""Which environments are to be made anew, for which apps, and what follows from that: pure functions over the ledger.

    ordered (`hedgerow env upgrade`)         each package as new as the apps allow
    not current any more, at the start       as little changes as can be

No files, no processes, no clock. How packages are found and tried is renewing.py's, when that happens upgrades.py's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from . import packages, rounds
from .entries import LIVE, RENEWAL, Deploy, State, Version
from .orders import UPGRADE, Order
from .packages import Passed
from .placement import BESIDE_OTHERS, OWN, SHARED, Placement
from .step import Outcome

MOST_TOLD = 3


@dataclass(frozen=True)
class Renewal:
    """One environment's. apps: all that run in it: those that share a pool, or the one alone; newest: its packages are
    to be as new as can be; else they stay as far as they can.
    """

    apps: Mapping[str, Version]
    newest: bool = True

    @property
    def pool(self) -> str:
        """Which one they run in."""
        return next((version.placement.pool for version in self.apps.values()), SHARED)

    @property
    def environment(self) -> str:
        """What they run in now; '' for ours."""
        return next((version.placement.environment for version in self.apps.values()), "")

    @property
    def who(self) -> str:
        """In words."""
        placement = next((version.placement for version in self.apps.values()), BESIDE_OTHERS)
        return next(iter(self.apps)) if placement.is_own else placement.where


@dataclass(frozen=True)
class Renewed:
    """What came of one. app: the one that is at fault, '' if none is; passing: it may be well another time."""

    renewal: Renewal
    outcome: Outcome
    environment: str = ""
    app: str = ""
    passing: bool = False
    began: float = 0.0

    @property
    def changes(self) -> bool:
        return self.outcome.ok and self.environment != self.renewal.environment


def in_use(state: State) -> set[str]:
    """The environments that something that is wanted runs in."""
    return {version.placement.environment for version in packages.wanted(state).values()} - {""}


def of_order(state: State, order: Order) -> Renewal | None:
    """What is ordered; None if nothing runs that it could be about."""
    return _of_app(state, order.app) if order.app else _of_pool(state, SHARED)


def of_stale(state: State, stale: Collection[str]) -> list[Renewal]:
    """What is to be done about environments that are not current."""
    apps = packages.wanted(state)
    shared = {version.placement.pool for version in apps.values()} - {OWN}
    alone = sorted(name for name, version in apps.items() if version.placement.is_own)
    found = [*(_of_pool(state, pool) for pool in sorted(shared)), *(_of_app(state, name) for name in alone)]
    return [dataclasses.replace(one, newest=False) for one in found if one and one.environment in stale]


def _of_app(state: State, name: str) -> Renewal | None:
    """Of all with which it shares."""
    app = state.app(name)
    if not app.release:
        return None
    return Renewal({name: app.version}) if app.placement.is_own else _of_pool(state, app.placement.pool)


def _of_pool(state: State, pool: str) -> Renewal | None:
    sharing = packages.members(state, pool)
    return Renewal(dict(sorted(sharing.items()))) if sharing else None


def may_begin(state: State, renewal: Renewal, waiting: Collection[str]) -> bool:
    """Whether nothing is under way that would change what it is about. waiting: the apps that wait for a round."""
    return state.round is None and not waiting and bool(renewal.apps)


def holds(state: State, renewal: Renewal, waiting: Collection[str]) -> bool:
    """Whether what has been tried is still what runs."""
    present = _of_app(state, next(iter(renewal.apps)))
    return present is not None and present.apps == renewal.apps and not set(waiting) & set(renewal.apps)


def passed(renewed: Renewed) -> list[Passed]:
    """What waits for a round then."""
    apps, beneath = renewed.renewal.apps, renewed.renewal.environment
    releases = {name: version.release for name, version in apps.items()}
    return [Passed(name, _deploy(renewed, apps[name]), beneath=beneath, replaces=releases) for name in apps]


def failed(state: State, renewed: Renewed) -> State:
    """Nothing changes. It is told of the app that is at fault; if none is, of all of them."""
    told = renewed.outcome
    for name in [renewed.app] if renewed.app else sorted(renewed.renewal.apps):
        deploy = _deploy(renewed, state.app(name).version)
        deploy = dataclasses.replace(deploy, step=told.step, reason=told.reason, traceback=told.traceback)
        state = rounds.turn_down(state, name, deploy)
    return state


def _deploy(renewed: Renewed, version: Version) -> Deploy:
    placement: Placement = version.placement
    if renewed.outcome.ok:
        placement = dataclasses.replace(placement, environment=renewed.environment)
    told = renewed.outcome
    return Deploy(version.release, cause=RENEWAL, began=renewed.began, steps=told.seconds, placement=placement)


def answer(state: State, order: Order) -> Order | None:
    """The order with its answer, if the ledger tells what became of it; else None."""
    if order.what != UPGRADE or not order.accepted:
        return None
    about = of_order(state, order)
    names = about.apps if about else ()
    done = [(name, one) for name in names for one in state.app(name).deploys if _is_since(one, order)]
    if not done or any(not one.outcome for _, one in done):
        return None
    for name, one in done:
        if one.outcome != LIVE:
            return order.answered(False, f"{name}: {one.outcome} at {one.step}: {one.reason}")
    return order.answered(True, f"{told(sorted({name for name, _ in done}))} with other packages now")


def _is_since(deploy: Deploy, order: Order) -> bool:
    return deploy.cause == RENEWAL and deploy.number > order.accepted


def told(names: Sequence[str]) -> str:
    """Apps, as the subject of a sentence."""
    return f"{names[0]} runs" if len(names) == 1 else f"{len(names)} apps run"


def concerned(state: State, renewal: Renewal, orders: Iterable[Order]) -> list[Order]:
    """The open orders that it answers."""
    found = [(order, of_order(state, order)) for order in orders if order.what == UPGRADE and order.accepted]
    return [order for order, about in found if about is not None and about.apps.keys() == renewal.apps.keys()]


def back(placement: Placement, release: str, app: str, lacks: Sequence[str]) -> Placement:
    """Where a release runs that is gone back to. lacks: what its pool had when it was live, and has no more."""
    if placement.is_own or not lacks:
        return placement
    told = [*lacks[:MOST_TOLD], *([f"{len(lacks) - MOST_TOLD} more"] if len(lacks) > MOST_TOLD else [])]
    reason = f"{app}: {release} was live with {', '.join(told)}, which {placement.where} has no more"
    return dataclasses.replace(placement, pool=OWN, cause="requirements", reason=reason)
