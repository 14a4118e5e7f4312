"""What is installed in an environment, to the file: the packages of a pylock.toml (PEP 751) as uv writes it. Pure.

Each package is kept as the text that it was written in, so that what two resolutions have found can be put into one
lock, whatever index each package came from.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEAD = 'lock-version = "1.0"\ncreated-by = "hedgerow"\n'
_PACKAGE = "[[packages]]\n"
_RELATIVE = re.compile(r'(?<=path = ")(?!/)')


def normal(name: str) -> str:
    """A package's name as all its spellings are told."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Package:
    """One package. text: its table, as it stands in the lock."""

    name: str
    version: str
    text: str

    @property
    def table(self) -> dict[str, Any]:
        return dict(tomllib.loads(self.text))

    @property
    def identity(self) -> str:
        """What it is, whatever index or mirror it comes from: its files by their hashes."""
        table = self.table
        files = [*table.get("wheels", ()), *(table[key] for key in ("sdist", "archive") if key in table)]
        hashes = sorted(f"{kind}:{value}" for file in files for kind, value in file.get("hashes", {}).items())
        return " ".join([self.name, self.version, *hashes, table.get("vcs", {}).get("commit-id", "")])

    @property
    def places(self) -> list[str]:
        """Where its files lie on this machine, if they do."""
        table = self.table
        files = [*table.get("wheels", ()), *(table[key] for key in ("sdist", "archive", "directory") if key in table)]
        return [
            str(file.get("path") or file["url"].removeprefix("file://"))
            for file in files
            if file.get("path") or file.get("url", "").startswith("file://")
        ]


@dataclass(frozen=True)
class Lock:
    """Packages, by their names."""

    packages: tuple[Package, ...] = ()

    @property
    def text(self) -> str:
        return HEAD + "".join(f"\n{_PACKAGE}{package.text}" for package in self.packages)

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


def of(packages: Iterable[Package]) -> Lock:
    return Lock(tuple(sorted(packages, key=lambda package: package.name)))


def read(text: str, beside: Path) -> Lock:
    """beside: the folder that relative paths in it are relative to."""
    blocks = _RELATIVE.sub(f"{beside}/", text).split(_PACKAGE)[1:]
    tables = [(tomllib.loads(block), block.strip() + "\n") for block in blocks]
    # A package that is given by a place may have no version in the lock; then the place is what tells it from others.
    return of(Package(normal(table["name"]), str(table.get("version", "")), block) for table, block in tables)
