"""An environment made anew: its packages resolved and built beside it, and every app that would run in it tried there.
What is to be made, and what follows, is renewals.py's; it changes nothing but the state's environments.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..config import Settings
from ..errors import UserError
from ..hosting.manifest import read_manifest
from . import layout
from .child import Cancelled, Clock
from .environments import builds, interpreters, requirements, resolution
from .environments.base import Overlay
from .environments.interpreters import Interpreter
from .environments.lock import Lock
from .environments.requirements import Requirements
from .environments.resolution import Conflict
from .environments.uv import LIMIT_S, Uv
from .placement import OWN, SHARED
from .placing import is_the_machine
from .renewals import Renewal, Renewed
from .step import Outcome
from .trial import try_release

STEP = "environment"


def renew(renewal: Renewal, settings: Settings, cancel: threading.Event) -> Renewed:
    """What comes of it. May raise OSError."""
    return _Renewing(renewal, settings, cancel).run()


class _Renewing:
    """One. forced: what runs now could not be started again, so who fails does not hold up the others."""

    def __init__(self, renewal: Renewal, settings: Settings, cancel: threading.Event) -> None:
        self._renewal, self._settings, self._cancel = renewal, settings, cancel
        self._began = time.time()
        self._codes = {name: layout.code(settings.state, name, of.release) for name, of in renewal.apps.items()}
        self._forced = not renewal.newest and bool(builds.trouble(settings.state, renewal.environment))

    def run(self) -> Renewed:
        began = time.monotonic()
        try:
            environment = self._environment(Uv(self._settings, Clock(LIMIT_S, self._cancel)))
        except Cancelled:
            return self._failed(Outcome(STEP, f"{self._renewal.who}: its environment was called off"), passing=True)
        except UserError as mistake:
            return self._failed(Outcome(STEP, str(mistake)), passing=is_the_machine(mistake))
        seconds = {STEP: round(time.monotonic() - began, 3)}
        done = Renewed(self._renewal, Outcome(STEP, seconds=seconds), environment, began=self._began)
        return self._tried(done) if done.changes else done

    def _failed(self, outcome: Outcome, passing: bool, app: str = "") -> Renewed:
        return Renewed(self._renewal, outcome, "", app, passing, self._began)

    def _tried(self, done: Renewed) -> Renewed:
        """Every app that will run in it."""
        for name, version in self._renewal.apps.items():
            placement = dataclasses.replace(version.placement, environment=done.environment)
            try:
                outcome = try_release(name, self._codes[name], self._settings, self._cancel, placement=placement)
            except UserError as error:
                return self._failed(Outcome("trial", str(error)), is_the_machine(error))
            if not outcome.ok and not self._forced:
                return self._failed(outcome, self._cancel.is_set(), name)
        return done

    def _environment(self, uv: Uv) -> str:
        """The name of the new one."""
        asked = _asked(self._codes)
        if self._renewal.pool == SHARED:
            return self._shared(uv, asked)
        if not asked:
            return ""
        if self._renewal.pool != OWN:
            return self._further(uv, asked)
        had = builds.read(self._settings.state, self._renewal.environment)
        [version] = self._renewal.apps.values()
        alone = had.kind == builds.OWN if had else version.placement.cause == "requirements"
        found = None if alone else self._together(uv, asked)
        if isinstance(found, Lock):
            return builds.build(uv, builds.shared(found), asked[0])
        return self._own(uv, asked[0])

    def _shared(self, uv: Uv, asked: Sequence[Requirements]) -> str:
        if self._forced:
            asked = [one for one in asked if interpreters.fits(one, interpreters.running())]
        found = self._together(uv, asked)
        if isinstance(found, Conflict):
            raise UserError(f"{self._renewal.who}: {found.sentence}")
        return builds.build(uv, builds.shared(found), Requirements(self._renewal.who, self._settings.state))

    def _together(self, uv: Uv, asked: Sequence[Requirements]) -> Lock | Conflict:
        """Unless they are to be new, packages stay as far as they can; also those of the base, if that can be."""
        if not self._renewal.newest:
            kept = builds.overlay(self._settings.state, self._renewal.environment)
            found = resolution.together(uv, asked, kept)
            if isinstance(found, Lock):
                return found
        return resolution.together(uv, asked)

    def _further(self, uv: Uv, asked: Sequence[Requirements]) -> str:
        python = interpreters.choose(asked, uv.interpreters)
        found = resolution.apart(uv, asked, python, self._kept(python))
        if isinstance(found, Conflict):
            raise UserError(f"{self._renewal.who}: {found.sentence}")
        return builds.build(uv, builds.own(found, python), Requirements(self._renewal.who, self._settings.state))

    def _own(self, uv: Uv, asked: Requirements) -> str:
        python = interpreters.choose([asked], uv.interpreters)
        found = resolution.own(uv, asked, python, self._kept(python))
        return builds.build(uv, builds.own(found, python), asked)

    def _kept(self, python: Interpreter) -> Overlay:
        """The packages that are to stay as far as they can."""
        return (
            Overlay() if self._renewal.newest else builds.kept(self._settings.state, self._renewal.environment, python)
        )


def _asked(codes: Mapping[str, Path]) -> list[Requirements]:
    """What the apps ask for that ask for something; the manifest of one that runs can be read."""
    found = (requirements.of(name, code, read_manifest(code)) for name, code in codes.items())
    return [one for one in found if one is not None]
