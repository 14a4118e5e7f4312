"""What who holds the lease does about canaries: begins one instead of a deploy to all; ends it as canary.py decides."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..hosting.manifest import read_manifest
from . import canary, layout
from .canary import Sides, Verdict
from .candidates import Log
from .entries import AppState, Deploy, State
from .placement import OWN
from .rounds import ReplicaView


def begun(folder: Path, name: str, app: AppState, deploy: Deploy) -> Deploy:
    """A deploy that has passed; with its terms, and in a pool of its own, if a part of the clients has it first.
    folder: of the state.
    """
    terms = canary.terms_of(app, deploy, read_manifest(layout.code(folder, name, deploy.release)).canary)
    if terms is None:
        return deploy
    reason = f"{name}: {terms.share:g} % of its clients have this release first"
    alone = dataclasses.replace(deploy.placement, pool=OWN, cause="canary", reason=reason)
    return dataclasses.replace(deploy, canary=terms, placement=alone)


def verdicts(state: State, replicas: Iterable[ReplicaView]) -> Mapping[str, tuple[Verdict, Sides]]:
    """Of those of which it is known what is to become of them, while no round is under way."""
    if state.round is not None:
        return {}
    views, now = list(replicas), time.time()
    found = {}
    for name, app in state.apps.items():
        if app.canary is not None:
            told = [view.canaries[name] for view in views if name in view.canaries]
            if one := canary.judged(app, told, now):
                found[name] = one
    return found


def judge(state: State, replicas: Iterable[ReplicaView], log: Log) -> State:
    """With what has become of them; at most one is taken back at a time, since that is a round."""
    for name, (verdict, sides) in verdicts(state, replicas).items():
        if state.round is None:
            does = "goes to all clients" if verdict.good else "is taken back"
            log("info" if verdict.good else "error", f"{name}: the canary {does}: {verdict.reason}; {sides}", app=name)
            state = canary.settle(state, name, verdict, sides)
    return state
