"""Who may come in: by name and password (RFC 7617), by token (RFC 6750), or as another application says.

The application reads of it in REMOTE_USER and AUTH_TYPE, which are never what a client sent. Which paths are guarded is
in `guarded.py`, who is known in `credentials.py`, who decides in `auth_names.py` and `auth_delegate.py`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication

from ..options import option
from .answer import Environ, listed
from .auth_delegate import DELEGATE, ByDelegate, key_of
from .auth_names import SCHEMES, ByName, Known
from .guarded import Guarded, check_paths
from .verdict import Refusal

# Of the environ: what was taken out of a request already.
TAKEN_OUT = "hedgerow.auth"
_NAME = re.compile(r"[A-Za-z0-9-]+", re.ASCII)


def _check_schemes(names: tuple[str, ...]) -> str | None:
    return None if names and set(names) <= SCHEMES.keys() else f"a list of {' and '.join(SCHEMES)} is wanted"


def _check_realm(realm: str) -> str | None:
    fits = realm.isascii() and realm.isprintable() and not {'"', "\\"} & set(realm)
    return None if fits else "printable ASCII without quotes is wanted"


def _check_field(name: str) -> str | None:
    return None if _NAME.fullmatch(name) else f"{name!r} is no name of a field"


def _check_fields(names: tuple[str, ...]) -> str | None:
    return next(filter(None, map(_check_field, names)), None)


def _check_tries(count: int) -> str | None:
    return None if count > 0 else "1 at least is wanted"


@dataclass(frozen=True)
class Auth:
    """Either `users` or `file` names who is known, or `delegate` decides. What the application has on other paths is
    left alone.
    """

    application: WSGIApplication
    paths: tuple[str, ...] = option(("/",), "paths below the mount that it guards, with all below them", check_paths)
    open: tuple[str, ...] = option((), "paths among those that all may reach, with all below them", check_paths)
    schemes: tuple[str, ...] = option(("basic",), "how clients say who they are: basic, bearer", _check_schemes)
    users: str = option("", "environment variable with entries of `hedgerow.middleware.credentials`, spaces between")
    file: Path | None = option(None, "file of such entries, one a line; read again when it changes")
    allow: tuple[str, ...] = option((), "names of users: of those who are known these may; default: all")
    realm: str = option("Restricted", "what it is called when a password is asked for", _check_realm)
    tries: int = option(20, "wrong passwords that one address has in a minute before it has to wait", _check_tries)
    delegate: str | WSGIApplication | None = option(
        None, "who decides instead: module:name of a WSGI application, or a path of this one, from '/'"
    )
    user_field: str = option("Remote-User", "field of its answer that names the user", _check_field)
    hand_on: tuple[str, ...] = option((), "fields of its answer that go to the app, as of the request", _check_fields)
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        if bool(self.users) + (self.file is not None) + (self.delegate is not None) != 1:
            raise ValueError("one of users, file and delegate is wanted")
        self._judge.decide  # noqa: B018 - it reads what it needs now, and what is wrong is found now

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self._take_out(environ)
        if not self._guarded.has(environ.get("PATH_INFO", "")):
            return self.application(environ, start_response)
        found = self._judge.decide(environ)
        if isinstance(found, Refusal):
            return found.answer(start_response)
        if found.scheme != DELEGATE:
            environ.pop("HTTP_AUTHORIZATION", None)  # the password is no matter of the application
        environ |= {key_of(name): told for name, told in found.more}
        if found.more and (connection := environ.get("HTTP_CONNECTION")):
            # A proxy behind this takes out what Connection names; but these are not the client's any more.
            ours = {name.lower() for name, _ in found.more}
            environ["HTTP_CONNECTION"] = ", ".join(one for one in listed(connection) if one.lower() not in ours)
        environ |= {"REMOTE_USER": found.user, "AUTH_TYPE": found.scheme} if found.user else {}
        return self.application(environ, start_response)

    def _take_out(self, environ: Environ) -> None:
        """What only this may set; once, as another one around this one may have set it since."""
        ours = {"REMOTE_USER", "AUTH_TYPE", "HTTP_REMOTE_USER", *map(key_of, (self.user_field, *self.hand_on))}
        done: frozenset[str] = environ.get(TAKEN_OUT, frozenset())
        for name in ours - done:
            environ.pop(name, None)
        environ[TAKEN_OUT] = done | ours

    @cached_property
    def _guarded(self) -> Guarded:
        return Guarded(self.paths, self.open)

    @cached_property
    def _judge(self) -> ByName | ByDelegate:
        if self.delegate is not None:
            return ByDelegate(self.application, self.delegate, self.user_field, self.hand_on)
        known = Known(self.users, self.file, self.schemes)
        return ByName(known, self.schemes, self.realm, self.allow, self.tries, self.clock)
