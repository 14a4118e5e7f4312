"""Apps that the ledger knows and that this worker has not loaded: those that arrive, and those that came to nothing.

A request of one that arrives is refused before entry, so that another address takes it, and nobody is told 404 of an
app that has already answered somewhere. Not only during the round that brings it: a worker that drains may be asked
when its round has ended. One of which no release was ever live is down, without a worker being started for it.

The ledger is written before any worker starts with a new app, so looking at it at the moment of a 404 is never too
late. It is read anew only when its folder has changed, or has the next entry: some file systems tell times in seconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..control import layout
from ..control.ledger import AppState, Ledger, LedgerError
from ..errors import LoadError
from ..hosting.app import HostedApp
from ..hosting.claims import Claim, claim
from ..hosting.mounts import Mount, mount_of


@dataclass(frozen=True, eq=False)
class AbsentApp:
    """One of them. error: why it is down; None while it arrives."""

    name: str
    mount: Mount
    error: LoadError | None = None


class AbsentApps:
    """Those of a worker that serves `loaded`. state: the folder of the ledger; all: as the last look found it."""

    def __init__(self, state: Path, loaded: Iterable[HostedApp] = ()) -> None:
        self._state = state
        self._ledger = Ledger(state)
        self._loaded = {app.name: app for app in loaded}
        self._mounts = {app.mount for app in self._loaded.values()}
        self._changed_ns = self._number = 0
        self._claims: dict[tuple[str, str], Claim | None] = {}  # by app and release, which never changes
        self.all: tuple[AbsentApp, ...] = ()

    def look(self) -> bool:
        """Whether the ledger was written since the last look; then `all` is what it tells now."""
        try:
            changed_ns = os.stat(self._ledger.folder).st_mtime_ns
        except OSError:  # no deployer has ever been here
            return False
        if changed_ns == self._changed_ns and not self._ledger.has(self._number + 1):
            return False
        self._changed_ns = changed_ns
        try:
            state = self._ledger.read()
        except LedgerError:  # the deployer tells
            self.all = ()
            return True
        self._number = state.number
        found = [self._absent(name, app) for name, app in sorted(state.apps.items())]
        self.all = tuple(one for one in found if one is not None and one.mount not in self._mounts)
        return True

    def _absent(self, name: str, app: AppState) -> AbsentApp | None:
        here, trouble = self._loaded.get(name), app.trouble
        if app.release:
            if here is not None and here.folder == layout.code(self._state, name, app.release):
                return None  # without a look at its manifest
            found = self._claim(name, app.release)
            return AbsentApp(name, found.mount, here.error if here else None) if found else None
        if trouble is None:
            return None
        failed = self._claim(name, trouble.release) if trouble.release else None
        return AbsentApp(name, failed.mount if failed else mount_of(name, None, None), LoadError(trouble.reason))

    def _claim(self, name: str, release: str) -> Claim | None:
        if (name, release) not in self._claims:
            self._claims[name, release] = claim(name, layout.code(self._state, name, release))
        return self._claims[name, release]
