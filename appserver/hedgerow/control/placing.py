"""A release finds its pool: what it requires is made, then it is tried beside others, unless it is known to want a pool
of its own, and alone if that shows why it should not share. What follows from what is decided in placement.py.
"""

from __future__ import annotations

import dataclasses
import errno
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..config import Settings
from ..errors import UserError
from ..hosting.findings import Finding
from ..hosting.manifest import Manifest, read_manifest
from . import placement, releases
from .child import Cancelled, Clock
from .environments import builds, interpreters, requirements, resolution
from .environments.requirements import Requirements
from .environments.resolution import Conflict
from .environments.uv import LIMIT_S, Uv
from .placement import BESIDE_OTHERS, Asked, Known, Placement, Tried
from .step import Outcome
from .trial import SEE, try_release

ENDED = ("load", "warm-up")  # a trial beside others that fails there may be passed alone
MACHINE = (
    *releases.STATE_IS_FULL, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EIO, errno.ENETUNREACH,
)  # fmt: skip


@dataclass(frozen=True)
class Beside:
    """The shared pool that a release may join: its environment, and where the releases of the other apps in it lie.
    shares: the app is one of them already; had: else the environment that it has in its own pool now.
    """

    environment: str = ""
    others: Mapping[str, Path] = field(default_factory=dict)
    shares: bool = False
    had: str = ""


ALONE = Beside()


class Placed(NamedTuple):
    """What came of a release, and where it runs if that was well. replaces: the shared pool would have other packages
    then, and not only more.
    """

    outcome: Outcome
    placement: Placement = BESIDE_OTHERS
    replaces: bool = False


@dataclass(frozen=True)
class Found:
    """The environments with what a release requires, None for what there is: beside others, and alone. conflict: why
    the shared pool cannot have it; replaces: as in Placed.
    """

    beside: str | None = None
    alone: str | None = None
    conflict: str = ""
    replaces: bool = False


def is_the_machine(error: Exception) -> bool:
    """Whether the same content may be well another time: what it is does not matter."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in MACHINE


def place(
    app: str,
    code: Path,
    settings: Settings,
    known: Known,
    beside: Beside = ALONE,
    cancel: threading.Event | None = None,
) -> Placed:
    """Try the release of `app` in `code`.

    Raises UserError when it is not the release that keeps a trial from being run.
    """
    try:
        manifest = read_manifest(code)
    except UserError as mistake:
        return Placed(Outcome("load", str(mistake)))
    placing = _Placing(app, code, settings, known, beside, cancel or threading.Event())
    try:
        found = placing.environment(manifest)
    except Cancelled:
        return Placed(Outcome("environment", f"{app}: its environment was called off"))
    except UserError as mistake:
        if is_the_machine(mistake):
            raise
        return Placed(Outcome("environment", str(mistake)))
    outcome, chosen = placing.tried(_asked(manifest, found.conflict), found)
    return Placed(outcome, chosen, found.replaces and not chosen.is_own)


class _Placing:
    """One release's."""

    def __init__(
        self, app: str, code: Path, settings: Settings, known: Known, beside: Beside, cancel: threading.Event
    ) -> None:
        self._app, self._code, self._settings = app, code, settings
        self._known, self._beside, self._cancel = known, beside, cancel

    def environment(self, manifest: Manifest) -> Found:
        """With what it requires, built."""
        asked = requirements.wanted(self._app, self._code, manifest.python or "")
        if asked is None:
            return Found()
        uv = Uv(self._settings, Clock(LIMIT_S, self._cancel))
        present = builds.overlay(self._settings.state, self._beside.environment)
        found = resolution.shared(uv, asked, present)
        if isinstance(found, Conflict):
            if self._beside.shares and found.versions:
                of_all = resolution.together(uv, [asked, *self._asked_by_others()], present)
                if not isinstance(of_all, Conflict):
                    name = builds.build(uv, builds.shared(of_all), asked)
                    return Found(name, name, replaces=True)
            return Found(alone=self._own(uv, asked), conflict=found.sentence)
        beside, kept = builds.shared(found), self._kept(uv, asked)
        if placement.first(self._app, self._known, _asked(manifest)).is_own:  # then nobody needs the other
            return Found(alone=builds.build(uv, kept or beside, asked))
        name = builds.build(uv, beside, asked)
        return Found(name, self._beside.had if kept is not None and kept.name == self._beside.had else name)

    def _asked_by_others(self) -> list[Requirements]:
        """What those who share ask for; the manifest of one that runs can be read."""
        others = self._beside.others.items()
        found = (requirements.wanted(name, code, read_manifest(code).python or "") for name, code in others)
        return [one for one in found if one is not None]

    def _own(self, uv: Uv, asked: Requirements) -> str:
        """An environment for it alone, with what it has now as far as it still asks for that."""
        python = interpreters.choose(asked, uv.interpreters)
        kept = builds.kept(self._settings.state, self._beside.had, python)
        return builds.build(uv, builds.own(resolution.own(uv, asked, python, kept), python), asked)

    def _kept(self, uv: Uv, asked: Requirements) -> builds.Environment | None:
        """What an app has that is in its own pool for other reasons, and more if it asks for that by now."""
        state, name = self._settings.state, self._beside.had
        had = builds.read(state, name)
        if had is None or not builds.is_current(state, name) or not interpreters.fits(asked, had.interpreter):
            return None
        if had.kind == builds.OWN:
            lock = resolution.own(uv, asked, had.interpreter, builds.overlay(state, name))
            return builds.own(lock, had.interpreter)
        found = resolution.shared(uv, asked, builds.overlay(state, name))
        return None if isinstance(found, Conflict) else builds.shared(found)

    def tried(self, asked: Asked, found: Found) -> tuple[Outcome, Placement]:
        """The trials."""
        chosen = self._in(found, placement.first(self._app, self._known, asked))
        outcome = self._try(chosen, asked)
        while (other := self._next(asked, chosen, outcome)) is not None:
            other = self._in(found, other)
            again = self._try(other, asked)
            again = dataclasses.replace(again, seconds=_sum(outcome, again))
            if not (again.ok or outcome.ok or again.found):  # what was said first says more
                return dataclasses.replace(outcome, seconds=again.seconds), chosen
            outcome, chosen = again, other
        return self._joined(outcome, chosen)

    def _next(self, asked: Asked, chosen: Placement, outcome: Outcome) -> Placement | None:
        ended = not outcome.ok and (outcome.step not in ENDED or outcome.hangs)
        if ended and not outcome.found:
            return None
        return placement.then(self._app, self._known, asked, chosen, Tried(_why(outcome), outcome.found))

    def _joined(self, outcome: Outcome, chosen: Placement) -> tuple[Outcome, Placement]:
        """If the shared pool gets further packages for its sake, all who are there are tried with them."""
        if not outcome.ok or chosen.is_own or chosen.environment == self._beside.environment:
            return outcome, chosen
        for name, code in self._beside.others.items():
            another = try_release(name, code, self._settings, self._cancel, placement=chosen)
            if not another.ok:
                reason = f"{self._app}: with what it requires {name} does not pass its trial: {another.reason}"
                own = dataclasses.replace(chosen, pool=placement.OWN, cause="requirements", reason=reason)
                return self._try(own, Asked()), own
        return outcome, chosen

    def _in(self, found: Found, chosen: Placement) -> Placement:
        alone, beside = found.alone or "", self._beside.environment if found.beside is None else found.beside
        return dataclasses.replace(chosen, environment=alone if chosen.is_own else beside)

    def _try(self, chosen: Placement, asked: Asked) -> Outcome:
        """Where findings lead elsewhere, the check is for the trial there."""
        app, known, cancel = self._app, self._known, self._cancel

        def is_enough(found: Sequence[Finding]) -> bool:
            return placement.then(app, known, asked, chosen, Tried(found=found)) is not None

        return try_release(app, self._code, self._settings, cancel, placement=chosen, is_enough=is_enough)


def _asked(manifest: Manifest, conflict: str = "") -> Asked:
    return Asked(manifest.pool, manifest.isolation, manifest.concurrency, manifest.run is not None, conflict)


def _why(outcome: Outcome) -> str:
    """Its reason in one sentence, with the exception where that is in the traceback."""
    told = outcome.reason.removesuffix(SEE)
    return told if told == outcome.reason else f"{told}: {outcome.traceback.rstrip().rpartition(chr(10))[2]}"


def _sum(*outcomes: Outcome) -> dict[str, float]:
    """How long each step took in all."""
    names = [name for outcome in outcomes for name in outcome.seconds]
    return {name: round(sum(outcome.seconds.get(name, 0.0) for outcome in outcomes), 3) for name in names}
