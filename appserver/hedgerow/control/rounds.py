"""What becomes of deploys: pure functions from a state of the ledger, and what is seen, to the next state.

    trial failed            the app's content is refused, its release stays what it was
    trials passed           no round under way: one begins with all of them
    rolling                 all live replicas run it: it ends, all new; one cannot: reverting
    reverting               all live replicas run what was before: it ends, all old

No clock, no files, no processes. Who writes what is returned must hold the lease.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ..hosting.findings import Finding
from . import canary
from .canary import Sides
from .entries import (
    CANARY,
    FAILED,
    LIVE,
    RENEWAL,
    REVERTED,
    REVERTING,
    ROLLBACK,
    ROLLING,
    SAME_RELEASE,
    AppState,
    Canary,
    Deploy,
    Round,
    State,
    Version,
)
from .packages import Passed, environments_of, sharing, wanted, within

ROUND_S = 180.0  # above what a swap of two addresses may take; then nobody who is not ready is waited for any more

Releases = Mapping[str, str]
LOADING = "not ready"  # instead of the release of an app whose pool serves nothing just now
NOT_READY: Releases = {"": LOADING}  # instead of what an address serves


@dataclass(frozen=True)
class ReplicaView:
    """What a live replica says. runs: for each of its addresses what serves there, by app, as `goal` tells it;
    rejected: the same with which a worker did not get ready; blamed: the app that was the cause, if that is known;
    reason: a sentence; draining: a worker of earlier releases still answers what it has begun to; folders: the apps
    whose folders it sees; found: of apps that serve, why they should not share their worker; left_out: the apps that it
    could not load, with AppState.ordered of then, and why; canaries: how its canaries do, and the others beside them.
    """

    name: str
    runs: tuple[Releases, ...] = ()
    rejected: Releases | None = None
    blamed: str = ""
    reason: str = ""
    draining: bool = False
    folders: Collection[str] = ()
    found: Mapping[str, Finding] = field(default_factory=dict)
    left_out: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    canaries: Mapping[str, Sides] = field(default_factory=dict)


def goal(state: State) -> dict[str, str]:
    """The same as an address tells it that runs it."""
    return {name: version.key for name, version in wanted(state).items()}


def fail(state: State, app: str, deploy: Deploy, again: float = 0.0) -> State:
    """The deploy came to nothing before anybody was served by it. again: when it may be tried again, 0 for never."""
    known = state.app(app)
    failed = dataclasses.replace(deploy, before=known.release, outcome=FAILED, number=state.number + 1)
    refused = deploy.release or known.refused
    share = known.share if again else None
    promoted = known.promoted if again and known.promoted == deploy.release else ""
    app_state = known.with_deploy(failed, refused=refused, again=again, share=share, promoted=promoted)
    return state.with_app(app, app_state)


def stay(state: State, app: str, placed: str, deploy: Deploy | None = None) -> State:
    """An app is not moved. placed: the mark of what was known of it; deploy: the one that came to nothing, if it
    failed.
    """
    state = state.with_app(app, dataclasses.replace(state.app(app), placed=placed))
    return state if deploy is None else turn_down(state, app, deploy)


def turn_down(state: State, app: str, deploy: Deploy) -> State:
    """What runs of an app is not to run elsewhere, or otherwise: its content is not at fault."""
    known = state.app(app)
    failed = dataclasses.replace(deploy, before=known.release, outcome=FAILED, number=state.number + 1)
    return state.with_app(app, known.with_deploy(failed))


def begin(state: State, passed: Iterable[Passed]) -> State:
    """A round with all of these, none of them outdated; those that change nothing are left out. Only while no round is
    under way.
    """
    passed = list(passed)
    environments = environments_of(state, passed)
    changes: dict[str, tuple[Version, Version]] = {}
    number = state.number + 1
    for one in [sharing(one, environments) for one in passed]:
        known = state.app(one.app)
        deploy = dataclasses.replace(one.deploy, before=known.release, outcome="", number=number)
        new = dataclasses.replace(known, **_changed(known, one, number))  # type: ignore[arg-type]
        if new.version.key == known.version.key:
            continue
        changes[one.app] = known.version, new.version
        state = state.with_app(one.app, new.with_deploy(deploy))
    for name, app in state.apps.items():  # the others of such a pool go with it
        if app.release and app.placement != within(environments, app.placement):
            joined = dataclasses.replace(app, placement=within(environments, app.placement))
            changes.setdefault(name, (app.version, joined.version))
            state = state.with_app(name, joined)
    if not changes:
        return state
    return dataclasses.replace(state, round=Round(number, ROLLING, changes))


def _changed(known: AppState, one: Passed, number: int) -> dict[str, object]:
    """What of an app becomes another with this deploy. number: of the entry that begins it."""
    deploy, cause = one.deploy, one.deploy.cause
    if deploy.canary is not None:
        begun = Canary(deploy.release, deploy.placement, deploy.canary, number)
        return {"canary": begun, "refused": one.refused, "again": 0.0, "share": None, "promoted": ""}
    moves = cause in SAME_RELEASE
    content = (known.refused, known.again) if moves else (one.refused, 0.0)
    # After a rollback it runs as it did; a renewal lets it run where it does.
    placed = {ROLLBACK: "", RENEWAL: known.placed}.get(cause, one.known)
    changed: dict[str, object] = {"release": deploy.release, "placement": deploy.placement, "placed": placed}
    if not moves:
        changed |= {"canary": None, "share": None, "promoted": ""}
    return changed | dict(zip(("refused", "again"), content, strict=True))


def advance(
    state: State, replicas: Iterable[ReplicaView], overdue: bool = False, again: float = 0.0, now: float = 0.0
) -> State | None:
    """The round's next state; None while it has to wait, and when there is none.

    overdue: it lasts too long: addresses that are not ready are waited for no more, and no replica that cannot go back;
    again: when contents that fail by the fault of an app outside of the round are tried again; now: Unix time.
    """
    if state.round is None:
        return None
    views = list(replicas)
    new = goal(state)
    if state.round.state == ROLLING:
        for view in views:
            if view.rejected == new:
                return _revert(state, state.round, view, again)
    late = [runs for view in views for runs in view.runs if _of(state.round, runs, new) != new]
    if overdue:
        late = [] if state.round.state == REVERTING else [runs for runs in late if LOADING not in runs.values()]
    return None if late or not views else _end(state, state.round, now)


def _of(round: Round, runs: Releases, new: Releases) -> Releases:
    """What an address runs, as far as the round is about it: another app's pool may load for reasons of its own."""
    late = [name for name, one in runs.items() if one == LOADING and name not in round.changes and name in new]
    return {**runs, **{name: new[name] for name in late}}


def _revert(state: State, round: Round, view: ReplicaView, again: float) -> State:
    """All old. If one app was the cause, the others' contents come again: with the next round if it was of this one,
    later if it is one that runs and would not load any more. What has a pool of its own is no part of the others'
    workers: it turns back alone, and they go on.
    """
    within = view.blamed in round.changes
    alone = {name: change for name, change in round.changes.items() if name == view.blamed and _is_apart(*change)}
    for name, (old, new) in (alone or round.changes).items():
        guilty = view.blamed in (name, "")
        innocent = f"{view.blamed} went wrong" if within else f"{view.reason}; tried again soon"
        reason = view.reason if guilty else innocent
        app = _told(state.apps[name], round, outcome=REVERTED, step="swap", reason=reason)
        if (guilty or not within) and not _failed_since(app, round):
            app = _refuse(app, old, new, again=0.0 if guilty and new.release else again)
        app = app if guilty else canary.as_wanted(app, old, new)
        app = dataclasses.replace(app, release=old.release, placement=old.placement, canary=old.canary)
        state = state.with_app(name, app)
    if alone and (others := {name: change for name, change in round.changes.items() if name not in alone}):
        return dataclasses.replace(state, round=dataclasses.replace(round, changes=others))
    return dataclasses.replace(state, round=dataclasses.replace(round, state=REVERTING))


def _is_apart(old: Version, new: Version) -> bool:
    if new[:2] == old[:2]:  # a canary comes or goes
        return True
    return new.placement.is_own and (old.placement.is_own or not old.release)


def _refuse(app: AppState, old: Version, new: Version, again: float) -> AppState:
    """It has not become what was tried. One that was to be moved stays where it is; its content is not at fault."""
    if new.canary not in (None, old.canary):
        return dataclasses.replace(app, refused=new.canary.release, again=again)
    if new.release == old.release:
        return app
    return dataclasses.replace(app, refused=new.release, again=again)


def _end(state: State, round: Round, now: float) -> State:
    if round.state == ROLLING:
        for name, (old, new) in round.changes.items():
            app = state.apps[name]
            if new.canary not in (None, old.canary):
                app = _told(canary.opened(app, now), round, outcome=CANARY)
            app = _told(app, round, outcome=LIVE)
            if old.canary not in (None, new.canary):
                app = canary.followed(app, old.canary, round.number)
            state = state.with_app(name, app)
    return dataclasses.replace(state, round=None)


def _told(app: AppState, round: Round, **outcome: str) -> AppState:
    """With what became of the round's own deploy. It need not be the newest: others may have failed meanwhile."""
    deploys = [dataclasses.replace(one, **outcome) if _is_of(one, round) else one for one in app.deploys]  # type: ignore[arg-type]
    return dataclasses.replace(app, deploys=tuple(deploys))


def _is_of(deploy: Deploy, round: Round) -> bool:
    return deploy.number == round.number and deploy.outcome == ""


def _failed_since(app: AppState, round: Round) -> bool:
    """Whether the folder holds other content by now, which is refused already."""
    return any(one.number > round.number and one.outcome == FAILED and one.release for one in app.deploys)
