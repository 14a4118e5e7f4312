"""What an app asks for: which of its files says so, and which Pythons may run it. It reads those files and starts
nothing; what the packages are that fulfil it is resolution.py's.

    uv.lock, with its pyproject.toml      taken as it is
    requirements.txt                      resolved by uv
    pyproject.toml with [project]         resolved by uv, if it has dependencies

The first that is there counts: who has a lock wants the lock, and who has a list beside a pyproject.toml made it to be
installed. A pyproject.toml without dependencies is some tool's.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...hosting import libraries
from ...hosting.manifest import Manifest
from .lock import normal

_OTHER = re.compile(r"\s*(?:-r|-c|--requirements?|--constraints?)[\s=]*(\S+)")
_HASH = re.compile(r"--hash[= ](\w+:\w+)")
_NAME = re.compile(r"\s*([A-Za-z0-9][\w.-]*)")

LOCK, PROJECT, LIST = "uv.lock", "pyproject.toml", "requirements.txt"


@dataclass(frozen=True)
class Wish:
    """A condition on the interpreter, as `>=3.12`, and where it was read."""

    spec: str
    source: str


@dataclass(frozen=True)
class Requirements:
    """What one app asks for. file: the one of its folder that counts, '' if it only asks for a Python; libraries: what
    of Hedgerow it uses needs others, by that.
    """

    app: str
    folder: Path
    file: str = ""
    pythons: tuple[Wish, ...] = ()
    libraries: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def path(self) -> Path:
        return self.folder / self.file

    @property
    def python(self) -> str:
        """What it asks of the interpreter, in words."""
        return " and ".join(f"{wish.spec} ({wish.source})" for wish in self.pythons)

    def mistake(self, sentence: str) -> UserError:
        """It, with the app and the file that it is about."""
        return UserError(": ".join(filter(None, (self.app, self.file, sentence))))


def of(app: str, folder: Path, manifest: Manifest) -> Requirements | None:
    """What the app in `folder` asks for; None if that is nothing. Raises UserError with one sentence."""
    found = wanted(app, folder, manifest.python or "")
    return None if found is None else replace(found, libraries=libraries.needed(folder, manifest))


def wanted(app: str, folder: Path, python: str = "") -> Requirements | None:
    """The same without what it uses of Hedgerow. python: its manifest's word."""
    project = _project(app, folder)
    wishes = [Wish(project["requires-python"], PROJECT)] if project.get("requires-python") else []
    if python:
        wishes.append(Wish(python, "app.toml"))
    file = _file(app, folder, project)
    return Requirements(app, folder, file, tuple(wishes)) if file or wishes else None


def hashes(path: Path, seen: frozenset[Path] = frozenset()) -> dict[str, set[str]]:
    """The hashes (`sha256:…`) that a list of requirements, with the lists that it refers to, gives for packages."""
    found: dict[str, set[str]] = {}
    if path in seen or not path.is_file():  # uv has told what is wrong with that
        return found
    for line in path.read_text("utf-8", "replace").replace("\\\n", " ").splitlines():
        if other := _OTHER.match(line):
            for name, more in hashes(path.parent / other.group(1), seen | {path}).items():
                found.setdefault(name, set()).update(more)
        elif (given := _HASH.findall(line)) and (named := _NAME.match(line)):
            found.setdefault(normal(named.group(1)), set()).update(given)
    return found


def _file(app: str, folder: Path, project: dict[str, Any]) -> str:
    if (folder / LOCK).is_file():
        if not (folder / PROJECT).is_file():
            raise UserError(f"{app}: {LOCK}: there is no {PROJECT} beside it")
        return LOCK
    if (folder / LIST).is_file():
        return LIST
    return PROJECT if project.get("dependencies") or "dependencies" in project.get("dynamic", ()) else ""


def _project(app: str, folder: Path) -> dict[str, Any]:
    """The [project] of its pyproject.toml, or nothing."""
    try:
        text = (folder / PROJECT).read_text("utf-8")
        project = tomllib.loads(text).get("project", {})
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{app}: {PROJECT}: {error}") from error
    if not isinstance(project, dict):
        raise UserError(f"{app}: {PROJECT}: 'project' is no table")
    for key, kind in (("requires-python", str), ("dependencies", list), ("dynamic", list)):
        if not isinstance(project.get(key, kind()), kind):
            raise UserError(f"{app}: {PROJECT}: project.{key} is not what it should be: {project[key]!r}")
    return project
