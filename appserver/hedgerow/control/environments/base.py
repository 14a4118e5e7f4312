"""What Hedgerow's own interpreter has installed: the base of the shared pool. It is never changed from here."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import site
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .lock import Lock, normal

MAKING, STAND_INS = ".making-", ".stand-ins-"
PACKAGE = Path(__file__).resolve().parents[2]  # our own


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


def descriptions(overlay: Overlay, beneath: Iterable[str]) -> Iterator[Path]:
    """The folder that describes it (`flask-3.1.3.dist-info`) of each package of the overlay and these folders."""
    seen = set()
    for path in [*([] if overlay.packages is None else [str(overlay.packages)]), *beneath]:
        for entry in os.scandir(path):
            name = normal(entry.name.split("-")[0])
            if entry.name.endswith(".dist-info") and entry.is_dir() and name not in seen:
                seen.add(name)
                yield Path(entry.path)


def show(folder: Path, overlay: Overlay, beneath: Iterable[str]) -> None:
    """Lets it seem that all packages of the overlay and these folders are installed in `folder`, by their descriptions.

    uv passes over a description that is a link; of one that is a folder, the files may be links.
    """
    for description in descriptions(overlay, beneath):
        (folder / description.name).mkdir()
        for file in ("METADATA", "direct_url.json"):  # from where it was, if from no index
            if os.path.exists(description / file):
                os.symlink(description / file, folder / description.name / file)


def stand_ins(home: Path, overlay: Overlay) -> Path:
    """A folder with wheels that have nothing in them, of all packages of base and overlay: so that uv can reckon with
    these versions whatever the index has. None is ever installed. It stays where it is, since uv keeps what it has read
    of a file by its path; pruning takes it away when nobody has used it for a while.
    """
    found = list(descriptions(overlay, paths()))
    told = "\n".join(sorted(map(str, found)))
    target = home / (STAND_INS + hashlib.sha256(told.encode()).hexdigest()[:32])
    if not target.exists():
        with tempfile.TemporaryDirectory(prefix=MAKING, dir=home) as folder:
            _make_stand_ins(found, Path(folder, "made"))
            with contextlib.suppress(OSError):  # another replica was faster
                Path(folder, "made").rename(target)
    os.utime(target)
    return target


def _make_stand_ins(found: Iterable[Path], folder: Path) -> None:
    folder.mkdir()
    for description in found:
        name = description.name.replace(".dist-info", "-py3-none-any.whl")
        with zipfile.ZipFile(folder / name, "w") as wheel:
            wheel.writestr(f"{description.name}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.write(description / "METADATA", f"{description.name}/METADATA")
            wheel.writestr(f"{description.name}/RECORD", "")
