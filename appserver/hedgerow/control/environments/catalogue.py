"""Which environments there are, and what is in them: for who looks at them. It changes nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from . import base, builds
from .builds import Environment
from .lock import Lock
from .uv import HOME

BASE = "(base)"  # instead of a name: what the shared pool has without an overlay


@dataclass(frozen=True)
class Known:
    """One that is there."""

    name: str
    environment: Environment
    bytes: int

    @property
    def packages(self) -> dict[str, str]:
        return self.environment.lock.versions


def listed(state: Path) -> list[Known]:
    """All of them, by name; what is half-built or half-removed is none."""
    home = state / HOME
    names = sorted(name for name in os.listdir(home) if not name.startswith(".")) if home.is_dir() else []
    found = ((name, builds.read(state, name)) for name in names)
    return [Known(name, one, builds.size(home / name)) for name, one in found if one is not None]


def ours() -> Known:
    """What the shared pool has in any case."""
    return Known(BASE, builds.shared(Lock()), 0)


def packages(known: Known) -> list[tuple[str, str, str]]:
    """Name, version and origin of each package that a worker finds in it."""
    own = {name: (version, known.environment.kind) for name, version in known.packages.items()}
    if known.environment.kind == builds.SHARED:
        own = {name: (version, "base") for name, version in base.versions().items()} | own
    return [(name, version, origin) for name, (version, origin) in sorted(own.items())]
