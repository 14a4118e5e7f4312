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

from ..config import Settings
from ..errors import UserError
from ..hosting.findings import Finding
from ..hosting.manifest import Manifest, read_manifest
from . import placement, releases
from .child import Cancelled, Clock
from .environments import builds, interpreters, requirements, resolution
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
    """The shared pool that a release may join: its environment, and where the releases of the other apps in it lie."""

    environment: str = ""
    others: Mapping[str, Path] = field(default_factory=dict)


ALONE = Beside()


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
) -> tuple[Outcome, Placement]:
    """Try the release of `app` in `code`: what came of it, and where it runs if that was well.

    Raises UserError when it is not the release that keeps a trial from being run.
    """
    try:
        manifest = read_manifest(code)
    except UserError as mistake:
        return Outcome("load", str(mistake)), BESIDE_OTHERS
    placing = _Placing(app, code, settings, known, beside, cancel or threading.Event())
    try:
        environment, conflict = placing.environment(manifest.python or "")
    except Cancelled:
        return Outcome("environment", f"{app}: its environment was called off"), BESIDE_OTHERS
    except UserError as mistake:
        if is_the_machine(mistake):
            raise
        return Outcome("environment", str(mistake)), BESIDE_OTHERS
    return placing.tried(_asked(manifest, conflict), environment)


class _Placing:
    """One release's."""

    def __init__(
        self, app: str, code: Path, settings: Settings, known: Known, beside: Beside, cancel: threading.Event
    ) -> None:
        self._app, self._code, self._settings = app, code, settings
        self._known, self._beside, self._cancel = known, beside, cancel

    def environment(self, python: str) -> tuple[str | None, str]:
        """The environment with what it requires, None if that is nothing; and why the shared pool cannot have it."""
        asked = requirements.wanted(self._app, self._code, python)
        if asked is None:
            return None, ""
        uv = Uv(self._settings, Clock(LIMIT_S, self._cancel))
        found = resolution.shared(uv, asked, builds.overlay(self._settings.state, self._beside.environment))
        if not isinstance(found, Conflict):
            return builds.build(uv, builds.shared(found), asked), ""
        python_of = interpreters.choose(asked, uv.interpreters)
        return builds.build(uv, builds.own(resolution.own(uv, asked, python_of), python_of), asked), found.sentence

    def tried(self, asked: Asked, environment: str | None) -> tuple[Outcome, Placement]:
        """The trials. environment: None for what there is."""
        chosen = placement.first(self._app, self._known, asked)
        present = "" if chosen.is_own else self._beside.environment
        chosen = dataclasses.replace(chosen, environment=present if environment is None else environment)
        outcome = self._try(chosen, asked)
        while (other := self._next(asked, chosen, outcome)) is not None:
            if environment is None:
                other = dataclasses.replace(other, environment="")
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

    def _try(self, chosen: Placement, asked: Asked) -> Outcome:
        """Where findings lead elsewhere, the check is for the trial there."""
        app, known, cancel = self._app, self._known, self._cancel

        def is_enough(found: Sequence[Finding]) -> bool:
            return placement.then(app, known, asked, chosen, Tried(found=found)) is not None

        return try_release(app, self._code, self._settings, cancel, placement=chosen, is_enough=is_enough)


def _asked(manifest: Manifest, conflict: str) -> Asked:
    return Asked(manifest.pool, manifest.isolation, manifest.concurrency, manifest.run is not None, conflict)


def _why(outcome: Outcome) -> str:
    """Its reason in one sentence, with the exception where that is in the traceback."""
    told = outcome.reason.removesuffix(SEE)
    return told if told == outcome.reason else f"{told}: {outcome.traceback.rstrip().rpartition(chr(10))[2]}"


def _sum(*outcomes: Outcome) -> dict[str, float]:
    """How long each step took in all."""
    names = [name for outcome in outcomes for name in outcome.seconds]
    return {name: round(sum(outcome.seconds.get(name, 0.0) for outcome in outcomes), 3) for name in names}
