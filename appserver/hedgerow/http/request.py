"""One request as the engine hands it on: what the head said, already checked, and how its body is framed."""

from __future__ import annotations

import enum


class Framing(enum.Enum):
    """How the body of a request is delimited (RFC 9112 section 6)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"


NONE, LENGTH, CHUNKED = Framing  # a look-up in the enumeration costs more than all else around it


class Request:
    """The head of a request.

    method: as sent; target: the request target, raw, as text (latin-1); path: the target's path and query, raw (of an
    absolute target too; '' of `OPTIONS *` and CONNECT); fields: header fields keyed as in CGI (RFC 3875, 4.1.18:
    `HTTP_ACCEPT`, `CONTENT_TYPE`), values as latin-1 text; http11: False for HTTP/1.0; keep_alive: whether the client
    allows another request; framing and length: of the body, length in bytes and 0 unless framing is LENGTH;
    expects_continue: the client waits for 100 Continue before it sends the body.
    """

    __slots__ = ("expects_continue", "fields", "framing", "http11", "keep_alive", "length", "method", "path", "target")

    def __init__(self, method: str, target: str, http11: bool, keep_alive: bool, fields: dict[str, str]) -> None:
        self.method = method
        self.target = self.path = target
        self.http11 = http11
        self.keep_alive = keep_alive
        self.fields = fields
        self.framing = NONE
        self.length = 0
        self.expects_continue = False

    def __repr__(self) -> str:
        version = "1.1" if self.http11 else "1.0"
        return f"<Request {self.method} {self.target} HTTP/{version} body={self.framing.value}>"
