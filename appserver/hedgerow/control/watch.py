"""The apps folder, looked at again and again: which releases are wanted now, and which app has none and why.

A change is taken when it has held still for one look. It starts and stops nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..hosting.discovery import discover
from . import releases
from .plan import Content


@dataclass(frozen=True)
class Taken:
    """What was made of a folder when it had this fingerprint. trouble: why the release is an older one, or none."""

    fingerprint: str
    code: str | None
    trouble: str | None = None
    blamed: bool = False


class Watch:
    """One apps folder. known: releases that ran before this process, kept if no newer one can be made."""

    def __init__(self, apps: Path, state: Path, known: Mapping[str, str] | None = None) -> None:
        self._apps = apps
        self._state = state
        self._known = dict(known or {})
        self._taken: dict[str, Taken] = {}
        self._seen: dict[str, str | None] = {}

    def look(self, settle: bool = True) -> Content:
        """What is wanted now. settle: wait until a change has held still; not at the first start. Raises UserError."""
        seen = self._scan()
        for name in seen.keys() | self._taken.keys():
            moving = settle and self._seen.get(name) != seen.get(name)
            if not moving:
                self._take(name, seen.get(name))
        self._seen = dict(seen)
        return self.content

    def blame(self, name: str, instead: str | None, trouble: str) -> None:
        """The app's release must not be loaded again until its folder changes; instead: an older one that runs."""
        taken = self._taken.get(name)
        if taken is not None:
            code = instead if instead != taken.code else None
            self._taken[name] = Taken(taken.fingerprint, code, f"{name}: {trouble}", blamed=True)

    @property
    def content(self) -> Content:
        """What was taken so far."""
        apps = {name: taken.code for name, taken in sorted(self._taken.items()) if taken.code}
        broken = {name: taken.trouble or "" for name, taken in sorted(self._taken.items()) if not taken.code}
        return Content(apps, broken)

    @property
    def troubles(self) -> dict[str, str]:
        """Apps whose folder could not be made into a release, and why; an older one may run."""
        return {name: taken.trouble for name, taken in sorted(self._taken.items()) if taken.trouble}

    def _scan(self) -> dict[str, str]:
        try:
            folders = discover(self._apps)
        except OSError as error:
            raise UserError(f"{self._apps}: {error.strerror}; the folder of the apps is wanted") from error
        found = {}
        for folder in folders:
            try:
                found[folder.name] = releases.scan(folder)
            except OSError as error:  # it went while we looked, or may not be read: `make` tells
                found[folder.name] = f"{error.filename}: {error.strerror}"
            except Exception as error:  # whatever one app is, the others are looked at
                found[folder.name] = repr(error)
        return found

    def _take(self, name: str, fingerprint: str | None) -> None:
        before = self._taken.get(name)
        if fingerprint is None:
            self._taken.pop(name, None)
            self._known.pop(name, None)
            return
        if before and before.fingerprint == fingerprint and (before.blamed or not before.trouble):
            return
        try:
            code = releases.make(self._apps / name, self._state).code
            self._taken[name] = Taken(fingerprint, str(code))
        except Exception as error:  # whatever one app is, the others are served
            trouble = str(error) if isinstance(error, UserError) else f"{name}: {error!r}"
            older = before.code if before else self._known.get(name)
            self._taken[name] = Taken(fingerprint, older if older and Path(older).is_dir() else None, trouble)
