"""Which mounts releases claim, as their manifests say, without loading them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .manifest import read_manifest
from .mounts import Mount, Mounts, mount_of


class Claim(NamedTuple):
    """What routing wants to know of an app."""

    name: str
    mount: Mount


def claim(name: str, folder: Path) -> Claim | None:
    """Of the app in `folder`; None if its manifest cannot be read: then it is not mounted either."""
    try:
        manifest = read_manifest(folder)
    except UserError:
        return None
    return Claim(name, mount_of(name, manifest.mount, manifest.host))


def conflict(new: Claim, others: Iterable[Claim]) -> str:
    """Why `new` cannot be mounted beside the others, who were there before it; '' if it can."""
    kept = [one for one in others if one.name != new.name]
    found = Mounts([*kept, new], [one.name for one in kept]).conflicts.get(new.name)
    return found.sentence if found else ""
