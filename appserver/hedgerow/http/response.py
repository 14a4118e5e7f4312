"""Answers to bytes: the head of a response, and how its body is framed (RFC 9112 sections 4 and 6).

`ResponseHead` decides once, from what the app said and what the request allows; the caller sends `head` and wraps
blocks as `framing` says.
"""

from __future__ import annotations

import enum
from http import HTTPStatus

from ..errors import HttpError
from .grammar import CONTROL, TOKEN

Headers = list[tuple[str, str]]

LAST_CHUNK = b"0\r\n\r\n"


class BodyFraming(enum.Enum):
    """How the end of a response's body is told."""

    NONE = "none"  # there is no body: HEAD, 204, 304
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"  # the end of the connection is the end of the body


class _Kind(enum.IntEnum):
    PLAIN = 0
    DROPPED = 1
    LENGTH = 2
    DATE = 3
    SERVER = 4


# Hop-by-hop fields are ours to send (RFC 9110 section 7.6.1). X-Accel-* steers nginx and belongs to the worker; only
# the wish not to be
# buffered is an app's.
_SPECIAL = {
    "connection": _Kind.DROPPED,
    "keep-alive": _Kind.DROPPED,
    "proxy-connection": _Kind.DROPPED,
    "te": _Kind.DROPPED,
    "trailer": _Kind.DROPPED,
    "transfer-encoding": _Kind.DROPPED,
    "upgrade": _Kind.DROPPED,
    "content-length": _Kind.LENGTH,
    "date": _Kind.DATE,
    "server": _Kind.SERVER,
    "x-accel-buffering": _Kind.PLAIN,
}
_KINDS: dict[str, _Kind] = {}  # names as apps write them; bounded, since an app can make them up
_MAX_KINDS = 2000


def _learn(name: str) -> _Kind:
    """The kind of a name not met yet. Raises ValueError for what is no token (RFC 9110 section 5.6.2)."""
    if TOKEN.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no header name")
    lower = name.lower()
    kind = _SPECIAL.get(lower, _Kind.DROPPED if lower.startswith("x-accel-") else _Kind.PLAIN)
    if len(_KINDS) < _MAX_KINDS:
        _KINDS[name] = kind
    return kind


class ResponseHead:
    """The head of one answer.

    head: its bytes; framing: of the body; length: the body's length in bytes where the head says one, else None;
    close: whether the connection ends behind it. status: as the app gave it, e.g. `200 OK`; headers: pairs of native
    strings; known_length: the body's length if the caller knows it and the app did not say; date: the value of a Date
    field; own_headers: lines of the server's own, sent as they are. Raises ValueError for what must not stand in a
    head.
    """

    __slots__ = ("close", "framing", "head", "length")

    def __init__(
        self,
        status: str,
        headers: Headers,
        *,
        method: str,
        http11: bool,
        keep_alive: bool,
        date: str,
        known_length: int | None = None,
        own_headers: tuple[str, ...] = (),
    ) -> None:
        length: int | None = None
        lines = [f"HTTP/1.1 {status}"]
        has_date = has_server = False
        for name, value in headers:
            kind = _KINDS.get(name)
            if kind is None:
                kind = _learn(name)
            if kind:
                if kind is _Kind.DROPPED:
                    continue
                if kind is _Kind.LENGTH:
                    length = _parse_length(value)
                    continue
                has_date = has_date or kind is _Kind.DATE
                has_server = has_server or kind is _Kind.SERVER
            lines.append(f"{name}: {value}")
        if not has_date:
            lines.append(f"Date: {date}")
        if not has_server:
            lines.append("Server: hedgerow")
        if length is None and known_length is not None and _may_tell_length(status, method, known_length):
            length = known_length
        self.length = length
        self.framing = framing = _frame(status, method, http11, length)
        if length is not None and not status.startswith("204"):
            lines.append(f"Content-Length: {length}")
        elif framing is BodyFraming.CHUNKED:
            lines.append("Transfer-Encoding: chunked")
        self.close = not keep_alive or framing is BodyFraming.CLOSE
        if self.close:
            lines.append("Connection: close")
        elif not http11:
            lines.append("Connection: keep-alive")
        lines.extend(own_headers)
        if not "".join(lines).isprintable():  # quick, and true of nearly every head
            _check_lines(lines)
        lines.append("\r\n")
        self.head = "\r\n".join(lines).encode("latin-1")


def _check_lines(lines: list[str]) -> None:
    for line in lines:
        if CONTROL.search(line):
            raise ValueError(f"a status or header with a control character: {line!r}")


def _parse_length(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"Content-Length {value!r} is not a number")
    return int(value)


def _may_tell_length(status: str, method: str, known_length: int) -> bool:
    """Whether the length of what the app returned is the length of the representation.

    Not where the app returned nothing because nothing would be sent: for HEAD and 304 the field tells what GET would
    send.
    """
    return known_length > 0 or not (method == "HEAD" or status.startswith(("204", "304")))


def _frame(status: str, method: str, http11: bool, length: int | None) -> BodyFraming:
    if method == "HEAD" or status.startswith(("1", "204", "304")):
        return BodyFraming.NONE
    if length is not None:
        return BodyFraming.LENGTH
    return BodyFraming.CHUNKED if http11 else BodyFraming.CLOSE


def chunk(block: bytes) -> bytes:
    """One chunk of a chunked body; block is not empty, since an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(block), block)


def error_answer(error: HttpError, date: str) -> bytes:
    """The whole answer to a request that could not be understood; the connection ends behind it."""
    phrase = HTTPStatus(error.status).phrase
    body = f"{error.status} {phrase}\n{error.reason}\n".encode()
    head = ResponseHead(
        f"{error.status} {phrase}",
        [("Content-Type", "text/plain; charset=utf-8")],
        method="GET",
        http11=True,
        keep_alive=False,
        date=date,
        known_length=len(body),
    )
    return head.head + body
