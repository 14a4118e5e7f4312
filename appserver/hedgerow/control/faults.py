"""What this replica cannot run, though it is wanted: content with which a worker did not get ready, and releases whose
loading ends or holds up a worker. In memory only: a deployer that is started again finds out anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .plan import Content


@dataclass(frozen=True)
class LeftOut:
    """A release that is not loaded here, what is loaded instead, and why."""

    code: str
    instead: str | None
    trouble: str


class Faults:
    """Those of one replica. rejected: content that is not tried again while the same is wanted."""

    def __init__(self) -> None:
        self.rejected: Content | None = None
        self._blamed = self._reason = ""
        self._left_out: dict[str, LeftOut] = {}

    @property
    def told(self) -> tuple[dict[str, str] | None, str, str]:
        """What was rejected, by releases, the app that was the cause if that is known, and why: for other replicas."""
        return (None if self.rejected is None else self.hashes(self.rejected)), self._blamed, self._reason

    @property
    def troubles(self) -> dict[str, str]:
        """Why apps are left out."""
        return {name: left.trouble for name, left in self._left_out.items()}

    def reject(self, content: Content, reason: str, blamed: str = "") -> None:
        """A worker did not get ready with it."""
        self.rejected, self._reason, self._blamed = content, reason, blamed

    def forget_rejection(self) -> None:
        """Something else is wanted now."""
        self.rejected, self._blamed, self._reason = None, "", ""

    def leave_out(self, wanted: Content, app: str, instead: str | None, trouble: str) -> bool:
        """Do not load this release of an app any more. Whether there is one to be left out."""
        code = wanted.apps.get(app)
        if code is None:
            return False
        self._left_out[app] = LeftOut(code, instead if instead != code else None, trouble)
        return True

    def without(self, wanted: Content | None) -> Content | None:
        """What is wanted, as far as it can be run here."""
        if wanted is None:
            return None
        self._left_out = {name: left for name, left in self._left_out.items() if wanted.apps.get(name) == left.code}
        apps, broken = dict(wanted.apps), dict(wanted.broken)
        for name, left in self._left_out.items():
            del apps[name]
            if left.instead:
                apps[name] = left.instead
            else:
                broken[name] = left.trouble
        return Content(apps, broken)

    def hashes(self, content: Content) -> dict[str, str]:
        """The releases of a content by app, as the ledger names them: what is left out counts as run, since a round
        that waited for it would have no end.
        """
        codes = dict(content.apps)
        for name, left in self._left_out.items():
            if codes.get(name) == left.instead:
                codes[name] = left.code
        return {name: Path(code).parent.name for name, code in codes.items()}
