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
from ..hosting.claims import Claim, claim
from ..hosting.mounts import Mounts


class Arrivals:
    """The arriving apps of a state folder."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._ledger = Ledger(state)
        self._changed_ns = self._number = 0
        self._mounts = Mounts(())
        self._known: dict[tuple[str, str], Claim | None] = {}  # by app and release, which never changes

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
        self._known = {one: self._known.get(one) or self._claim(*one) for one in wanted}
        return Mounts([found for found in self._known.values() if found is not None])

    def _claim(self, name: str, release: str) -> Claim | None:
        return claim(name, layout.code(self._state, name, release))
