"""Environments: the packages that apps run with, built once and never changed, named by what is in them.

    state/environments/<hash>/bin/python       by which a worker is started
    state/environments/<hash>/pylock.toml      the packages, to the file
    state/environments/<hash>/made.json        what it was made for

Nothing here takes a lock: an environment is built beside its place and renamed into it, so a name that is there stands
for one that is whole, and of two who build the same one, one comes first. It knows no apps and no pools.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import importlib.util
import json
import os
import shutil
import sysconfig
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ...errors import HedgerowError, UserError
from .. import durable
from . import base, complaints, lock
from .base import Overlay
from .interpreters import Interpreter, running
from .lock import Lock
from .requirements import Requirements
from .uv import HOME, Refused, Uv

LOCK, MADE = "pylock.toml", "made.json"
SHARED, OWN = "shared", "own"
KEPT_S = 3600.0
LAYER = "_hedgerow_base.pth"


class Damaged(HedgerowError):
    """A file is not what its package says. It may be so in uv's cache, if power failed while that was written."""


@dataclass(frozen=True)
class Environment:
    """What is to be built. kind: SHARED, on top of the base; or OWN, with nothing but what it needs."""

    kind: str
    lock: Lock
    interpreter: Interpreter

    @property
    def name(self) -> str:
        """The hash of all that decides what a worker finds in it."""
        told = [json.dumps(self.made, sort_keys=True), *(package.identity for package in self.lock.packages)]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:32]

    @property
    def made(self) -> dict[str, object]:
        """What else it was made for than its packages. An environment refers to its interpreter by path, and one of
        the shared pool was resolved against just this base."""
        is_shared = self.kind == SHARED
        return {
            "kind": self.kind,
            "python": self.interpreter.version,
            "path": str(self.interpreter.path),
            "platform": sysconfig.get_platform(),
            "beneath": {"paths": base.paths(), "versions": base.versions()} if is_shared else str(base.PACKAGE),
        }


def shared(packages: Lock) -> Environment:
    """The shared pool's with this overlay."""
    return Environment(SHARED, packages, running())


def own(packages: Lock, interpreter: Interpreter) -> Environment:
    """One for an app alone."""
    return Environment(OWN, packages, interpreter)


def build(uv: Uv, environment: Environment, asked: Requirements) -> str:
    """Its name, when it is there; '' for the base itself. asked: by whom it is, for the sentence of a UserError.

    Raises also Cancelled.
    """
    if environment.kind == SHARED and not environment.lock.packages:
        return ""
    name = environment.name
    target = uv.state / HOME / name
    try:
        if _is_there(target):
            return name
        try:
            _make(uv, environment, target)
        except Damaged as damaged:
            uv.run("cache", "clean", *damaged.args[1:], cwd=uv.state)
            _make(uv, environment, target)
    except Refused as refused:
        raise asked.mistake(complaints.sentence(refused.text)) from (complaints.cause(refused.text) or refused)
    except OSError as error:
        raise UserError(f"{asked.app}: {uv.state / HOME}: {error.strerror}") from error
    except Damaged as damaged:
        raise UserError(f"{asked.app}: {uv.state / HOME}: {damaged}") from damaged
    return name


def _is_there(target: Path) -> bool:
    if not target.exists():
        return False
    os.utime(target)  # used now: pruning counts from here
    if os.access(target / "bin" / "python", os.X_OK):
        return True
    with contextlib.suppress(FileNotFoundError):  # another replica has seen it, too
        durable.hide(target)
    return False


def _make(uv: Uv, environment: Environment, target: Path) -> None:
    with uv.workplace() as place:
        made = place / target.name
        uv.run(
            "venv",
            "--quiet",
            "--no-project",
            "--relocatable",
            "--python",
            environment.interpreter.path,
            made,
            cwd=place,
        )
        (made / LOCK).write_text(environment.lock.text, "utf-8")
        _install(uv, made)
        packages = base.packages_of(made)
        check(packages)
        if environment.kind == SHARED:
            lines = [f"import site; site.addsitedir({path!r})\n" for path in base.paths()]
            (packages / LAYER).write_text("".join(lines), "utf-8")
        else:
            (packages / base.PACKAGE.name).symlink_to(base.PACKAGE)
            _lend(packages)
        (made / MADE).write_text(json.dumps(environment.made), "utf-8")
        durable.publish(made, made.rename, target)


def _lend(packages: Path) -> None:
    """What finds public files (`[static]`), which any app may have; one that it has installed itself goes first."""
    found = importlib.util.find_spec("whitenoise")
    if found is not None and found.origin is not None and not (packages / "whitenoise").exists():
        (packages / "whitenoise").symlink_to(Path(found.origin).parent)


def _install(uv: Uv, made: Path) -> None:
    options: list[str | Path] = [
        "--quiet",
        "--compile-bytecode",
        *uv.builds,
        "--python",
        made / "bin" / "python",
        made / LOCK,
    ]
    try:  # what is in the cache is not asked for again, though an index may want that
        uv.run("pip", "sync", "--offline", *options, cwd=made)
    except Refused:
        uv.run("pip", "sync", *options, cwd=made)


def check(packages: Path) -> None:
    """Raises Damaged if a file of theirs is not what it should be, or is not there."""
    for record in packages.glob("*.dist-info/RECORD"):
        for name, expected, _ in csv.reader(record.read_text("utf-8").splitlines()):
            if not expected.startswith("sha256="):
                continue
            try:
                digest = hashlib.sha256((packages / name).read_bytes()).digest()
            except FileNotFoundError:
                digest = b""
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != expected.removeprefix("sha256="):
                raise Damaged(f"{name} is damaged", record.parent.name.split("-")[0])


def read(state: Path, name: str) -> Environment | None:
    """What was built under this name; None if it is '', or not there."""
    home = state / HOME / name
    try:
        made = json.loads((home / MADE).read_text("utf-8"))
        kept = lock.read((home / LOCK).read_text("utf-8"), home)
        return Environment(made["kind"], kept, Interpreter(Path(made["path"]), made["python"]))
    except (OSError, ValueError, KeyError):
        return None


def overlay(state: Path, name: str) -> Overlay:
    """The packages of the environment of this name: of a shared one, what it has beside the base."""
    found = read(state, name)
    return Overlay() if found is None else Overlay(found.lock, base.packages_of(state / HOME / name))


def is_current(state: Path, name: str) -> bool:
    """Whether it may be used still. After Hedgerow, its base or its interpreter has changed, it may not: then what
    apps ask for is to be resolved anew."""
    if not name:
        return True
    found = read(state, name)
    return found is not None and found.name == name and not trouble(state, name)


def trouble(state: Path, name: str) -> str:
    """Why no worker can be started in it, if so."""
    python = state / HOME / name / "bin" / "python"
    if not name or os.access(python, os.X_OK):
        return ""
    found = read(state, name)
    return f"the Python of its environment is gone: {python if found is None else found.interpreter.path}"


def kept(state: Path, name: str, interpreter: Interpreter) -> Overlay:
    """The packages of an environment for an app alone, if those can go on with this interpreter."""
    found = read(state, name)
    if found is None or found.interpreter.numbers[:2] != interpreter.numbers[:2]:
        return Overlay()
    return overlay(state, name)


def missing(state: Path, name: str, present: str) -> list[str]:
    """What the shared pool's environment `name` has beside the base and `present` has not, as `plain 1.0`."""
    there = overlay(state, present).lock.versions
    told = sorted(overlay(state, name).lock.versions.items())
    return [f"{package} {version}" for package, version in told if there.get(package) != version]


def size(folder: Path) -> int:
    """How many bytes lie in a folder; a file of several names counts once."""
    found: dict[tuple[int, int], int] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                told = os.lstat(os.path.join(parent, name))
                found[told.st_dev, told.st_ino] = told.st_size
    return sum(found.values())


def prune(state: Path, used: Collection[str], now: float | None = None) -> list[str]:
    """Removes environments that nobody refers to any more, and what a builder left that was killed. Never one that
    was built or asked for within the last hour: its user may not have said so yet."""
    oldest = (time.time() if now is None else now) - KEPT_S
    home = state / HOME
    removed = []
    for entry in sorted(home.iterdir()) if home.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # another replica prunes, too
            if entry.name not in used and entry.stat().st_mtime < oldest and durable.take_away(entry, oldest, _remove):
                removed.append(entry.name)
    return removed


def _remove(root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
