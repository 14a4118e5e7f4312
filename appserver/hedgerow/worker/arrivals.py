"""Apps that are wanted and that this worker does not have: their requests are refused before entry, so that another
address takes them, and nobody is told 404 of an app that has already answered somewhere. Not only those of the round
that is under way: a worker that drains may be asked when its round has ended.

The ledger is written before any worker starts with the new app, so looking at it at the moment of a 404 is never too
late. It is read anew only when its folder has changed, or has the next entry: some file systems tell times in seconds.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..control import layout
from ..control.ledger import Ledger, LedgerError
from ..errors import UserError
from ..hosting.manifest import read_manifest
from ..hosting.mounts import Mount, Mounts, mount_of


class _Arrival:
    """What routing wants to know of an app."""

    def __init__(self, name: str, mount: Mount) -> None:
        self.name = name
        self.mount = mount


class Arrivals:
    """The arriving apps of a state folder."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._ledger = Ledger(state)
        self._changed_ns = self._number = 0
        self._mounts = Mounts(())
        self._known: dict[tuple[str, str], list[_Arrival]] = {}  # by app and release, which never changes

    def expects(self, raw_path: str, host: str) -> bool:
        """Whether an app that is wanted, and that we may not have yet, answers this path."""
        try:
            changed_ns = os.stat(self._ledger.folder).st_mtime_ns
        except OSError:  # no deployer has ever been here
            return False
        if changed_ns != self._changed_ns or self._ledger.has(self._number + 1):
            self._changed_ns, self._mounts = changed_ns, self._read()
        return self._mounts.route(raw_path, host) is not None

    def _read(self) -> Mounts:
        try:
            state = self._ledger.read()
        except LedgerError:  # the deployer tells
            return Mounts(())
        self._number = state.number
        wanted = [(name, app.release) for name, app in state.apps.items() if app.release]
        self._known = {one: self._known.get(one) or self._arrival(*one) for one in wanted}
        return Mounts([arrival for found in self._known.values() for arrival in found])

    def _arrival(self, name: str, release: str) -> list[_Arrival]:
        try:
            manifest = read_manifest(layout.code(self._state, name, release))
        except UserError:  # it does not load, so it will not answer either
            return []
        return [_Arrival(name, mount_of(name, manifest.mount, manifest.host))]
