"""What the path says of modules: which of its entries are an app's and which are everybody's, and which names a folder
has. Asks the file system, and knows no spaces.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path

_SUFFIXES = tuple(importlib.machinery.SOURCE_SUFFIXES + importlib.machinery.EXTENSION_SUFFIXES)

# Python's `sys.path` without what libraries have put there for apps since.
common = list(sys.path)


def first_common(path: Sequence[str]) -> int:
    """How many entries of `path` stand in front of all that is common."""
    return next((at for at, entry in enumerate(path) if entry in common), len(path))


def is_private(entry: str, apps: Iterable[Path]) -> bool:
    """Whether `entry` is a folder that an app has on its path for itself. apps: the folders of all apps."""
    if entry in common or not os.path.isdir(entry):
        return False
    libraries = (sys.prefix, sys.base_prefix, *common)
    return not any(is_below(entry, one) for one in libraries) or any(is_below(entry, one) for one in apps)


def is_below(entry: str, folder: str | Path) -> bool:
    """Whether `entry` lies in `folder`, at any depth."""
    return os.path.abspath(entry).startswith(os.path.join(os.path.abspath(folder), ""))


def share(entry: str, *, in_front: bool) -> None:
    """Put `entry` on everybody's path."""
    if entry not in sys.path:
        sys.path.insert(0 if in_front else len(sys.path), entry)
        common[:] = sys.path


def own_names(folder: Path, package: str, *, packaged: bool) -> tuple[dict[str, str], set[str]]:
    """The names that are own for sure, with their full names, and those that are own if nothing else has them."""
    sure: dict[str, str] = {}
    maybe: set[str] = set()
    for entry in os.scandir(folder):
        top, _, _ = entry.name.partition(".")
        if entry.is_dir():
            regular = os.path.exists(os.path.join(entry.path, "__init__.py"))
        elif entry.name.endswith(_SUFFIXES) and top != "__init__":
            regular = True
        else:
            continue
        # Builtin and frozen modules come before the path, for everybody.
        if BuiltinImporter.find_spec(top) or FrozenImporter.find_spec(top):
            continue
        if regular and not packaged:
            sure[top] = f"{package}.{top}"
        else:
            maybe.add(top)
    if (folder / "__init__.py").is_file() and (packaged or folder.name not in sure):
        sure[folder.name] = package
    return sure, maybe - sure.keys()


def installed(top: str) -> bool:
    """Whether the top-level name is somebody else's: Python's, or an installed package's."""
    return top in sys.stdlib_module_names or top in sys.modules or PathFinder.find_spec(top) is not None
