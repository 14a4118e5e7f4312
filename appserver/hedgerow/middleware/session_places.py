"""Where sessions are kept: in the cookie itself, or as files that all processes of an app share.

A cookie comes signed, so what is read here is what was written here. In a folder each session is one file of JSON,
named by a hash of its id, and its time of change is when it ends. Files lie in 256 folders, each with a lock: a file is
read without it and replaced as a whole under it, so two requests that change different keys both do, and a request that
is late brings back no session that has ended, unless it renews it. A new session sweeps the folder that it comes into.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from .session_data import Changes, Kept


class Place(Protocol):
    """A ticket is what the cookie holds. kind: a ticket of one is none at the other."""

    @property
    def kind(self) -> str: ...

    def load(self, ticket: Any) -> Kept | None:
        """What is kept under a ticket, None if it has gone or ended."""

    def add(self, kept: Kept, now: int) -> Any:
        """Keeps a new one. Returns its ticket."""

    def save(self, kept: Kept, changes: Changes) -> Any | None:
        """Keeps what was changed, and when it ends. Returns a new ticket, None if the one that came is still good."""

    def end(self, id: str) -> None:
        """Forgets it."""


class InCookie:
    """All of it is in the ticket, so the client may read it, and what was ended cannot be told from what was not."""

    kind = "cookie"

    def load(self, ticket: Any) -> Kept | None:
        return Kept(*ticket)

    def add(self, kept: Kept, now: int) -> Any:
        return [kept.id, kept.created, kept.ends, kept.data]

    def save(self, kept: Kept, changes: Changes) -> Any | None:
        return self.add(kept, 0)

    def end(self, id: str) -> None:
        """Nothing can be done: the client is told to forget it."""


class InFolder:
    """The ticket is the id."""

    kind = "folder"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, ticket: Any) -> Kept | None:
        return _read(self._path(ticket), ticket)

    def add(self, kept: Kept, now: int) -> Any:
        path = self._path(kept.id)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path.parent):
            _sweep(path.parent, now)
            _write(path, kept)
        return kept.id

    def save(self, kept: Kept, changes: Changes) -> Any | None:
        path = self._path(kept.id)
        with suppress(FileNotFoundError), _locked(path.parent):
            if (found := _read(path, kept.id)) is not None:  # else another request has ended it
                data = {key: value for key, value in found.data.items() if key not in changes.gone}
                _write(path, Kept(kept.id, kept.created, kept.ends, data | changes.new))
        return None

    def end(self, id: str) -> None:
        path = self._path(id)
        with suppress(FileNotFoundError), _locked(path.parent):
            path.unlink()

    def _path(self, id: str) -> Path:
        name = hashlib.sha256(id.encode()).hexdigest()
        return self._folder / name[:2] / name[2:]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)  # gevent closes later: the next greenlet would wait, and all with it
        os.close(lock)


def _read(path: Path, id: str) -> Kept | None:
    try:
        with path.open(encoding="utf-8") as file:
            created, data = json.load(file)
            return Kept(id, created, int(os.fstat(file.fileno()).st_mtime), data)
    except (FileNotFoundError, ValueError):  # ValueError: the machine went down while it was written
        return None


def _write(path: Path, kept: Kept) -> None:
    beside = path.with_suffix(".new")  # of a process that was ended just here it is swept
    with open(beside, "w", encoding="utf-8", opener=_private) as file:
        json.dump([kept.created, kept.data], file)
    os.utime(beside, (kept.ends, kept.ends))
    beside.replace(path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sweep(folder: Path, now: int) -> None:
    with os.scandir(folder) as found:
        ended = [entry.path for entry in found if entry.stat().st_mtime <= now]
    for path in ended:
        os.unlink(path)
