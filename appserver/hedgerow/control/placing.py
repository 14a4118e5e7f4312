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
from .environments.interpreters import Interpreter
from .environments.requirements import Requirements
from .environments.resolution import Conflict
from .environments.uv import LIMIT_S, Uv
from .placement import BESIDE_OTHERS, SHARED, Asked, Known, Placement, Tried
from .step import Outcome
from .trial import SEE, try_release

ENDED = ("load", "warm-up")  # a trial beside others that fails there may be passed alone
MACHINE = (
    *releases.STATE_IS_FULL, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EIO, errno.ENETUNREACH,
)  # fmt: skip


@dataclass(frozen=True)
class Pool:
    """One that a release may join: its environment, and where the releases of the other apps in it lie. shares: the app
    is one of them already.
    """

    environment: str = ""
    others: Mapping[str, Path] = field(default_factory=dict)
    shares: bool = False


@dataclass(frozen=True)
class Beside:
    """Those that there are, by name. had: the environment that the app has now, if that is not the shared pool's."""

    pools: Mapping[str, Pool] = field(default_factory=dict)
    had: str = ""

    def pool(self, name: str) -> Pool:
        """Empty if there is none."""
        return self.pools.get(name, EMPTY)


EMPTY = Pool()
ALONE = Beside()


class Placed(NamedTuple):
    """What came of a release, and where it runs if that was well. beneath: what its pool runs in so far; replaces: if
    the pool would have other packages then, and not only more, the releases of the others there, by app.
    """

    outcome: Outcome
    placement: Placement = BESIDE_OTHERS
    beneath: str = ""
    replaces: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Found:
    """The environments with what a release requires, None for what there is: beside others, and alone. conflict: why
    the shared pool cannot have it; further: the pool that can, '' if none; replaces: which has other packages then.
    """

    beside: str | None = None
    alone: str | None = None
    conflict: str = ""
    further: str = ""
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
    outcome, chosen = placing.tried(_asked(manifest, found), found)
    pool = beside.pool(chosen.pool)
    others = {name: code.parent.name for name, code in pool.others.items()}
    return Placed(outcome, chosen, pool.environment, others if found.replaces and not chosen.is_own else None)


class _Placing:
    """One release's."""

    def __init__(
        self, app: str, code: Path, settings: Settings, known: Known, beside: Beside, cancel: threading.Event
    ) -> None:
        self._app, self._code, self._settings = app, code, settings
        self._known, self._beside, self._cancel = known, beside, cancel

    def environment(self, manifest: Manifest) -> Found:
        """With what it requires, built."""
        asked = requirements.of(self._app, self._code, manifest)
        if asked is None:
            return Found()
        uv = Uv(self._settings, Clock(LIMIT_S, self._cancel))
        shared, is_own = self._beside.pool(SHARED), placement.first(self._app, self._known, _asked(manifest)).is_own
        present = builds.overlay(self._settings.state, shared.environment)
        found = resolution.shared(uv, asked, present)
        if isinstance(found, Conflict):
            if shared.shares and found.packages:
                of_all = resolution.together(uv, [asked, *_asked_by(shared.others)], present)
                if not isinstance(of_all, Conflict):
                    name = builds.build(uv, builds.shared(of_all), asked)
                    return Found(name, name, replaces=True)
            python = interpreters.choose([asked], uv.interpreters)
            if is_own:
                return Found(alone=self._own(uv, asked, python), conflict=found.sentence)
            return self._elsewhere(uv, asked, python, found)
        beside, kept = builds.shared(found), self._kept(uv, asked)
        if is_own:  # then nobody needs the other
            return Found(alone=builds.build(uv, kept or beside, asked))
        name = builds.build(uv, beside, asked)
        return Found(name, self._alone(name, kept))

    def _alone(self, beside: str, kept: builds.Environment | None) -> str:
        """What it has alone already, or what it would have beside others."""
        return self._beside.had if kept is not None and kept.name == self._beside.had else beside

    def _elsewhere(self, uv: Uv, asked: Requirements, python: Interpreter, conflict: Conflict) -> Found:
        """In the further pool that it shares, or in that of those which have the same conflict; alone if those cannot
        have it, either.
        """
        other = [] if python == interpreters.running() else [f"python{'.'.join(map(str, python.numbers[:2]))}"]
        names = [name for name, pool in self._beside.pools.items() if name != SHARED and pool.shares and pool.others]
        if reasons := other or conflict.packages:
            names.append(placement.further(reasons))
        for name in dict.fromkeys(names):
            if (found := self._further(uv, asked, python, name)) is not None:
                return dataclasses.replace(found, conflict=conflict.sentence, further=name)
        either = f", and {names[-1]} cannot have it, either" if names else ""
        return Found(alone=self._own(uv, asked, python), conflict=conflict.sentence + either)

    def _further(self, uv: Uv, asked: Requirements, python: Interpreter, name: str) -> Found | None:
        """In this further pool; None if it cannot have it."""
        pool = self._beside.pool(name)
        if not pool.others:
            made = self._packages(uv, asked, python, pool.environment or self._beside.had)
            if resolution.brings(self._code.parents[1], made.lock):  # what it has may be an earlier release's
                return None
            found = builds.build(uv, made, asked)
            return Found(found, found, replaces=True)  # it was made for nobody else
        had = builds.read(self._settings.state, pool.environment)
        if had is None or not interpreters.fits(asked, had.interpreter):
            return None
        kept = builds.overlay(self._settings.state, pool.environment)
        of_all = resolution.apart(uv, [asked, *_asked_by(pool.others)], had.interpreter, kept)
        if isinstance(of_all, Conflict):
            return None
        replaces = any(kept.lock.versions.get(one, version) != version for one, version in of_all.versions.items())
        if replaces and not pool.shares:
            return None
        found = builds.build(uv, builds.own(of_all if replaces else kept.lock.added(of_all), had.interpreter), asked)
        return Found(found, self._alone(found, self._kept(uv, asked)), replaces=replaces)

    def _own(self, uv: Uv, asked: Requirements, python: Interpreter) -> str:
        """An environment for it alone."""
        return builds.build(uv, self._packages(uv, asked, python, self._beside.had), asked)

    def _packages(self, uv: Uv, asked: Requirements, python: Interpreter, had: str) -> builds.Environment:
        """The same before it is built. had: what it has now, which stays as far as it still asks for that."""
        kept = builds.kept(self._settings.state, had, python)
        return builds.own(resolution.own(uv, asked, python, kept), python)

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
        """If its pool gets further packages for its sake, all who are there are tried with them."""
        pool = self._beside.pool(chosen.pool)
        if not outcome.ok or chosen.environment == pool.environment:
            return outcome, chosen
        for name, code in pool.others.items():
            another = try_release(name, code, self._settings, self._cancel, placement=chosen)
            if not another.ok:
                reason = f"{self._app}: with what it requires {name} does not pass its trial: {another.reason}"
                own = dataclasses.replace(chosen, pool=placement.OWN, cause="requirements", reason=reason)
                return self._try(own, Asked()), own
        return outcome, chosen

    def _in(self, found: Found, chosen: Placement) -> Placement:
        present = self._beside.pool(chosen.pool).environment
        alone, beside = found.alone or "", present if found.beside is None else found.beside
        return dataclasses.replace(chosen, environment=alone if chosen.is_own else beside)

    def _try(self, chosen: Placement, asked: Asked) -> Outcome:
        """Where findings lead elsewhere, the check is for the trial there."""
        app, known, cancel = self._app, self._known, self._cancel

        def is_enough(found: Sequence[Finding]) -> bool:
            return placement.then(app, known, asked, chosen, Tried(found=found)) is not None

        return try_release(app, self._code, self._settings, cancel, placement=chosen, is_enough=is_enough)


NO_CONFLICT = Found()


def _asked(manifest: Manifest, found: Found = NO_CONFLICT) -> Asked:
    is_server = manifest.run is not None
    asked = Asked(manifest.pool, manifest.isolation, manifest.concurrency, is_server, found.conflict, found.further)
    return dataclasses.replace(asked, memory=bool(manifest.limits.memory_mb))


def _asked_by(others: Mapping[str, Path]) -> list[Requirements]:
    """What those who share ask for; the manifest of one that runs can be read."""
    found = (requirements.of(name, code, read_manifest(code)) for name, code in others.items())
    return [one for one in found if one is not None]


def _why(outcome: Outcome) -> str:
    """Its reason in one sentence, with the exception where that is in the traceback."""
    told = outcome.reason.removesuffix(SEE)
    return told if told == outcome.reason else f"{told}: {outcome.traceback.rstrip().rpartition(chr(10))[2]}"


def _sum(*outcomes: Outcome) -> dict[str, float]:
    """How long each step took in all."""
    names = [name for outcome in outcomes for name in outcome.seconds]
    return {name: round(sum(outcome.seconds.get(name, 0.0) for outcome in outcomes), 3) for name in names}
