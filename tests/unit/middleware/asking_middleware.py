"""Ask a WSGI application as a server does, with the checks of wsgiref on both sides of what is asked."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

Environ = dict[str, Any]
Headers = list[tuple[str, str]]


@dataclass
class Answer:
    """blocks: of the body, as the server gets them; environ: as the application's side leaves it."""

    status: str
    headers: Headers
    blocks: list[bytes]
    environ: Environ

    @property
    def body(self) -> bytes:
        return b"".join(self.blocks)

    def __getitem__(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())


@dataclass
class App:
    """Answers with these. closed: how often its body was closed; seen: the environs that it got."""

    body: Iterable[bytes] = (b"hello",)
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "text/plain"),)
    status: str = "200 OK"
    closed: int = 0

    def __post_init__(self) -> None:
        self.seen: list[Environ] = []

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.seen.append(environ)
        start_response(self.status, list(self.headers))
        return _Closing(self)


class _Closing:
    def __init__(self, app: App) -> None:
        self._app, self._blocks = app, iter(app.body)

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        self._app.closed += 1


def ask(
    wrap: Callable[[WSGIApplication], WSGIApplication],
    app: WSGIApplication,
    path: str = "/",
    method: str = "GET",
    body: bytes = b"",
    **fields: str,
) -> Answer:
    """The answer of the application in its middleware. fields: of the request, as `Accept_Encoding="gzip"`."""
    environ: Environ = {
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "REQUEST_METHOD": method,
        "wsgi.input": io.BytesIO(body),
    }
    environ |= {"CONTENT_LENGTH": str(len(body))} if body else {}
    setup_testing_defaults(environ)
    environ |= {"HTTP_" + name.upper(): value for name, value in fields.items()}
    environ.pop("HTTP_HOST" if "Host" in fields else "", None)
    if "Host" in fields:
        environ["HTTP_HOST"] = fields["Host"]
    told: list[tuple[str, Headers]] = []

    def start_response(status: str, headers: Headers, exc_info: Any = None, /) -> Callable[[bytes], object]:
        told.append((status, headers))
        return written.append

    written: list[bytes] = []
    found = validator(wrap(validator(app)))(environ, start_response)
    try:
        blocks = list(found)
    finally:
        found.close()  # type: ignore[attr-defined]
    status, headers = told[-1]
    return Answer(status, headers, written + blocks, environ)


def ask_and_read(
    wrap: Callable[[WSGIApplication], WSGIApplication], app: WSGIApplication, *given: Any, **fields: Any
) -> tuple[Answer, str]:
    """The answer, and what the middleware has written to the log."""
    log = io.StringIO()

    def wrapped(inner: WSGIApplication) -> WSGIApplication:
        made = wrap(inner)
        return lambda environ, start_response: made({**environ, "wsgi.errors": log}, start_response)

    answer = ask(wrapped, app, *given, **fields)
    return answer, log.getvalue()
