"""Releases: immutable snapshots of an app's folder, and the app's data that outlives them.

    state/releases/<app>/<hash>/<import name>/…   read-only; data names are links into
    state/data/<app>/<name>                       which is seeded once from the folder and never overwritten

Nothing here takes a lock: a release is made beside its place and renamed into it, its name is the hash of what was
really copied, so replicas that make the same one at once end with the same bytes. It knows no plans and no processes.
"""

from __future__ import annotations

import errno
import keyword
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import UserError
from ..hosting.manifest import read_manifest
from . import tree

DATA_FOLDERS = ("instance", "data", "media")
DATA_FILES = ("db.sqlite3",)
TRIES = 3
KEPT = 3
KEPT_S = 3600.0
MAKING, SEEDING = ".making-", ".seed-"
STATE_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@dataclass(frozen=True)
class Release:
    """One snapshot: `root` is named by the hash, `code` in it is the copy of the folder."""

    app: str
    root: Path
    code: Path


class _SeedError(Exception):
    """A file of the data that could not be copied. No OSError, which copytree would collect."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def import_name(app: str) -> str:
    """The folder's name made into one that Python can import and that hides nothing."""
    name = re.sub(r"\W", "_", app, flags=re.ASCII)
    if not name.isidentifier():
        name = "_" + name
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or name == "instance":
        name += "_"
    return name


def data_names(folder: Path) -> frozenset[str]:
    """What of this folder is data. A Python package of such a name is code. Raises UserError for a wrong manifest."""
    usual = [name for name in (*DATA_FOLDERS, *DATA_FILES) if not (folder / name / "__init__.py").exists()]
    names = {str(PurePosixPath(name)) for name in (*usual, *read_manifest(folder).data)}
    return frozenset(name for name in names if not any(str(parent) in names for parent in PurePosixPath(name).parents))


def scan(folder: Path) -> str:
    """A cheap fingerprint that changes when the app does. A wrong manifest has one too: it may be put right."""
    try:
        names = data_names(folder)
    except UserError:
        names = frozenset((*DATA_FOLDERS, *DATA_FILES))
    return tree.fingerprint(folder, names)


def make(folder: Path, state: Path) -> Release:
    """The release of what the folder holds now; made if it does not exist yet. Raises UserError with one sentence."""
    if Path(os.path.realpath(state)).is_relative_to(os.path.realpath(folder)):
        raise UserError(f"{state}: the state lies inside the app's folder {folder}; it must lie elsewhere")
    for _ in range(TRIES):
        try:
            release = _try_make(folder, state)
        except _SeedError as error:
            raise UserError(_sentence(error.cause, folder, state)) from error
        except FileNotFoundError as error:
            if not folder.is_dir():
                raise UserError(f"{folder} is gone") from error
            continue  # a file went away while it was copied
        except OSError as error:
            raise UserError(_sentence(error, folder, state)) from error
        if release is not None:
            return release
    raise UserError(f"{folder} changes while it is copied; it is taken when it holds still")


def _sentence(error: OSError, folder: Path, state: Path) -> str:
    """What went wrong and where, with no name of what is made beside its place."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):  # of a tree, one an entry
        source, _, why = error.args[0][0]
        return f"{source}: {why}"
    if error.errno in STATE_IS_FULL:  # copying tells the source, which has room
        return f"{state}: {error.strerror}"
    if error.strerror is None:
        return str(error)
    place = str(error.filename or folder)
    return f"{state if MAKING in place or SEEDING in place else place}: {error.strerror}"


def _check_places(folder: Path, names: Iterable[str]) -> None:
    """Data in a folder of the app needs that folder: a link to it cannot be put into a file, or behind a link."""
    for name in names:
        for parent in PurePosixPath(name).parents[:-1]:
            if os.path.lexists(folder / parent) and ((folder / parent).is_symlink() or not (folder / parent).is_dir()):
                raise UserError(f"{folder.name}: {name!r} cannot be data: {str(parent)!r} is no folder of the app")


def _try_make(folder: Path, state: Path) -> Release | None:
    app = folder.name
    names = data_names(folder)
    _check_places(folder, names)
    wanted = tree.digest(folder, names)
    home = state / "releases" / app
    release = Release(app, home / wanted, home / wanted / import_name(app))
    for name in sorted(names):
        _seed(folder / name, state / "data" / app / name)
    if release.root.exists():
        os.utime(release.root)  # used now: pruning counts from here
        return release
    home.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=MAKING, dir=home))
    try:
        code = made / release.code.name
        _copy(folder, code, names)
        if tree.digest(code, frozenset()) != wanted:
            return None
        _link_data(made, code, state / "data" / app, release, names)
        _close(made)
        try:
            made.rename(release.root)
        except OSError:
            if not release.root.exists():  # otherwise another replica was faster, with the same content
                raise
    finally:
        if made.exists():
            remove(made)
    return release


def _copy(folder: Path, code: Path, names: frozenset[str]) -> None:
    code.mkdir()
    for relative, entry in tree.walk(folder, names):
        place = code / relative
        if entry.is_symlink():
            place.symlink_to(tree.link_inside(folder, relative))
        elif entry.is_dir():
            place.mkdir()
        else:
            shutil.copyfile(entry.path, place)
            status = entry.stat()
            os.utime(place, ns=(status.st_mtime_ns, status.st_mtime_ns))  # browsers' caches go by it
            place.chmod(0o555 if tree.is_executable(entry) else 0o444)


def _link_data(made: Path, code: Path, data: Path, release: Release, names: frozenset[str]) -> None:
    """Links are relative, so that the state can be mounted elsewhere; made as seen from the release's final place."""
    for name in sorted(names):
        place = code / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(data / name, (release.code / name).parent))
    if "instance" in names:  # Flask looks beside the package
        (made / "instance").symlink_to(os.path.relpath(data / "instance", release.root))


def _close(made: Path) -> None:
    for parent, _, _ in os.walk(made):
        os.chmod(parent, 0o555)  # noqa: S103 - nginx reads a release's files, as somebody else


def _seed(source: Path, target: Path) -> None:
    """Makes an app's data once, from what the folder has. Without it: a name without a suffix becomes a folder."""
    if os.path.lexists(target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if not source.exists():
        if not target.suffix:
            target.mkdir(exist_ok=True)
        return
    with tempfile.TemporaryDirectory(prefix=SEEDING, dir=target.parent) as beside:
        copy = Path(beside) / "copy"
        if source.is_dir():
            shutil.copytree(source, copy, copy_function=_copy_seed)
            for parent, _, _ in os.walk(copy):
                os.chmod(parent, 0o755)  # noqa: S103 - seeds may be read-only, data must not be; nginx reads it
            _publish(copy.rename, target)
        else:
            shutil.copyfile(source, copy)
            _publish(lambda place: os.link(copy, place), target)


def _copy_seed(source: str, target: str) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:  # copytree keeps no more of it than a text
        raise _SeedError(error) from error


def _publish(put: Callable[[Path], object], target: Path) -> None:
    try:
        put(target)
    except OSError:
        if not os.path.lexists(target):  # otherwise another replica was faster
            raise


def prune(state: Path, used: Iterable[Path], now: float | None = None) -> list[Path]:
    """Removes releases that no plan or record names, but the newest few of each app and the young ones."""
    kept = {os.path.realpath(path) for path in used}
    oldest = (time.time() if now is None else now) - KEPT_S
    removed = []
    for home in sorted((state / "releases").glob("*")):
        found = [(root.stat().st_mtime, root) for root in home.iterdir()]
        whole = sorted((pair for pair in found if not pair[1].name.startswith(".")), reverse=True)
        halves = [pair for pair in found if pair[1].name.startswith(".")]  # left by a maker that was killed
        for made, root in whole[KEPT:] + halves:
            if made < oldest and not any(path.startswith(os.path.realpath(root) + os.sep) for path in kept):
                remove(root)
                removed.append(root)
    return removed


def remove(root: Path) -> None:
    """Deletes a tree whose folders are read-only."""
    for parent, _, _ in os.walk(root):
        os.chmod(parent, 0o700)
    shutil.rmtree(root)
