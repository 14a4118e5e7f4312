"""What middleware does to an answer's head: it sees it when the application sends it, and may send another one.

An answer of the middleware itself is made here, too. Nothing here looks at a body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from types import TracebackType
from typing import Any
from wsgiref.types import StartResponse

Headers = list[tuple[str, str]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None
# Gets status and headers as the application gave them, and returns what is sent; the list is its own.
Change = Callable[[str, Headers], tuple[str, Headers]]


def changed(start_response: StartResponse, change: Change) -> StartResponse:
    """A start_response that sends what `change` makes of a head, also of one that replaces another after an error."""

    def start(status: str, headers: Headers, exc_info: ExcInfo = None, /) -> Callable[[bytes], object]:
        return begin(start_response, *change(status, list(headers)), exc_info)

    return start


def begin(start_response: StartResponse, status: str, headers: Headers, exc_info: ExcInfo) -> Callable[[bytes], object]:
    """Calls it as the application did: a server may tell whether it was given exc_info at all."""
    return start_response(status, headers) if exc_info is None else start_response(status, headers, exc_info)


def value(headers: Iterable[tuple[str, str]], name: str) -> str:
    """Of the fields of this name, in lower case, with commas between as RFC 9110 (5.3) joins them; '' for none."""
    return ", ".join(one for key, one in headers if key.lower() == name)


def without(headers: Headers, *names: str) -> Headers:
    """The others. names: in lower case."""
    return [(key, one) for key, one in headers if key.lower() not in names]


def varying(headers: Headers, name: str) -> Headers:
    """With one more field of the request in Vary, on which the answer depends (RFC 9110, 12.5.5)."""
    known = {one.strip().lower() for one in value(headers, "vary").split(",")}
    return headers if known & {"*", name.lower()} else [*headers, ("Vary", name)]


def of_other_body(headers: Headers) -> Headers:
    """What is still true of a body that is changed: its length, its parts and its digests are others, and its ETag says
    no more than that the content is the same (RFC 9110, 8.8.1; RFC 9530)."""
    kept = without(headers, "content-length", "accept-ranges", "content-md5", "digest", "content-digest", "repr-digest")
    return [(name, weak(one) if name.lower() == "etag" else one) for name, one in kept]


def weak(etag: str) -> str:
    """An ETag that says: the same content, not the same bytes (RFC 9110, 8.8.1)."""
    return etag if etag.startswith("W/") else f"W/{etag}"


def text(start_response: StartResponse, status: HTTPStatus, body: str, *headers: tuple[str, str]) -> list[bytes]:
    """A whole answer of plain text."""
    return whole(start_response, status, body.encode(), "text/plain; charset=utf-8", *headers)


def whole(
    start_response: StartResponse, status: HTTPStatus, body: bytes, kind: str, *headers: tuple[str, str]
) -> list[bytes]:
    """A whole answer. The server leaves the body out for HEAD."""
    start_response(
        f"{status.value} {status.phrase}", [("Content-Type", kind), ("Content-Length", str(len(body))), *headers]
    )
    return [body]


def listed(text: str) -> list[str]:
    """The members of a list in a field (RFC 9110, 5.6.1), without empty ones."""
    return [one for part in text.split(",") if (one := part.strip())]


Environ = dict[str, Any]
