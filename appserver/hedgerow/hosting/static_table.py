"""The table `[static]` of `app.toml`: which folder of an app is public, where, and for how long caches may keep it.

By convention it is `static`, where there is one that is no Python package. What an app guards is not made public by a
convention: an app whose list of middleware has `auth`, or serves files by `static` already, has to say so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..options import option, within

FOLDER = "static"
AUTO = "auto"
# A part of a name that is 8 to 64 hexadecimal digits, one of them a digit and one a letter: no date, and no word. To
# miss a hash costs a request; to see one where none is, would keep a file for a year that changes tomorrow.
# The end of a UUID is none: it names a thing, whatever that is like.
_NO_UUID = r"(?<![0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4})"
_HASH = _NO_UUID + r"[._-](?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,64}(?=\.[^/]*$)"
_OF_THEIR_OWN = ("auth", "static")
_LONGEST_S = 366 * 86_400


def _check_folder(folder: str | None) -> str | None:
    if not folder:
        return None
    path = PurePosixPath(folder)
    if "\0" in folder or path.is_absolute() or ".." in path.parts:
        return "a folder below the app's is wanted"
    return None if path.parts else "that is the app's whole folder, with its code"


def _check_url(url: str) -> str | None:
    if not url.startswith("/") or not url.endswith("/"):
        return "it must start and end with '/'"
    return "it has an empty or dot segment" if {"", ".", ".."} & set(url[1:-1].split("/")) and url != "/" else None


def _check_hashed(pattern: str) -> str | None:
    try:
        re.compile(pattern)
    except re.error as error:
        return f"neither {AUTO!r} nor a regular expression: {error}"
    return None


@dataclass(frozen=True)
class StaticTable:
    """What it may say. An absent key has its default."""

    folder: str | None = option(
        None, 'folder whose files are public; "": none; default: static, if there is one', _check_folder
    )
    url: str = option("/static/", "where they are, below the mount", _check_url)
    max_age: int = option(60, "seconds for which a cache need not ask again", within(0, _LONGEST_S, "seconds"))
    hashed: str = option(
        AUTO,
        'paths that are kept for a year: auto, which finds hexadecimal hashes; a regular expression; "": none',
        _check_hashed,
    )

    def immutable(self, changing: bool = False) -> str:
        """The regular expression of paths whose content never changes; '' for none. changing: the folder's files come
        and go, so no name tells that by itself.
        """
        if self.hashed != AUTO:
            return self.hashed
        return "" if changing else _HASH


def public_folder(table: StaticTable, middleware: Sequence[Mapping[str, Any]], folder: Path) -> Path | None:
    """The folder of this app that is public, if any; it is there only if the convention names it."""
    if table.folder is not None:
        return folder / table.folder if table.folder else None
    if table == StaticTable() and any(each["use"] in _OF_THEIR_OWN for each in middleware):
        return None
    usual = folder / FOLDER
    return usual if usual.is_dir() and not (usual / "__init__.py").exists() else None
