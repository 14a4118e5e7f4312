"""Answers to bytes: the head of a response, and how its body is framed (RFC 9112 sections 4 and 6).

`ResponseHead` decides once, from what the app said and what the request allows; the caller sends `head` and wraps
blocks as `framing` says. No text of an app's gets into a head unchecked.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from http import HTTPStatus

from ..errors import HttpError
from .grammar import CONTROL, STATUS, TOKEN, is_length

Headers = list[tuple[str, str]]

LAST_CHUNK = b"0\r\n\r\n"


class BodyFraming(enum.Enum):
    """How the end of a response's body is told."""

    NONE = "none"  # there is no body: HEAD, 204, 304
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"  # the end of the connection is the end of the body


NONE, LENGTH, CHUNKED, CLOSE = BodyFraming  # a look-up in the enumeration costs more than all else around it

# What is done with a field of the app's.
_PLAIN, _DROPPED, _LENGTH, _DATE, _SERVER, _ID, _REDIRECT = range(7)

# Hop-by-hop fields are ours to send (RFC 9110 section 7.6.1). X-Accel-* steers nginx and belongs to the worker; only
# the wishes not to be buffered and to have a file sent are an app's.
_SPECIAL = {
    "connection": _DROPPED,
    "keep-alive": _DROPPED,
    "proxy-authenticate": _DROPPED,  # with the next one: of PEP 3333's list, in wsgiref.util.is_hop_by_hop
    "proxy-authorization": _DROPPED,
    "proxy-connection": _DROPPED,
    "te": _DROPPED,
    "trailer": _DROPPED,
    "trailers": _DROPPED,
    "transfer-encoding": _DROPPED,
    "upgrade": _DROPPED,
    "content-length": _LENGTH,
    "date": _DATE,
    "server": _SERVER,
    "x-accel-buffering": _PLAIN,
    "x-accel-redirect": _REDIRECT,
    "x-hedgerow-cause": _DROPPED,  # with the next one: a pool's worker tells it the one that sends on
    "x-hedgerow-retry": _DROPPED,
    "x-request-id": _ID,
}
_OWN_ID = "X-Request-Id:"

# Statuses whose answers have no body, or none to speak of; every other is usual.
_USUAL, _NO_CONTENT, _RESET_CONTENT, _NOT_MODIFIED = 0, 204, 205, 304

# Names and statuses as apps write them, checked once: what is done with the field and how its line begins; what the
# status means for the body and its line. Bounded, since an app can make them up.
_FIELDS: dict[str, tuple[int, str]] = {}
_STATUSES: dict[str, tuple[int, str]] = {}
_MAX_LEARNT = 2000
_MAX_LEARNT_CHARS = 64


def exact(value: str, what: str) -> str:
    """`value` as a str itself: of a subclass only the text, whatever its methods say. Raises ValueError for others."""
    if not isinstance(value, str):
        raise ValueError(f"{what} is {type(value).__name__}, not str")
    return value if type(value) is str else "".join((value,))


def _learn_field(name: str) -> tuple[int, str]:
    name = exact(name, "a header's name")
    if TOKEN.fullmatch(name) is None:  # RFC 9110 section 5.6.2
        raise ValueError(f"{name!r} is no header name")
    lower = name.lower()
    kind = _SPECIAL.get(lower, _DROPPED if lower.startswith("x-accel-") else _PLAIN)
    entry = (kind, "".join(("\r\n", name, ": ")))
    if len(_FIELDS) < _MAX_LEARNT and len(name) <= _MAX_LEARNT_CHARS:
        _FIELDS[name] = entry
    return entry


def _learn_status(status: str) -> tuple[int, str]:
    status = exact(status, "the status")
    if STATUS.match(status) is None:
        raise ValueError(f"the status {status!r} is not three digits from 200 to 599, a space and a reason")
    code = int(status[:3])
    entry = (
        code if code in (_NO_CONTENT, _RESET_CONTENT, _NOT_MODIFIED) else _USUAL,
        "HTTP/1.1 " + _checked("the status", status),
    )
    if len(_STATUSES) < _MAX_LEARNT and len(status) <= _MAX_LEARNT_CHARS:
        _STATUSES[status] = entry
    return entry


def _checked(what: str, value: str) -> str:
    """`value` as an exact str that can stand in a line. Raises ValueError."""
    value = exact(value, what)
    if CONTROL.search(value) is not None:
        raise ValueError(f"a control character in {what}: {value!r}")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"{what} has characters that are not in latin-1: {value!r}") from None
    return value


class ResponseHead:
    """The head of one answer, made in two steps.

    The first checks what the app said, while the app is still there to be told. status: e.g. `200 OK`; headers: pairs
    of native strings. Raises ValueError for what must not stand in a head. dropped: names of fields that are not the
    app's to send; redirect: the file that it wants to be sent instead of its body, as X-Accel-Redirect has it, or '';
    length: the body's length in bytes where the head says one, else None.

    `settle`, when the first byte of the answer is due, gives head: its bytes; framing: of the body; close: whether the
    connection ends behind it.
    """

    # fmt: off
    __slots__ = (
        "_has_date", "_has_id", "_has_server", "_kind", "_text", "close", "dropped", "framing", "head", "length",
        "redirect",
    )
    # fmt: on

    def __init__(self, status: str, headers: Headers) -> None:
        kind, line = _STATUSES.get(status) or _learn_status(status)
        self._kind = kind
        self.length: int | None = None
        self.dropped: tuple[str, ...] = ()
        self.redirect = ""
        self._has_date = self._has_server = self._has_id = False
        parts = [line]
        for name, text in headers:
            kind, line = _FIELDS.get(name) or _learn_field(name)
            sound = type(text) is str and text.isascii() and text.isprintable()  # quick, and true of nearly every one
            value = text if sound else _checked(name, text)
            if kind == _PLAIN:
                parts.append(line)
                parts.append(value)
            elif kind == _LENGTH:
                self._take_length(value)
            elif kind == _DROPPED:
                self.dropped += (name,)
            elif kind == _REDIRECT:
                self._take_redirect(name, value)
            else:
                parts.append(line)
                parts.append(value)
                self._has_date = self._has_date or kind == _DATE
                self._has_server = self._has_server or kind == _SERVER
                self._has_id = self._has_id or kind == _ID
        self._text = "".join(parts)

    def is_event_stream(self) -> bool:
        """Whether it begins server-sent events, and does not say itself what a front's buffers are to do with them."""
        text = self._text.lower()
        return "\r\ncontent-type: text/event-stream" in text and "\r\nx-accel-buffering:" not in text

    def fields(self) -> Headers:
        """Those that are sent, as the app said them, without Content-Length."""
        lines = self._text.split("\r\n")[1:]
        return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]

    def _take_redirect(self, name: str, value: str) -> None:
        """A path is a wish; what nginx takes for the name of a location is not an app's to say."""
        if self.redirect:
            raise ValueError(f"two fields {name}")
        self.dropped += (name,)
        if value.startswith("/"):
            self.redirect = value

    def _take_length(self, value: str) -> None:
        if not is_length(value):
            raise ValueError(f"Content-Length {value!r} is not a number of at most 18 digits")
        length = int(value)
        if self.length is not None and self.length != length:
            raise ValueError(f"two different lengths: Content-Length {self.length} and {length}")
        self.length = length

    def settle(
        self,
        method: str,
        http11: bool,
        keep_alive: bool,
        date: str,
        known_length: int | None = None,
        own_headers: tuple[str, ...] = (),
    ) -> None:
        """Frame the body, and make the bytes.

        method, http11: of the request; keep_alive: whether a further one may follow; date: the value of a Date field;
        known_length: the body's length if the caller knows it and the app did not say; own_headers: lines of the
        server's own, sent as they are, but for an id of the request where the app has told one.
        """
        if self._kind != _USUAL or method == "HEAD":
            self.framing = NONE
            self._settle_bodyless(known_length)
        elif method == "CONNECT" and self._text.startswith("HTTP/1.1 2"):
            # To the client all that follows is a tunnel (RFC 9110 section 9.3.6): no framing, and nothing behind it.
            self.framing, self.length = CLOSE, None
        else:
            if self.length is None:
                self.length = known_length
            self.framing = LENGTH if self.length is not None else CHUNKED if http11 else CLOSE
        self.close = not keep_alive or self.framing is CLOSE
        dated = "" if self._has_date else f"\r\nDate: {date}"
        served = "" if self._has_server else "\r\nServer: hedgerow"
        framed = connection = own = ""
        if self.length is not None:
            framed = f"\r\nContent-Length: {self.length}"
        elif self.framing is CHUNKED:
            framed = "\r\nTransfer-Encoding: chunked"
        if self.close:
            connection = "\r\nConnection: close"
        elif not http11:
            connection = "\r\nConnection: keep-alive"
        if own_headers:
            lines = own_headers if not self._has_id else [one for one in own_headers if not one.startswith(_OWN_ID)]
            own = "".join([f"\r\n{line}" for line in lines])
        self.head = f"{self._text}{dated}{served}{framed}{connection}{own}\r\n\r\n".encode("latin-1")

    def _settle_bodyless(self, known_length: int | None) -> None:
        """What Content-Length says where no body follows (RFC 9110 section 8.6).

        For HEAD it is the length that GET would send, which an app that returned nothing has not told; 304 leaves it
        to the app; 204 must not have it; 205 has an empty body.
        """
        if self._kind == _NO_CONTENT:
            self.length = None
        elif self._kind == _RESET_CONTENT:
            self.length = 0
        elif self._kind == _USUAL and self.length is None and known_length:
            self.length = known_length


def early_hints(headers: Iterable[tuple[str | bytes, str | bytes]]) -> bytes:
    """A whole 103 answer (RFC 8297). Fields are checked as in the final head; text may also come as latin-1 bytes."""
    parts = ["HTTP/1.1 103 Early Hints"]
    for name, text in headers:
        kind, line = _learn_field(name.decode("latin-1") if isinstance(name, bytes) else name)
        value = _checked("an early hint", text.decode("latin-1") if isinstance(text, bytes) else text)
        if kind == _PLAIN:
            parts += (line, value)
    parts.append("\r\n\r\n")
    return "".join(parts).encode("latin-1")


def switching_protocols(headers: Headers) -> bytes:
    """A whole 101 answer, behind which the connection speaks the protocol that Upgrade names in headers."""
    parts = ["HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade"]
    for name, text in headers:
        kind, line = _learn_field(name)
        if kind not in (_DROPPED, _REDIRECT) or name.lower() == "upgrade":
            parts += (line, _checked("a header", text))
    parts.append("\r\n\r\n")
    return "".join(parts).encode("latin-1")


def chunk(block: bytes) -> bytes:
    """One chunk of a chunked body; block is not empty, since an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(block), block)


def error_answer(error: HttpError, date: str) -> bytes:
    """The whole answer to a request that could not be understood; the connection ends behind it."""
    phrase = HTTPStatus(error.status).phrase
    body = f"{error.status} {phrase}\n{error.reason}\n".encode()
    head = ResponseHead(f"{error.status} {phrase}", [("Content-Type", "text/plain; charset=utf-8")])
    head.settle("GET", True, False, date, len(body))
    return head.head + body
