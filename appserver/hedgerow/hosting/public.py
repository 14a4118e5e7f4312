"""Puts an app's public files (`[static]`) in front of it: of its release, and of the others that are kept."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from wsgiref.types import WSGIApplication

from ..errors import LoadError
from .manifest import FILE_NAME, Manifest
from .static_table import public_folder


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
    others = _Others(folder, public.relative_to(folder), releases)
    # Data of an app changes while it runs; a release does not.
    changing = not others.is_release or not Path(os.path.realpath(public)).is_relative_to(os.path.realpath(folder))
    homes = _homes(folder, releases)
    made = kind(application, public, table.url, table.max_age, table.immutable, changing, others, homes)
    return cast("WSGIApplication", made)


def _homes(folder: Path, releases: Path) -> tuple[str, ...]:
    """Where a file is the app's own, as `worker/files.py` has it: its releases, its data, and where it runs from."""
    data = releases.parents[1] / "data" / releases.name
    return tuple(os.path.realpath(home) + "/" for home in (releases, data, folder))


class _Others:
    """The same folder in the app's other releases, the newest first."""

    def __init__(self, folder: Path, public: Path, releases: Path) -> None:
        self._root = folder.parent
        self._inside = f"{folder.name}/{public}"
        self.is_release = self._root.parent == releases

    def __call__(self) -> Iterator[Path]:
        roots: list[tuple[float, str]] = []
        with suppress(OSError):
            if self.is_release:
                with os.scandir(self._root.parent) as entries:
                    roots = [(one.stat().st_mtime, one.path) for one in entries if self._is_other(one.name)]
        return (Path(path, self._inside) for _, path in sorted(roots, reverse=True))

    def _is_other(self, name: str) -> bool:
        return name[0] != "." and name != self._root.name
