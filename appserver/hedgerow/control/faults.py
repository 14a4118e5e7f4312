"""What this replica cannot run, though it is wanted: content with which a worker did not get ready, and releases whose
loading ends or holds up a worker. In memory only: a deployer that is started again finds out anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from .plan import Content
from .pools import App, Wanted
from .rounds import NOT_READY, Releases


@dataclass(frozen=True)
class LeftOut:
    """What of an app is not loaded here, what is loaded instead, and why. lacks_python: only as long as its
    environment does.
    """

    app: App
    instead: App | None
    trouble: str
    lacks_python: bool = False

    def holds(self, wanted: App) -> bool:
        """Whether that is still what is wanted, and nobody has ordered its deploy since."""
        return (wanted.key, wanted.ordered) == (self.app.key, self.app.ordered)


class Faults:
    """Those of one replica. rejected: content that is not tried again while the same is wanted."""

    def __init__(self) -> None:
        self.rejected: Content | None = None
        self._rejected: dict[str, str] | None = None
        self._blamed = self._reason = ""
        self._left_out: dict[str, LeftOut] = {}
        self._minded: dict[str, str] = {}  # the keys of what was wanted when environments were looked at

    @property
    def told(self) -> tuple[dict[str, str] | None, str, str]:
        """What was wanted then, the app that was the cause if that is known, and why: for other replicas."""
        return self._rejected, self._blamed, self._reason

    @property
    def troubles(self) -> dict[str, str]:
        """Why apps are left out."""
        return {name: left.trouble for name, left in self._left_out.items()}

    @property
    def left_out(self) -> dict[str, tuple[int, str]]:
        """The same, with the order before which that was: for who answers it."""
        return {name: (left.app.ordered, left.trouble) for name, left in self._left_out.items()}

    def reject(self, wanted: Wanted, content: Content, reason: str, blamed: str = "") -> None:
        """A worker did not get ready with this content, a part of what is wanted."""
        self.rejected, self._reason, self._blamed = content, reason, blamed
        self._rejected = self._as_wanted(wanted.keys)

    def forget_rejection(self) -> None:
        """Something else is wanted now."""
        self.rejected, self._rejected, self._blamed, self._reason = None, None, "", ""

    def leave_out(self, wanted: Wanted, name: str, instead: str | None, trouble: str) -> bool:
        """Do not load this release of an app any more until its deploy is ordered; instead: the code of the one that
        runs. Whether there is one to be left out.
        """
        app = wanted.apps.get(name)
        if app is None:
            return False
        other = dataclasses.replace(app, code=instead) if instead not in (None, app.code) else None
        self._left_out[name] = LeftOut(app, other, trouble)
        return True

    def mind(self, wanted: Wanted | None, trouble: Callable[[str], str]) -> list[str]:
        """Leave out each app in whose environment no worker can be started, which supervisord would try again and
        again, until one can. trouble: why none can. Returns sentences. Only what is newly wanted is left out: a worker
        that runs goes on.
        """
        if wanted is None:
            return []
        told = []
        for name, app in wanted.apps.items():
            left, is_new = self._left_out.get(name), self._minded.get(name) != app.key
            if left is not None and left.lacks_python:
                if trouble(app.placement.environment):
                    self._left_out[name] = dataclasses.replace(left, app=app)  # no order helps
                else:
                    del self._left_out[name]
            elif left is None and is_new and (why := trouble(app.placement.environment)):
                self._left_out[name] = LeftOut(app, None, f"{name}: {why}", lacks_python=True)
                told.append(f"{name}: {why}; it is left out until it has one")
        self._minded = wanted.keys
        return told

    def without(self, wanted: Wanted | None) -> Wanted | None:
        """What is wanted, as far as it can be run here."""
        if wanted is None:
            return None
        known = ((name, left, wanted.apps.get(name)) for name, left in self._left_out.items())
        self._left_out = {name: left for name, left, app in known if app is not None and left.holds(app)}
        apps, broken = dict(wanted.apps), dict(wanted.broken)
        for name, left in self._left_out.items():
            del apps[name]
            if left.instead:
                apps[name] = left.instead
            else:
                broken[name] = left.trouble
        return Wanted(apps, broken)

    def as_told(self, runs: Releases) -> Releases:
        """What an address runs, as the round is to see it: what is left out counts as run, since a round that waited
        for it would have no end.
        """
        return runs if runs == NOT_READY else self._as_wanted(runs)

    def _as_wanted(self, runs: Releases) -> dict[str, str]:
        found = dict(runs)
        for name, left in self._left_out.items():
            if found.get(name) == (left.instead.key if left.instead else None):
                found[name] = left.app.key
        return found
