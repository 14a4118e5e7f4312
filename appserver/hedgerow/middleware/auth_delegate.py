"""Asks another application whether a request may pass: it gets the head of the request and answers with a status.

As auth_request of nginx does it: 2xx lets pass, 401 and 403 refuse, and anything else is a mistake of who was asked.
"""

from __future__ import annotations

import functools
import importlib
import io
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote
from wsgiref.types import WSGIApplication

from .answer import Environ, ExcInfo, Headers, value
from .verdict import NOT_FOR_YOU, WHO, Passed, Refusal

DELEGATE = "Delegate"
_NOT_KNOWN = "Who may come in could not be found out.\n"

# Of the body, which is not sent along; of what would make another answer than a plain one; and what writes to the
# client by itself.
_LEFT_OUT = (
    "CONTENT_TYPE",
    "HTTP_TRANSFER_ENCODING",
    "HTTP_EXPECT",
    "HTTP_UPGRADE",
    "HTTP_RANGE",
    "HTTP_IF_MATCH",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_UNMODIFIED_SINCE",
    "HTTP_IF_RANGE",
    "wsgi.early_hints",
    "wsgi.file_wrapper",
)
_PATH_SAFE = "/!$&'()*+,;=:@~"


class ByDelegate:
    """application: whose delegate it is; user_field, hand_on: fields of an answer that lets pass."""

    def __init__(
        self, application: WSGIApplication, named: str | WSGIApplication, user_field: str, hand_on: tuple[str, ...]
    ) -> None:
        self._asked, self._path = _find(application, named)
        self._user_field, self._hand_on = user_field, hand_on

    def decide(self, environ: Environ) -> Passed | Refusal:
        """What it says of this request."""
        status, headers = ask(self._asked, environ, self._path)
        if 200 <= status <= 299:
            more = [(name, told) for name in self._hand_on if (told := value(headers, name.lower()))]
            return Passed(value(headers, self._user_field.lower()), DELEGATE, more)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            challenges = [(name, one) for name, one in headers if name.lower() == "www-authenticate"]
            return Refusal(HTTPStatus(status), WHO if status == HTTPStatus.UNAUTHORIZED else NOT_FOR_YOU, challenges)
        environ["wsgi.errors"].write(f"auth: its delegate answered {status}; 2xx, 401 or 403 is wanted\n")
        return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, _NOT_KNOWN, [])


def key_of(field: str) -> str:
    """Of a field of the request, in the environ."""
    return "HTTP_" + field.upper().replace("-", "_")


def _find(application: WSGIApplication, named: str | WSGIApplication) -> tuple[WSGIApplication, str | None]:
    """Who is asked, and at which path. Raises ValueError if there is nobody."""
    if not isinstance(named, str):
        return named, None
    if named.startswith("/"):
        return application, named.encode().decode("latin-1")
    module, colon, names = named.partition(":")
    if not colon:
        raise ValueError(f"delegate = {named!r}: module:name is wanted, or a path from '/'")
    try:
        found = functools.reduce(getattr, names.split("."), importlib.import_module(module))
    except AttributeError as error:
        raise ValueError(f"delegate = {named!r}: {error}") from error
    if not callable(found):
        raise ValueError(f"delegate = {named!r}: it is no callable but of type {type(found).__name__}")
    return cast("WSGIApplication", found), None


def ask(application: WSGIApplication, environ: Environ, path: str | None) -> tuple[int, Headers]:
    """Status and headers of its answer. path: asked with GET instead of what the client asks for, which is told in
    X-Original-Method and X-Original-URI; None: it is asked the same. What it raises passes.
    """
    asked = {name: value for name, value in environ.items() if name not in _LEFT_OUT}
    asked |= {"wsgi.input": io.BytesIO(), "CONTENT_LENGTH": "0"}
    if path is not None:
        target = quote(
            (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"), safe=_PATH_SAFE
        )
        query = environ.get("QUERY_STRING", "")
        asked |= {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "HTTP_X_ORIGINAL_METHOD": environ["REQUEST_METHOD"],
            "HTTP_X_ORIGINAL_URI": f"{target}?{query}" if query else target,
        }
    told: list[tuple[str, Headers]] = []

    def start_response(status: str, headers: Headers, exc_info: ExcInfo = None, /) -> Any:
        told.append((status, list(headers)))
        return lambda block: None

    body = application(asked, start_response)
    try:
        if not told:  # it starts with its first block
            next(iter(body), None)
    finally:
        if (close := getattr(body, "close", None)) is not None:
            close()
    if not told:
        return HTTPStatus.INTERNAL_SERVER_ERROR, []
    status, headers = told[-1]
    return int(status[:3]), headers
