"""Releases: immutable snapshots of an app's folder, and the app's data that outlives them.

    state/releases/<app>/<hash>/<import name>/…   read-only; data names are links into
    state/data/<app>/<name>                       which is seeded once from the folder and never overwritten

Nothing here takes a lock: a release is made beside its place and renamed into it, its name is the hash of what was
really copied, so replicas that make the same one at once end with the same bytes. A name that is there is believed, so
it is given last, when all that it stands for is on the disk, and taken away first. Bytecode is a part of a release but
not of its name. It knows no plans and no processes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import UserError
from ..hosting.manifest import read_manifest
from . import bytecode, durable, ignore, layout, seeds, tree

DATA_FOLDERS = ("instance", "data", "media")
DATA_FILES = ("db.sqlite3",)
TRIES = 3
KEPT = 3
KEPT_S = 3600.0
MAKING = ".making-"
STATE_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@dataclass(frozen=True)
class Release:
    """One snapshot: `root` is named by the hash, `code` in it is the copy of the folder."""

    app: str
    root: Path
    code: Path


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


def make(folder: Path, state: Path, beside: str = "") -> Release:
    """The release of what the folder holds now; made if it does not exist yet. beside: what else its name stands for.

    Raises UserError with one sentence.
    """
    if Path(os.path.realpath(state)).is_relative_to(os.path.realpath(folder)):
        raise UserError(f"{state}: the state lies inside the app's folder {folder}; it must lie elsewhere")
    for _ in range(TRIES):
        try:
            release = _try_make(folder, state, beside)
        except seeds.SeedError as error:
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
    return f"{state if MAKING in place or seeds.PREFIX in place else place}: {error.strerror}"


def _check_places(folder: Path, names: Iterable[str]) -> None:
    """Data in a folder of the app needs that folder: a link to it cannot be put into a file, or behind a link."""
    for name in names:
        for parent in PurePosixPath(name).parents[:-1]:
            if os.path.lexists(folder / parent) and ((folder / parent).is_symlink() or not (folder / parent).is_dir()):
                raise UserError(f"{folder.name}: {name!r} cannot be data: {str(parent)!r} is no folder of the app")


def _try_make(folder: Path, state: Path, beside: str) -> Release | None:
    app = folder.name
    names = data_names(folder)
    _check_places(folder, names)
    wanted = tree.digest(folder, names)
    code = layout.code(state, app, tree.combined(wanted, beside) if beside else wanted)
    release = Release(app, code.parent, code)
    _seed(folder, state / "data" / app, names)
    if release.root.exists():
        os.utime(release.root)  # used now: pruning counts from here
        return release
    release.root.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=MAKING, dir=release.root.parent))
    try:
        code = made / release.code.name
        _copy(folder, code, names)
        if tree.digest(code, frozenset()) != wanted:
            return None
        bytecode.compile_tree(code, release.code)
        _link_data(made, code, state / "data" / app, release, names)
        _close(made)
        durable.publish(made, made.rename, release.root)
    finally:
        if made.exists():
            remove(made)
    return release


def _seed(folder: Path, data: Path, names: Iterable[str]) -> None:
    """Makes the data that is not there yet; what `.hedgerowignore` lists is not taken for it."""
    rules = ignore.read_rules(folder)
    for name in sorted(names):
        seeds.seed(None if tree.is_left_out(folder, name, rules) else folder / name, data / name)


def _copy(folder: Path, code: Path, names: frozenset[str]) -> None:
    code.mkdir()
    for relative, entry in tree.walk(folder, names):
        place = code / relative
        if entry.is_symlink():
            place.symlink_to(tree.link_inside(folder, relative, names))
        elif entry.is_dir():
            place.mkdir()
        else:
            seeds.copy_file(entry.path, str(place))
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


def prune(
    state: Path,
    used: Iterable[Path],
    now: float | None = None,
    named: Mapping[str, Iterable[str]] | None = None,
) -> list[Path]:
    """Removes releases that nobody refers to. used: paths of them or in them; named: hashes, by app."""
    places = {Path(os.path.realpath(path)) for path in used}
    places |= {path for place in places for path in place.parents}
    oldest = (time.time() if now is None else now) - KEPT_S
    removed = []
    for home in sorted((state / "releases").glob("*")):
        referred = {root.name for root in home.iterdir() if Path(os.path.realpath(root)) in places}
        referred.update((named or {}).get(home.name, ()))
        removed += [
            root for root in superfluous(_found(home), referred, oldest) if durable.take_away(root, oldest, remove)
        ]
    return removed


@dataclass(frozen=True)
class Found:
    """What lies in the folder of an app's releases: a release, or what a maker left behind that was killed."""

    root: Path
    used_at: float

    @property
    def is_whole(self) -> bool:
        return not self.root.name.startswith(".")


def superfluous(found: Iterable[Found], referred: Collection[str], oldest: float) -> list[Path]:
    """The rule of pruning, for one app: which of its releases go.

    Never one that is referred to: by a worker that serves, starts or drains, as the one to go back to, by a recent
    record. Never the newest few, nor one that was made or asked for since `oldest`: its user may not have said so yet.
    """
    found = list(found)
    spare = [one for one in newest_first(found)[KEPT:] if one.root.name not in referred]
    halves = [one for one in found if not one.is_whole]
    return [one.root for one in (*spare, *halves) if one.used_at < oldest]


def newest_first(found: Iterable[Found]) -> list[Found]:
    """The releases of an app, by when they were made or asked for."""
    return sorted((one for one in found if one.is_whole), key=lambda one: one.used_at, reverse=True)


def kept(state: Path, app: str) -> list[str]:
    """The names of an app's releases, the newest first."""
    home = state / "releases" / app
    return [one.root.name for one in newest_first(_found(home))] if home.is_dir() else []


def _found(home: Path) -> list[Found]:
    found = []
    for root in sorted(home.iterdir()):
        with contextlib.suppress(FileNotFoundError):  # another replica prunes, too
            found.append(Found(root, root.stat().st_mtime))
    return found


def remove(root: Path) -> None:
    """Deletes a tree whose folders are read-only."""
    for parent, _, _ in os.walk(root):
        os.chmod(parent, 0o700)
    shutil.rmtree(root)
