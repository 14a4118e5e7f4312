"""Apps that are served and should run elsewhere: because an operator wants it, or a worker has found out why.

    known → tried in the other pool → waiting for a round, in which the release stays what it is

It writes no ledger: it returns the next state to who holds the lease.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from ..hosting.findings import Finding
from . import rounds
from .attempts import Attempt
from .candidates import Candidates, Log
from .entries import AppState, State
from .packages import Passed
from .placement import AUTO
from .rounds import ReplicaView


class Moves:
    """Those of one replica."""

    def __init__(self, candidates: Candidates, log: Log) -> None:
        self._candidates = candidates
        self._log = log
        self._told: dict[str, Finding] = {}

    def hear(self, replicas: Iterable[ReplicaView]) -> None:
        """What the workers of all live replicas have found."""
        self._told = {name: finding for view in replicas for name, finding in view.found.items()}

    def are_pending(self, state: State) -> bool:
        """Whether there is something to be done."""
        return bool(self._news(state) or self._unplaced(state))

    def note(self, state: State) -> State:
        """With what has been found."""
        for name, finding in self._news(state).items():
            self._log("error", f"{finding.sentence}; it is tried in a pool of its own", app=name, cause=finding.cause)
            app = state.app(name)
            state = state.with_app(name, dataclasses.replace(app, found=(*app.found, finding)))
        return state

    def start(self, state: State) -> None:
        """Try them where they should be."""
        for name in self._unplaced(state):
            self._candidates.move(state, name)

    def settle(self, attempt: Attempt, state: State) -> State:
        """What has come of a trial; one that was passed waits for its round."""
        name, deploy, app = attempt.app, attempt.deploy(), state.app(attempt.app)
        if deploy.release != app.release:
            return state  # another one is served by now, and was placed with what is known
        if not attempt.outcome.ok:
            self._log("error", f"{name} stays where it is: {deploy.reason}", app=name, traceback=deploy.traceback)
            return rounds.stay(state, name, attempt.known, deploy)
        if deploy.version.key == app.version.key:
            state = rounds.stay(state, name, attempt.known)
            return state.with_app(name, dataclasses.replace(state.app(name), placement=deploy.placement))
        passed = Passed(name, deploy, beneath=attempt.beneath, replaces=attempt.replaces, known=attempt.known)
        self._candidates.wait(passed)
        return state

    def _news(self, state: State) -> dict[str, Finding]:
        return {name: finding for name, finding in self._told.items() if _is_news(finding, state.app(name))}

    def _unplaced(self, state: State) -> list[str]:
        here, rolls = self._candidates, state.round.changes if state.round else {}
        unplaced = [name for name, app in state.apps.items() if app.is_unplaced]
        return [name for name in unplaced if name not in rolls and name not in here.waiting and not here.is_tried(name)]


def _is_news(finding: Finding, app: AppState) -> bool:
    """Whether an app that shares has been found to be such that it should not."""
    shares = bool(app.release) and not app.placement.is_own and app.wish == AUTO
    return shares and finding not in app.found
