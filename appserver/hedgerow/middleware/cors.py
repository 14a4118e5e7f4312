"""Which other origins' scripts may read the answers (Fetch, "CORS protocol"): browsers ask, this answers.

It lets nobody in or out: a request that no browser sends is served as ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication

from ..options import REQUIRED, option, within
from .answer import Environ, Headers, changed, varying, without

ANY = "*"
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[a-z0-9.\[\]:_-]+", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = (
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-expose-headers",
)


def check_origins(origins: tuple[str, ...]) -> str | None:
    wrong = (one for one in origins if not _ORIGIN.fullmatch(one))
    return next(
        (f"{one!r} is no origin as a browser sends it: scheme://host, lower-case, no path" for one in wrong), None
    )


def check_tokens(names: tuple[str, ...]) -> str | None:
    return next((f"{one!r} is no token" for one in names if not _TOKEN.fullmatch(one)), None)


@dataclass(frozen=True)
class Cors:
    """What the application says itself of CORS is replaced. A preflight request never reaches it."""

    application: WSGIApplication
    origins: tuple[str, ...] = option(REQUIRED, "they may read, as https://shop.example; '*' for all", check_origins)
    methods: tuple[str, ...] = option(("GET", "HEAD", "POST"), "methods that they may use", check_tokens)
    headers: tuple[str, ...] = option((), "fields that they may send, beside those that are always safe", check_tokens)
    expose: tuple[str, ...] = option((), "fields of the answer that they may read, beside those", check_tokens)
    credentials: bool = option(False, "whether cookies are sent along and the answer may be read then")
    max_age: int = option(
        600, "seconds for which a browser may remember the answer to a preflight", within(0, 86_400, "seconds")
    )

    def __post_init__(self) -> None:
        if self.credentials and ANY in self.origins:
            raise ValueError("credentials = true wants each origin named, not '*'")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        origin = environ.get("HTTP_ORIGIN", "")
        if environ["REQUEST_METHOD"] == "OPTIONS" and origin and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            return self._preflight(origin, start_response)

        def allow(status: str, headers: Headers) -> tuple[str, Headers]:
            exposed = [("Access-Control-Expose-Headers", ", ".join(self.expose))] if self.expose else []
            return status, self._allowed(origin, without(headers, *_OURS), exposed)

        return self.application(environ, changed(start_response, allow))

    def _preflight(self, origin: str, start_response: StartResponse) -> Iterable[bytes]:
        """The browser compares what it wants with what may be: a refusal is an answer that allows nothing."""
        told = [
            ("Access-Control-Allow-Methods", ", ".join(self.methods)),
            ("Access-Control-Max-Age", str(self.max_age)),
        ]
        if self.headers:
            told.append(("Access-Control-Allow-Headers", ", ".join(self.headers)))
        status = HTTPStatus.NO_CONTENT
        start_response(f"{status.value} {status.phrase}", self._allowed(origin, [], told))
        return []

    def _allowed(self, origin: str, headers: Headers, more: Headers) -> Headers:
        """With what the origin may do; with nothing if it is none of them."""
        if ANY in self.origins:
            return [*headers, ("Access-Control-Allow-Origin", ANY), *more]
        headers = varying(headers, "Origin")
        if origin not in self.origins:
            return headers
        credentials = [("Access-Control-Allow-Credentials", "true")] if self.credentials else []
        return [*headers, ("Access-Control-Allow-Origin", origin), *credentials, *more]
