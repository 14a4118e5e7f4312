"""The apps folder, looked at again and again: which apps it holds, and which of them hold still.

Reads only, and knows no releases: what is made of a folder is another's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from ..errors import UserError
from ..hosting.discovery import discover
from . import releases, secret_marks


class Folders:
    """One apps folder. settled: the apps that were the same at two looks, by name, with their fingerprints; moving:
    something has changed since the last look.
    """

    def __init__(self, apps: Path, secrets: Path) -> None:
        self._apps = apps
        self._secrets = secrets
        self._seen: dict[str, str] | None = None
        self._gone_from: dict[str, str] | None = None
        self.settled: Mapping[str, str] = {}
        self.moving = False

    def look(self) -> None:
        """Look once. The first look takes what is there as settled. Raises UserError if there is no such folder."""
        now = self._scan()
        before = now if self._seen is None else self._seen
        self._gone_from = before if self._seen is not None else None
        self.settled = {name: mark for name, mark in now.items() if before.get(name) == mark} | {
            name: mark for name, mark in self.settled.items() if name in now and before.get(name) != now[name]
        }
        self._seen, self.moving = now, now != before

    @property
    def names(self) -> Collection[str]:
        """The apps that were there at one of the last two looks."""
        return {*(self._seen or ()), *(self._gone_from or ())}

    def moves(self, name: str) -> bool:
        """Whether this app has changed since it was settled."""
        return (self._seen or {}).get(name) != self.settled.get(name)

    def lacks(self, name: str) -> bool:
        """Whether the folder of this app was missing at the last two looks: one alone may have met a rename."""
        return self._gone_from is not None and name not in self._gone_from and name not in (self._seen or {})

    def _scan(self) -> dict[str, str]:
        try:
            folders = discover(self._apps)
        except OSError as error:
            raise UserError(f"{self._apps}: {error.strerror}; the folder of the apps is wanted") from error
        return {folder.name: mark(folder, self._secrets) for folder in folders}


def mark(folder: Path, secrets: Path) -> str:
    """The fingerprint of one app's folder and of its secrets as they are now. Whatever the app is, this is told, and
    others are looked at.
    """
    try:
        return releases.scan(folder) + secret_marks.glance(secrets, folder.name)
    except OSError as error:  # it went while we looked, or may not be read: making a release tells
        return f"{error.filename}: {error.strerror}"
    except Exception as error:
        return repr(error)
