"""Who a client is by what it says in Authorization: name and password (RFC 7617), or a token (RFC 6750).

The list of who is known comes from a variable, read once, or from a file, looked at with each request. Wrong passwords
cost a worker some time each, so one address has so many a minute.
"""

from __future__ import annotations

import base64
import math
import os
import re
import unicodedata
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path

from .answer import Environ, Headers
from .credentials import Credentials
from .verdict import NOT_FOR_YOU, WHO, Passed, Refusal

SCHEMES = {"basic": "Basic", "bearer": "Bearer"}
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_CONTROLS = re.compile(r"[\0-\x1f\x7f-\x9f]")
_MAKE_ONE = "`python -m hedgerow.middleware.credentials NAME` makes an entry"
_MINUTE_S = 60
_MOST_ADDRESSES = 10_000


class Known:
    """Who is known. Raises ValueError if that cannot be read, or nobody is known for a scheme."""

    def __init__(self, variable: str, file: Path | None, schemes: Iterable[str]) -> None:
        self._file = file
        self._source = f"the environment variable {variable}" if file is None else f"the file {file}"
        self._stamp: tuple[int, ...] = ()
        self._found = Credentials([])
        if file is None:
            self._take(os.environ.get(variable, "").split())
        found = self.now()
        for scheme, known in (("basic", found.passwords), ("bearer", found.tokens)):
            if scheme in schemes and not known:
                raise ValueError(f"{self._source} has nobody for {scheme}; {_MAKE_ONE}")

    def now(self) -> Credentials:
        """As the file says now."""
        if self._file is None:
            return self._found
        try:
            stat = os.stat(self._file)
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp != self._stamp:
                self._take(filter(None, map(str.strip, self._file.read_text("utf-8").splitlines())))
                self._stamp = stamp
        except OSError as error:
            raise ValueError(f"{self._source}: {error.strerror}") from None
        return self._found

    def _take(self, entries: Iterable[str]) -> None:
        try:
            self._found = Credentials(entries)
        except ValueError as error:
            raise ValueError(f"{self._source}: {error}") from None


class ByName:
    """schemes: of SCHEMES; allow: who of the known may come in, all if it is empty; tries: wrong passwords a minute."""

    def __init__(
        self,
        known: Known,
        schemes: tuple[str, ...],
        realm: str,
        allow: tuple[str, ...],
        tries: int,
        clock: Callable[[], float],
    ) -> None:
        self._known, self._schemes, self._realm = known, schemes, realm
        self._allow = {unicodedata.normalize("NFC", name) for name in allow}
        self._tries = _Tries(tries, clock)

    def decide(self, environ: Environ) -> Passed | Refusal:
        """What Authorization says."""
        scheme, _, given = environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
        scheme = scheme.lower()
        if scheme not in self._schemes:
            return self._unknown()
        way = self._basic if scheme == "basic" else self._bearer
        found = way(given.strip(), environ.get("REMOTE_ADDR", ""))
        if isinstance(found, Refusal):
            return found
        if self._allow and found not in self._allow:
            told = self._challenges(["bearer"], "insufficient_scope") if scheme == "bearer" else []
            return Refusal(HTTPStatus.FORBIDDEN, NOT_FOR_YOU, told)
        # Strings of the environ are bytes, each as one character (PEP 3333).
        return Passed(found.encode().decode("latin-1"), SCHEMES[scheme], [])

    def _basic(self, given: str, address: str) -> str | Refusal:
        try:
            name, colon, password = base64.b64decode(given, validate=True).decode("utf-8").partition(":")
        except ValueError:
            return self._unknown()
        if not colon or _CONTROLS.search(name + password):
            return self._unknown()
        known, name = self._known.now(), unicodedata.normalize("NFC", name)
        if known.is_remembered(name, password):
            return name
        if wait_s := self._tries.wait_s(address):
            sentence = "There were too many wrong passwords. Please try again later.\n"
            return Refusal(HTTPStatus.TOO_MANY_REQUESTS, sentence, [("Retry-After", str(wait_s))])
        self._tries.failed(address)  # before it is known: a hundred at once are a hundred tries
        if known.is_right(name, password):
            self._tries.was_right(address)
            return name
        return self._unknown()

    def _bearer(self, given: str, address: str) -> str | Refusal:
        name = self._known.now().of_token(given) if _TOKEN68.fullmatch(given) else None
        return self._unknown("invalid_token") if name is None else name

    def _unknown(self, error: str = "") -> Refusal:
        return Refusal(HTTPStatus.UNAUTHORIZED, WHO, self._challenges(self._schemes, error))

    def _challenges(self, schemes: Iterable[str], error: str) -> Headers:
        more = {"basic": ', charset="UTF-8"', "bearer": f', error="{error}"' if error else ""}
        return [("WWW-Authenticate", f'{SCHEMES[one]} realm="{self._realm}"{more[one]}') for one in schemes]


class _Tries:
    """By address: when its minute began, and how many were wrong in it."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most, self._clock = most, clock
        self._wrong: dict[str, tuple[float, int]] = {}

    def wait_s(self, address: str) -> int:
        """Seconds until it may try again, 0 for now."""
        began, count = self._wrong.get(address, (0.0, 0))
        return max(0, math.ceil(began + _MINUTE_S - self._clock())) if count >= self._most else 0

    def failed(self, address: str) -> None:
        now = self._clock()
        began, count = self._wrong.get(address, (now, 0))
        if len(self._wrong) >= _MOST_ADDRESSES:
            self._wrong.clear()
        self._wrong[address] = (began, count + 1) if now < began + _MINUTE_S else (now, 1)

    def was_right(self, address: str) -> None:
        """What was counted as wrong before it was known."""
        began, count = self._wrong.get(address, (0.0, 1))
        self._wrong[address] = (began, count - 1)
