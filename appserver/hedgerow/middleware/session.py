"""Sessions: what an application remembers of one client, as a mapping in `environ["hedgerow.session"]`.

A cookie that is signed for one app at one mount and host, so that nowhere else it is worth anything; in it, or in files
of the app's data, is what was stored. It is saved before the head of the answer goes, if it was changed.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIApplication

from itsdangerous import BadData, URLSafeSerializer

from ..hosting.mounts import host_name
from ..options import option
from .answer import Environ, Headers, value, varying
from .held_head import answer_late
from .session_data import Changes, Kept, SessionData
from .session_places import InCookie, InFolder, Place

KEY = "hedgerow.session"
SHORTEST_KEY = 32
# What browsers keep at least, of name, value and attributes (RFC 6265, 6.1), and the first that they drop.
LARGEST_COOKIE = 4096
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH_SAFE = "/!$&'()*+,=:@|[]"  # what a browser leaves as it is, but for what ends an attribute
_SAME_SITE = ("Strict", "Lax", "None")


def _check_cookie(name: str) -> str | None:
    return None if _TOKEN.fullmatch(name) else "a token is wanted"


def _check_same_site(word: str) -> str | None:
    return None if word in _SAME_SITE else f"one of {', '.join(_SAME_SITE)} is wanted"


def _check_time(seconds: int) -> str | None:
    return None if 0 < seconds <= 366 * 86_400 else "1 second to 366 days are wanted"


@dataclass(frozen=True)
class Session:
    """It does nothing until the application asks for the session. A cookie that is not ours, too old or changed by
    anybody is none at all.
    """

    application: WSGIApplication
    key: str = option(
        "SESSION_KEY", "environment variable with the secret key; of several, with spaces, the first signs, all verify"
    )
    folder: Path | None = option(
        None, "folder of the app's data, as data/sessions, that holds them; default: the cookie does, readable"
    )
    cookie: str = option("session", "how the cookie's name begins; the rest stands for the mount", _check_cookie)
    idle_s: int = option(3_600, "seconds after its last use, give or take a tenth, when a session ends", _check_time)
    lifetime_s: int = option(43_200, "seconds after log-in, or its beginning, when it ends at the latest", _check_time)
    persistent: bool = option(False, "whether the browser keeps it when it is closed")
    secure: bool | None = option(None, "whether the cookie goes by https only; default: if the request came so")
    same_site: str = option("Lax", "which requests of other sites bring it: Strict, Lax or None", _check_same_site)
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        if self.same_site == "None" and not self.secure:
            raise ValueError('same_site = "None" wants secure = true')
        if not self._keys:
            raise ValueError(f"key: the environment variable {self.key} is not set; {_MAKE_ONE}")
        if short := [len(key) for key in self._keys if len(key) < SHORTEST_KEY]:
            raise ValueError(
                f"key: a key in {self.key} has {short[0]} characters, {SHORTEST_KEY} at least; {_MAKE_ONE}"
            )

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        visit = _Visit(self, environ)
        environ[KEY] = visit.session
        return answer_late(self.application, environ, start_response, visit.finish)

    @cached_property
    def _keys(self) -> list[str]:
        return os.environ.get(self.key, "").split()

    @cached_property
    def place(self) -> Place:
        return InCookie() if self.folder is None else InFolder(self.folder)

    def seal(self, environ: Environ) -> URLSafeSerializer:
        """What signs for one app, mount and host. A client names its host itself, but an app answers its own alone."""
        host = host_name(environ.get("HTTP_HOST") or environ["SERVER_NAME"])
        names = KEY, self.place.kind, environ.get("hedgerow.app", ""), host, mount_of(environ)
        # The newest key is the last to itsdangerous; each salt makes a key of its own.
        return URLSafeSerializer(
            self._keys[::-1],
            salt="\0".join(names).encode("utf-8", "surrogateescape"),
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )

    def end_of(self, kept: Kept, now: int) -> int:
        """When a session ends that is used now."""
        return min(now + self.idle_s, kept.created + self.lifetime_s)


def mount_of(environ: Environ) -> str:
    """Where the application answers; '' for the root."""
    mount: str = environ.get("SCRIPT_NAME", "")
    return mount.rstrip("/")


_MAKE_ONE = "`python -c 'import secrets; print(secrets.token_urlsafe(32))'` makes one"


class _Visit:
    """One request. What the cookie says is looked at when the application asks for the session."""

    def __init__(self, how: Session, environ: Environ) -> None:
        self._how, self._environ = how, environ
        self._mount = mount_of(environ)
        self._name = f"{how.cookie}-{hashlib.sha256(self._mount.encode()).hexdigest()[:8]}"
        self._now = int(how.clock())
        self.session = SessionData(self._load, self._now)

    @cached_property
    def _seal(self) -> URLSafeSerializer:
        return self._how.seal(self._environ)

    def _load(self) -> Kept | None:
        """Of several cookies of the name the first good one: others of the host may set one that hides ours."""
        for part in self._environ.get("HTTP_COOKIE", "").split(";"):
            name, _, sealed = part.strip().partition("=")
            if name == self._name and (kept := self._open(sealed)) is not None:
                return kept
        return None

    def _open(self, sealed: str) -> Kept | None:
        try:
            ticket = self._seal.loads(sealed)
        except BadData:
            return None
        kept = self._how.place.load(ticket)
        if kept is None or self._now >= min(kept.ends, kept.created + self._how.lifetime_s):
            return None
        return kept

    def finish(self, status: str, headers: Headers) -> tuple[str, Headers]:
        """Saves it, once. The head gets the cookie if there is a new one."""
        if not self.session.is_used:
            self.session.close()
            return status, headers
        cookie = self._cookie
        headers = varying(headers, "Cookie")
        if cookie is None:
            return status, headers
        if not {"private", "no-store"} & set(re.split(r"[\s,=]+", value(headers, "cache-control").lower())):
            headers = [*headers, ("Cache-Control", "private")]  # one's cookie is nothing to keep for others
        return status, [*headers, ("Set-Cookie", cookie)]

    @cached_property
    def _cookie(self) -> str | None:
        self.session.close()
        came, current, place = self.session.came, self.session.current, self._how.place
        changes = self.session.changes()
        if came is not None and (came.id != current.id or not current.data):
            place.end(came.id)
        if not current.data:
            # A cookie that is no good stays: it may be older than one which another answer has just set.
            return None if came is None else self._set("", 0)
        before, current.ends = current.ends, self._how.end_of(current, self._now)
        if came is None or came.id != current.id:
            return self._sealed(place.add(current, self._now), current)
        if changes == Changes({}, []) and current.ends - before <= self._how.idle_s // 10:
            return None
        ticket = place.save(current, changes)
        return None if ticket is None else self._sealed(ticket, current)

    def _sealed(self, ticket: Any, kept: Kept) -> str:
        rest = kept.created + self._how.lifetime_s - self._now
        cookie = self._set(str(self._seal.dumps(ticket)), rest if self._how.persistent else None)
        if len(cookie) > LARGEST_COOKIE:
            raise ValueError(
                f"the session makes a cookie of {len(cookie)} bytes, and browsers keep {LARGEST_COOKIE}: "
                'with `folder = "data/sessions"` it is kept by the server'
            )
        return cookie

    def _set(self, sealed: str, max_age: int | None) -> str:
        how = self._how
        path = quote(self._mount.encode("latin-1"), safe=_PATH_SAFE) or "/"
        parts = [f"{self._name}={sealed}", f"Path={path}", "HttpOnly", f"SameSite={how.same_site}"]
        parts += [] if max_age is None else [f"Max-Age={max_age}"]
        https = self._environ["wsgi.url_scheme"] == "https"
        return "; ".join([*parts, "Secure"] if (https if how.secure is None else how.secure) else parts)
