"""What `hedgerow serve` serves: a folder of apps or one callable, and whether it has changed."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

from ..config import Settings
from ..errors import UserError
from ..hosting.discovery import discover
from ..hosting.manifest import FILE_NAME, Manifest, read_manifest
from . import releases, tree
from .folders import Folders
from .placement import OWN, STRICT, THREADS
from .plan import Content

NO_SERVER = "its app.toml says run, and only `hedgerow up` starts servers that apps bring"


class Source(ABC):
    """What is served: where its content comes from."""

    @abstractmethod
    def describe(self) -> str:
        """In a few words, for the first line."""

    def remarks(self) -> list[str]:
        """What apps ask for and do not get here, in sentences."""
        return []

    @abstractmethod
    def take(self) -> Content:
        """The content as it is now."""

    @abstractmethod
    def look(self) -> Content | None:
        """The content if it has changed and holds still, else None."""

    @abstractmethod
    def without(self, app: str, trouble: str) -> Content | None:
        """The content without this app until it changes, if there is such content."""


class _Made(NamedTuple):
    """What was made of a folder while it had this fingerprint: where its code lies, or why there is none."""

    fingerprint: str
    code: str
    trouble: str = ""


class FolderSource(Source):
    """A folder whose sub-folders are apps. One that cannot be made into a release has no older one: its author is to
    see why.
    """

    def __init__(self, settings: Settings, count: int) -> None:
        self._settings = settings
        self._folders = Folders(settings.apps, settings.secrets)
        self._count = count
        self._made: dict[str, _Made] = {}
        self._last = Content()

    def describe(self) -> str:
        return f"{self._count} app{'' if self._count == 1 else 's'} of {self._settings.apps}"

    def remarks(self) -> list[str]:
        found = ((folder.name, _manifest(folder)) for folder in discover(self._settings.apps))
        remarks = [(name, _remark(manifest)) for name, manifest in found]
        return [f"{name}: {remark}" for name, remark in remarks if remark]

    def take(self) -> Content:
        self._folders.look()
        self._last = self._now()
        return self._last

    def look(self) -> Content | None:
        try:
            self._folders.look()
        except UserError:  # the folder is away; it may come back
            return None
        before, self._last = self._last, self._now()
        return None if self._last == before else self._last

    def without(self, app: str, trouble: str) -> Content | None:
        if app in self._made:
            self._made[app] = _Made(self._made[app].fingerprint, "", f"{app}: {trouble}")
        self._last = self._now()
        return self._last

    def _now(self) -> Content:
        for name, fingerprint in self._folders.settled.items():
            if name not in self._made or self._made[name].fingerprint != fingerprint:
                self._made[name] = self._make(name, fingerprint)
        for name in [name for name in self._made if self._folders.lacks(name)]:
            del self._made[name]
        made = sorted(self._made.items())
        return Content(
            {name: one.code for name, one in made if one.code}, {name: one.trouble for name, one in made if one.trouble}
        )

    def _make(self, name: str, fingerprint: str) -> _Made:
        if _manifest(self._settings.apps / name).run:
            return _Made(fingerprint, "", f"{name}: {NO_SERVER}")
        try:
            return _Made(fingerprint, str(releases.make(self._settings.apps / name, self._settings.state).code))
        except Exception as error:  # whatever one app is, the others are served
            return _Made(fingerprint, "", str(error) if isinstance(error, UserError) else f"{name}: {error!r}")


def _manifest(folder: Path) -> Manifest:
    try:
        return read_manifest(folder)
    except UserError:  # who loads it tells
        return Manifest()


def _remark(manifest: Manifest) -> str:
    if manifest.concurrency == THREADS:
        return 'its app.toml says concurrency = "threads"; here all apps share one process of greenlets'
    if manifest.pool == OWN or manifest.isolation == STRICT or manifest.limits.memory_mb:
        return "its app.toml asks for a pool of its own; here all apps share one process"
    return ""


class ModuleSource(Source):
    """`module:callable`, imported from a folder as it lies there. A change is one of Python code."""

    def __init__(self, name: str, folder: Path) -> None:
        self._content = Content(callable=name, path=str(folder))
        self._folder = folder
        self._seen = self._moved = ""

    def describe(self) -> str:
        return self._content.callable

    def take(self) -> Content:
        self._seen = self._scan()
        return self._content

    def without(self, app: str, trouble: str) -> Content | None:
        return None  # it is all there is

    def look(self) -> Content | None:
        now, before = self._scan(), self._moved
        self._moved = now
        if now in ("", self._seen) or now != before:
            return None
        self._seen = now
        return self._content

    def _scan(self) -> str:
        """Size and time of each file of code; empty while one goes away."""
        try:
            names = [name for name, _ in tree.walk(self._folder, frozenset()) if name.endswith((".py", FILE_NAME))]
            status = [(name, os.stat(self._folder / name)) for name in names]
        except OSError:
            return ""
        return repr([(name, found.st_size, found.st_mtime_ns, found.st_ino) for name, found in status])
