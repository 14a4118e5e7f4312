"""What an application holds in its hands: a session as a mapping, read when it is first asked for.

It knows what was changed, also inside of a value, since values are compared as JSON. Where sessions are kept is not its
matter.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass
class Kept:
    """A session as it is kept. created, ends: in seconds since the epoch; it ends unless it is used before."""

    id: str
    created: int
    ends: int
    data: dict[str, Any]


class Changes(NamedTuple):
    """By key of the session: values that are new, and those that are there no more."""

    new: dict[str, Any]
    gone: list[str]


class SessionData(MutableMapping[str, Any]):
    """Keys are texts, values what JSON can hold. It can be changed until the head of the answer is sent."""

    def __init__(self, load: Callable[[], Kept | None], now: int) -> None:
        self._load, self._now = load, now
        self._before: dict[str, str] = {}
        self._current: Kept | None = None
        self._is_closed = False
        self.came: Kept | None = None

    @property
    def is_used(self) -> bool:
        """Whether the application has looked at it at all."""
        return self._current is not None

    @property
    def current(self) -> Kept:
        """What it is now; came: what it was when the request came, None if there was none."""
        if self._current is None:
            self.came = self._load()
            self._current = self.came or self._another()
            self._before = _texts(self._current.data)
        return self._current

    @property
    def id(self) -> str:
        """Names the session; never the same after `renew()` or `clear()`."""
        return self.current.id

    def renew(self) -> None:
        """The same values under a new id and with a new lifetime: on log-in, so that no id from before is worth it."""
        self._replace(self.current.data)

    def clear(self) -> None:
        """The end of the session: on log-out. What is stored then begins another one."""
        self._replace({})

    def _replace(self, data: dict[str, Any]) -> None:
        self._open()
        self._current = self._another()
        self._current.data = data
        self._before = {}

    def _another(self) -> Kept:
        return Kept(secrets.token_urlsafe(32), self._now, 0, {})

    def close(self) -> None:
        """No change from now on: nobody would see it."""
        self._is_closed = True

    def changes(self) -> Changes:
        """Since it came. Raises TypeError for a value that cannot be kept."""
        after = _texts(self.current.data)
        new = {key: self.current.data[key] for key, text in after.items() if self._before.get(key) != text}
        return Changes(new, [key for key in self._before if key not in after])

    def _open(self) -> dict[str, Any]:
        if self._is_closed:
            raise RuntimeError("the session is changed too late: the head of the answer has been sent")
        return self.current.data

    def __getitem__(self, key: str) -> Any:
        return self.current.data[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"keys of a session are texts, not {key!r}")
        self._open()[key] = value

    def __delitem__(self, key: str) -> None:
        del self._open()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.current.data)

    def __len__(self) -> int:
        return len(self.current.data)

    def __repr__(self) -> str:
        return f"<SessionData {dict(self)}>" if self.is_used else "<SessionData, not read yet>"


def _texts(data: dict[str, Any]) -> dict[str, str]:
    return {key: _text(key, value) for key, value in data.items()}


def _text(key: str, value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"session[{key!r}] cannot be kept: {error}") from error
