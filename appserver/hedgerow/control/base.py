"""What Hedgerow's own interpreter has installed: the base of the shared pool. It is never changed from here."""

from __future__ import annotations

import importlib.metadata
import os
import site
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .lock import Lock, normal

PACKAGE = Path(__file__).resolve().parent.parent  # our own


@dataclass(frozen=True)
class Overlay:
    """What the shared pool has beside the base, or instead. packages: the folder where it is installed."""

    lock: Lock = field(default_factory=Lock)
    packages: Path | None = None


def paths() -> list[str]:
    """The folders where it has packages, in the order in which they are searched."""
    found = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    return [path for path in found if path in sys.path and os.path.isdir(path)]


def versions() -> dict[str, str]:
    """Its packages. Of two of the same name the first is imported."""
    found: dict[str, str] = {}
    for one in importlib.metadata.distributions(path=paths()):
        if name := one.metadata["Name"]:
            found.setdefault(normal(name), one.version)
    return found


def packages_of(environment: Path) -> Path:
    """The folder of packages of a virtual environment."""
    [found] = environment.glob("lib/python*/site-packages")
    return found


def descriptions(overlay: Overlay) -> Iterator[Path]:
    """The folder that describes it (`flask-3.1.3.dist-info`) of each package of overlay and base."""
    seen = set()
    for path in ([] if overlay.packages is None else [str(overlay.packages)]) + paths():
        for entry in os.scandir(path):
            name = normal(entry.name.split("-")[0])
            if entry.name.endswith(".dist-info") and entry.is_dir() and name not in seen:
                seen.add(name)
                yield Path(entry.path)


def show(folder: Path, overlay: Overlay) -> None:
    """Lets it seem that all packages of base and overlay are installed in `folder`: their descriptions are there.

    uv passes over a description that is a link; of one that is a folder, the files may be links.
    """
    for description in descriptions(overlay):
        (folder / description.name).mkdir()
        for file in ("METADATA", "direct_url.json"):  # from where it was, if from no index
            if os.path.exists(description / file):
                os.symlink(description / file, folder / description.name / file)


def stand_ins(folder: Path, overlay: Overlay) -> None:
    """Wheels with nothing in them, of all packages of base and overlay: so that uv can reckon with these versions
    whatever the index has. None is ever installed."""
    for description in descriptions(overlay):
        wheel_name = description.name.replace(".dist-info", "-py3-none-any.whl")
        with zipfile.ZipFile(folder / wheel_name, "w") as wheel:
            wheel.writestr(f"{description.name}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.write(description / "METADATA", f"{description.name}/METADATA")
            wheel.writestr(f"{description.name}/RECORD", "")
