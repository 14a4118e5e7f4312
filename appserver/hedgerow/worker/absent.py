"""Apps that the ledger knows and that this worker has not loaded: those that arrive, and those that came to nothing.

A request of one that arrives is refused before entry, so that another address takes it, and nobody is told 404 of an
app that has already answered somewhere. Not only during the round that brings it: a worker that drains may be asked
when its round has ended. One of which no release was ever live is down where nobody else answers, without a worker
being started for it.

The ledger is written before any worker starts with a new app, so looking at it at the moment of a 404 is never too
late. It is read anew only when its folder has changed, or has the next entry: some file systems tell times in seconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..control import layout
from ..control.entries import AppState, Deploy
from ..control.ledger import Ledger, LedgerError
from ..errors import LoadError
from ..hosting.app import HostedApp
from ..hosting.cache_table import NOTHING, CacheTable
from ..hosting.claims import Claim, claim
from ..hosting.forwarded import ForwardedApp
from ..hosting.mounts import Mount, mount_of


@dataclass(frozen=True, eq=False)
class AbsentApp:
    """One of them. error: why it is down; None while it arrives."""

    name: str
    mount: Mount
    error: LoadError | None = None
    cache: CacheTable = NOTHING  # who has it decides


class AbsentApps:
    """Those of a worker that serves `loaded`. state: where the ledger is; wanted: what arrives, or is left out here;
    failed: what never lived; apps: all that the ledger tells.
    """

    def __init__(self, state: Path, loaded: Iterable[HostedApp | ForwardedApp] = ()) -> None:
        self._state = state
        self._ledger = Ledger(state)
        self._loaded = {app.name: app for app in loaded}
        self._mounts = {app.mount for app in self._loaded.values()}
        self._changed_ns = self._number = 0
        self._claims: dict[tuple[str, str], Claim] = {}  # by app and release, which never changes
        self.wanted: list[AbsentApp] = []
        self.failed: list[AbsentApp] = []
        self.apps: Mapping[str, AppState] = {}

    def look(self) -> bool:
        """Whether the ledger has told something new since the last look."""
        try:
            changed_ns = os.stat(self._ledger.folder).st_mtime_ns
            if changed_ns == self._changed_ns and not self._ledger.has(self._number + 1):
                return False
            state = self._ledger.read()
        except (LedgerError, OSError):  # no deployer has ever been here, or it tells what is wrong
            return False
        self._changed_ns, self._number = changed_ns, state.number
        known, self._claims = self._claims, {}
        wanted = [self._wanted(name, app.release, known) for name, app in state.apps.items() if app.release]
        failed = [self._failed(name, app, known) for name, app in state.apps.items() if app.trouble and not app.release]
        self.wanted = [one for one in wanted if one is not None and one.mount not in self._mounts]
        self.failed = failed
        self.apps = state.apps
        return True

    def _wanted(self, name: str, release: str, known: Mapping[tuple[str, str], Claim]) -> AbsentApp | None:
        here = self._loaded.get(name)
        if here is not None and here.folder == layout.code(self._state, name, release):
            return None  # without a look at its manifest
        found = self._claim(name, release, known)
        return AbsentApp(name, found.mount, here.error if here else None) if found else None

    def _failed(self, name: str, app: AppState, known: Mapping[tuple[str, str], Claim]) -> AbsentApp:
        trouble = app.trouble or Deploy("")
        found = self._claim(name, trouble.release, known) if trouble.release else None
        return AbsentApp(name, found.mount if found else mount_of(name, None, None), LoadError(trouble.reason))

    def _claim(self, name: str, release: str, known: Mapping[tuple[str, str], Claim]) -> Claim | None:
        found = known.get((name, release)) or claim(name, layout.code(self._state, name, release))
        if found is not None:
            self._claims[name, release] = found
        return found
