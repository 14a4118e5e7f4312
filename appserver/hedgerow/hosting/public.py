"""Puts an app's public files (`[static]`) in front of it: of its release, and of the others that are kept."""

from __future__ import annotations

import importlib
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from wsgiref.types import WSGIApplication

from ..errors import LoadError, UserError
from .manifest import FILE_NAME, Manifest, read_manifest
from .static_table import public_folder

_SETTLED_NS = 2 * 10**9


def with_public_files(
    application: WSGIApplication, manifest: Manifest, folder: Path, releases: Path
) -> WSGIApplication:
    """The callable with them in front, if it has any. folder: the app's; releases: where those of the app lie, if
    folder is in one. Raises LoadError for a folder that is not there.
    """
    table = manifest.static
    public = public_folder(table, manifest.middleware, folder)
    if public is None:
        return application
    where = f"{folder.name}/{FILE_NAME}: static.folder"
    if not public.is_dir():
        raise LoadError(f"{where}: there is no folder {table.folder!r}")
    try:
        kind: Any = importlib.import_module("hedgerow.middleware.public").Public
    except ImportError as error:
        if table.folder is None:  # nobody has asked for it: what the app does itself will do
            return application
        raise LoadError(f"{where}: it needs {error.name}, which is not installed where the app runs") from error
    others = _Others(folder, releases)
    # Data of an app changes while it runs; a release does not.
    changing = not others.is_release or not Path(os.path.realpath(public)).is_relative_to(os.path.realpath(folder))
    own = homes(releases, folder)
    made = kind(application, public, table.url, table.max_age, table.immutable(changing), changing, others, own)
    return cast("WSGIApplication", made)


def homes(releases: Path, folder: Path | None) -> tuple[str, ...]:
    """Below which real paths a file is the app's own: its releases, its data, and where it runs, if that is here."""
    data = releases.parents[1] / "data" / releases.name
    return tuple(os.path.realpath(home) + "/" for home in (releases, data, folder) if home is not None)


class _Others:
    """The public folders of the app's other releases, the newest first: of each what itself says is public.

    They are looked for when the releases have changed; what a release says of itself never does.
    """

    def __init__(self, folder: Path, releases: Path) -> None:
        self._root, self._name = folder.parent, folder.name
        self.is_release = self._root.parent == releases
        self._seen: int | None = None
        self._folders: tuple[Path, ...] = ()
        self._known: dict[str, Path | None] = {}

    def __call__(self) -> tuple[Path, ...]:
        if not self.is_release:
            return ()
        try:
            changed = os.stat(self._root.parent).st_mtime_ns
        except OSError:
            return self._folders
        if changed != self._seen:
            self._folders = tuple(self._look())
            # Clocks of file systems tick slowly: of two changes at nearly one time the second may not show.
            self._seen = changed if time.time_ns() - changed > _SETTLED_NS else None
        return self._folders

    def _look(self) -> list[Path]:
        found: list[tuple[float, str]] = []
        with suppress(OSError), os.scandir(self._root.parent) as entries:
            for one in entries:
                with suppress(OSError):  # it is pruned just now
                    if one.name[0] != "." and one.name != self._root.name:
                        found.append((one.stat().st_mtime, one.name))
        names = [name for _, name in sorted(found, reverse=True)]
        self._known = {name: self._known[name] if name in self._known else self._public(name) for name in names}
        return [folder for name in names if (folder := self._known[name]) is not None]

    def _public(self, release: str) -> Path | None:
        """None also for what lies outside of the release: of data only the live one says what is public."""
        folder = self._root.parent / release / self._name
        try:
            manifest = read_manifest(folder)
        except UserError:
            return None
        public = None if manifest.run is not None else public_folder(manifest.static, manifest.middleware, folder)
        if public is None or not public.is_dir():
            return None
        return public if Path(os.path.realpath(public)).is_relative_to(os.path.realpath(folder)) else None
