"""What the apps folder holds, and how far it has come on its way to a round:

    settled → tried (attempts.py) → waiting for its round
                                  → made, and refused or known already

It holds no lease and writes no ledger. All of it is forgotten with the process, and found out again.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Collection, Iterator, Mapping

from ..config import Settings
from ..errors import UserError
from ..hosting.claims import claim, conflict
from . import layout, packages
from .attempts import Attempt, Attempts
from .entries import CANARY, FAILED, LIVE, SAME_RELEASE, AppState, State
from .folders import Folders
from .packages import Passed
from .placement import OWN, SHARED
from .placing import Beside, Pool

LOOK_S = 2.0
MOVING_S = 0.5  # what has changed is looked at again so soon
JOIN_S = 1.0  # deploys that are nearly ready go with the first one
FIRST_JOIN_S = 20.0  # while nothing is served at all, no app is served before the others can be, too

Log = Callable[..., None]


@dataclasses.dataclass(frozen=True)
class Waiting:
    """A deploy that has passed and waits for its round. fingerprint: of the folder that it was made from, or ''."""

    passed: Passed
    since: float
    fingerprint: str = ""


class Candidates:
    """Those of one replica. waiting: the deploys that have passed, by app."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._folders = Folders(settings.apps, settings.secrets)
        self._attempts = Attempts(settings)
        self._made: dict[str, tuple[str, str]] = {}  # app → a fingerprint, and the release that it is; '' for none
        self.waiting: dict[str, Waiting] = {}
        self._looked = float("-inf")
        self._hinted = False
        self._told = ""

    @property
    def folders(self) -> Collection[str]:
        """The apps whose folders are there."""
        return self._folders.names

    @property
    def under_way(self) -> bool:
        """Whether something is tried, or waits."""
        return bool(len(self._attempts) or self.waiting)

    @property
    def moving(self) -> bool:
        """Whether folders have changed since the last look."""
        return self._folders.moving

    def look_soon(self) -> None:
        """Something in the apps folder may have changed. Called from any thread."""
        self._hinted = True

    def look(self) -> None:
        """At the folders, if it is time."""
        now = time.monotonic()
        hinted = self._hinted and not self.moving  # what moves is looked at soon enough
        if not hinted and now - self._looked < (MOVING_S if self.moving else LOOK_S):
            return
        self._looked, self._hinted = now, False
        try:
            self._folders.look()
            self._told = ""
        except UserError as error:
            if self._told != str(error):
                self._log("error", str(error))
            self._told = str(error)
        self._made = {name: made for name, made in self._made.items() if not self._folders.lacks(name)}

    def come(self, state: State) -> bool:
        """Whether more may follow soon: nobody has looked yet, or something is new or tried."""
        return self._looked == float("-inf") or self.under_way or bool(self.news(state))

    def news(self, state: State) -> Mapping[str, str]:
        """The fingerprints of folders that hold still, and that hold what nobody has made anything of, or what was
        made and is neither known nor refused. None while the last look has failed.
        """
        if self._told:
            return {}
        return {
            name: mark
            for name, mark in self._folders.settled.items()
            if not self._folders.moves(name) and self._is_new(name, mark, state.app(name))
        }

    def _is_new(self, name: str, fingerprint: str, app: AppState) -> bool:
        if self._attempts.fingerprint(name) == fingerprint:
            return False
        if name in self.waiting and self.waiting[name].fingerprint in (fingerprint, ""):
            return False
        made, release = self._made.get(name, ("", ""))
        if made != fingerprint:
            return True
        if release in ("", app.refused):
            return 0 < app.again <= time.time()
        told = (one.outcome for one in app.deploys if one.release == release and one.cause not in SAME_RELEASE)
        last = next(told, "")
        if last == CANARY:
            return release == app.promoted
        if release in (app.release, app.on_trial) or last == FAILED:
            return False
        return last != LIVE or not app.release  # what was live has been followed by what other replicas see

    def promoted(self, state: State) -> list[str]:
        """The apps of canaries that all are to have, though their folders hold what is refused."""
        busy = {*self.waiting, *self.news(state), *(state.round.changes if state.round else ())}
        now = time.time()
        return [
            name
            for name, app in state.apps.items()
            if app.canary is not None and app.promoted == app.canary.release and name not in busy
            if not (self.is_tried(name) or self.lacks(name))
            if app.refused != app.promoted or 0 < app.again <= now
        ]

    def gone(self, state: State, elsewhere: Collection[str]) -> list[str]:
        """Apps of the ledger whose folders are no more; elsewhere: those that other replicas see. Apps of a round are
        its business until it ends. All of several at once are a folder that is not mounted rather than a wish: none is
        removed while it is empty.
        """
        rolls = state.round.changes if state.round else {}
        known = {name: app for name, app in state.apps.items() if app.release or app.trouble}
        if len(known) > 1 and not self._folders.settled:
            return []
        busy, now = {*rolls, *self.waiting, *elsewhere}, time.time()
        return sorted(name for name, app in known.items() if name not in busy and self.lacks(name) and app.again <= now)

    def lacks(self, name: str) -> bool:
        """Whether the folder of this app is gone."""
        return self._folders.lacks(name)

    def moves(self, name: str) -> bool:
        """Whether the folder of this app does not hold still."""
        return self._folders.moves(name)

    def has_settled(self, name: str) -> bool:
        """Whether there is a folder of this app of which something can be made."""
        return name in self._folders.settled

    def start(self, state: State) -> None:
        """Snapshots and trials of what is new, as far as there is room; the rest is new the next time, too."""
        for name, fingerprint in self.news(state).items():
            if self._attempts.fingerprint(name) is not None:
                continue  # of what it was before: this is begun when that has come, and was dropped
            if not self._attempts.has_room:
                return
            if self.waiting.pop(name, None) is not None:
                self.forget(name)  # it may come back
            app = state.app(name)
            tried = (app.release, app.on_trial, "" if app.again else app.refused)
            beside = self._beside(state, name)
            self._attempts.start(name, fingerprint, tried, known=app.known, beside=beside)
        for name in self.promoted(state):
            if self._attempts.has_room:
                app = state.app(name)
                self._attempts.again(name, app.promoted, app.known, self._beside(state, name))

    def move(self, state: State, name: str) -> None:
        """Try what is served of an app in the pool that it should be in by what is known."""
        if self._attempts.has_room:
            app = state.app(name)
            self._attempts.again(name, app.release, app.known, self._beside(state, name), moves=True)

    def _beside(self, state: State, name: str) -> Beside:
        """The pools that are shared, without this app."""
        app = state.app(name)
        shared = {version.placement.pool for version in packages.wanted(state).values()} - {OWN}
        had = "" if app.placement.pool == SHARED else app.placement.environment
        return Beside({pool: self._pool(state, pool, name) for pool in sorted(shared)}, had)

    def _pool(self, state: State, pool: str, name: str) -> Pool:
        sharing = packages.members(state, pool)
        code = functools.partial(layout.code, self._settings.state)
        others = {one: code(one, version.release) for one, version in sorted(sharing.items()) if one != name}
        return Pool(packages.environment(state, pool), others, name in sharing)

    def ended(self) -> Iterator[Attempt]:
        """What has been tried, once each."""
        return self._attempts.ended()

    def is_tried(self, name: str) -> bool:
        return self._attempts.fingerprint(name) is not None

    def tried_release(self, name: str) -> str | None:
        """The release that is being tried; '' while it is made, None if nothing is."""
        return self._attempts.release(name)

    def run_hook(self, attempt: Attempt, may_begin: Callable[[], bool]) -> None:
        self._attempts.run_hook(attempt, may_begin)

    def has_changed(self, attempt: Attempt, app: AppState) -> bool:
        """Whether the folder is another by now, or what was promoted is wanted no more."""
        if not attempt.fingerprint:
            return attempt.release != app.promoted or attempt.app in self.waiting
        return self._folders.settled.get(attempt.app) != attempt.fingerprint

    def note(self, attempt: Attempt) -> None:
        """What the folder holds."""
        if attempt.fingerprint:
            self._made[attempt.app] = attempt.fingerprint, attempt.release

    def made(self, name: str) -> str | None:
        """The release of what the folder holds; '' if none can be made of it, None if that is not known."""
        made, release = self._made.get(name, ("", ""))
        return release if made and made == self._folders.settled.get(name) else None

    def is_gone_back_from(self, attempt: Attempt, app: AppState) -> bool:
        """Whether a rollback was ordered meanwhile."""
        waits = self.waiting.get(attempt.app)
        refused = waits.passed.refused if waits else "" if app.again else app.refused
        return bool(refused) and attempt.release == refused

    def conflict(self, state: State, name: str, release: str) -> str:
        """Why its mount is not to be had: it belongs to an app that is wanted, or that waits for its round."""
        wanted = {one: version.release for one, version in packages.wanted(state).items()}
        wanted |= {one: waits.passed.deploy.release for one, waits in self.waiting.items()}
        claims = [claim(one, layout.code(self._settings.state, one, of)) for one, of in wanted.items() if of]
        new = claim(name, layout.code(self._settings.state, name, release))
        return conflict(new, filter(None, claims)) if new else ""

    def forget(self, name: str) -> None:
        """What was made of this folder: it is new again."""
        self._made.pop(name, None)

    def wait(self, passed: Passed, fingerprint: str = "") -> None:
        """It goes with the next round."""
        self.waiting[passed.app] = Waiting(passed, time.monotonic(), fingerprint)

    def forgo(self, name: str, release: str) -> None:
        """This release does not go with the next round."""
        if name in self.waiting and self.waiting[name].passed.deploy.release == release:
            del self.waiting[name]

    def drop_outdated(self, state: State) -> None:
        """What was tried with other packages than the shared pool has now, or will have, is tried again."""
        for name in packages.outdated(state, [one.passed for one in self.waiting.values()]):
            del self.waiting[name]
            self.forget(name)

    def keep_what_is_back(self) -> None:
        """No removal of an app whose folder is there again."""
        for name in [name for name, one in self.waiting.items() if not one.passed.deploy.release]:
            if not self.lacks(name):
                del self.waiting[name]

    def are_complete(self, state: State, first: bool) -> bool:
        """Whether what waits need not wait for what is still tried. first: nothing is served yet."""
        since = min(one.since for one in self.waiting.values())
        others = bool(len(self._attempts) or self.news(state))
        return not others or time.monotonic() - since >= (FIRST_JOIN_S if first else JOIN_S)

    def drop(self) -> None:
        """What was begun is another's, or begins anew."""
        self._attempts.forget()
        for name in self.waiting:
            self.forget(name)
        self.waiting.clear()

    def close(self) -> None:
        """End what runs."""
        self._attempts.close()
