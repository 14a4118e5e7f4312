"""What is installed in an environment, to the file: the packages of a pylock.toml (PEP 751) as uv writes it. Pure.

Each package tells where its files are, so that what two resolutions have found can be put into one lock, whatever index
each package came from.
"""

from __future__ import annotations

import datetime
import json
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UserError

HEAD = 'lock-version = "1.0"\ncreated-by = "hedgerow"\n'
ONE = ("sdist", "archive", "directory", "vcs")


def normal(name: str) -> str:
    """A package's name as all its spellings are told."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Package:
    """One package. table: what the lock has of it."""

    name: str
    version: str
    table: Mapping[str, Any]

    @property
    def text(self) -> str:
        return "\n[[packages]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in self.table.items())

    @property
    def files(self) -> list[Mapping[str, Any]]:
        """Those that it can be installed from."""
        return [*self.table.get("wheels", ()), *(self.table[key] for key in ONE if key in self.table)]

    @property
    def identity(self) -> str:
        """What it is, whatever index or mirror it comes from: its files by their hashes."""
        told = sorted(f"{kind}:{value}" for file in self.files for kind, value in file.get("hashes", {}).items())
        commits = [file["commit-id"] for file in self.files if "commit-id" in file]
        return " ".join([self.name, self.version, *told, *commits])

    @property
    def places(self) -> list[str]:
        """Where its files lie on this machine, if they do."""
        told = (str(file.get("path") or file.get("url", "")) for file in self.files)
        return [place.removeprefix("file://") for place in told if place.startswith(("/", "file://"))]

    def only(self, hashes: Collection[str]) -> Package:
        """With those files alone that have one of these hashes. Raises UserError if there are none."""
        table = {key: value for key, value in self.table.items() if key not in ONE or _is_one_of(value, hashes)}
        if "wheels" in table:
            table["wheels"] = [file for file in table["wheels"] if _is_one_of(file, hashes)]
        found = Package(self.name, self.version, table)
        if not found.files:
            raise UserError(f"no file of {self.name}=={self.version} in the package index has one of its hashes")
        return found


@dataclass(frozen=True)
class Lock:
    """Packages, by their names."""

    packages: tuple[Package, ...] = ()

    @property
    def text(self) -> str:
        return HEAD + ("".join(package.text for package in self.packages) or "packages = []\n")

    @property
    def versions(self) -> dict[str, str]:
        return {package.name: package.version for package in self.packages}

    def without(self, present: Mapping[str, str]) -> Lock:
        """What of it is not there in the same version."""
        return of(package for package in self.packages if present.get(package.name) != package.version)

    def added(self, more: Lock) -> Lock:
        """With what the other has beside it."""
        mine = self.versions
        return of([*self.packages, *(package for package in more.packages if package.name not in mine)])

    def only(self, hashes: Mapping[str, Collection[str]]) -> Lock:
        """With those files alone that have the hashes that are asked for. Raises UserError."""
        return of(one.only(hashes[one.name]) if one.name in hashes else one for one in self.packages)


def of(packages: Iterable[Package]) -> Lock:
    return Lock(tuple(sorted(packages, key=lambda package: package.name)))


def read(text: str, beside: Path) -> Lock:
    """beside: the folder that relative paths in it are relative to."""
    # A package that is given by a place may have no version in the lock; then the place is what tells it from others.
    tables = [_absolute(table, beside) for table in tomllib.loads(text).get("packages", ())]
    return of(Package(normal(table["name"]), str(table.get("version", "")), table) for table in tables)


def _absolute(table: dict[str, Any], beside: Path) -> dict[str, Any]:
    for key, value in table.items():
        for file in value if key == "wheels" else [value] if key in ONE else ():
            if "path" in file:
                file["path"] = str(beside / file["path"])
    return table


def _is_one_of(file: Mapping[str, Any], hashes: Collection[str]) -> bool:
    return any(f"{kind}:{value}" in hashes for kind, value in file.get("hashes", {}).items())


def _toml(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return json.dumps(value)  # text, numbers and truth are written alike
