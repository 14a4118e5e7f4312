"""A request's head as upstreams get it: made of environ, so it says what the server and middleware in front believe.

What is asked for is the raw path where a server gives one that still fits SCRIPT_NAME and PATH_INFO (`%2F` stays what
it was), else these two, encoded anew.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple
from urllib.parse import quote

from ...hosting.mounts import decode
from ..answer import Environ, listed
from .address import Address
from .hops import HOP_BY_HOP, named

# What RFC 3986 lets stand in a path, beside what quote() leaves anyway.
_PATH_SAFE = "/!$&'()*+,;=:@"
# A segment that leads elsewhere, also for servers that cut off what follows ';' (Tomcat) or know another slash (IIS).
_DOTS = re.compile(r"(?:^|[/\\])\.\.?(?:[;/\\]|$)")
_NOT_IN_A_TARGET = re.compile(r"[^\x21-\x7e]")
# Made anew here, or said between the client and the server alone: Expect is met by reading the body.
_OURS = {*HOP_BY_HOP, "host", "expect", "content-length", "content-type"}
_CLAIMS = ("x-forwarded-", "forwarded", "x-real-ip")
_HTTP_AGAIN = ("h2c", "http/", "tls/")
_OF_THE_FRONT = "x-hedgerow-"  # between a front and its own workers: an upstream of ours would believe it


class NotAskedError(ValueError):
    """The request cannot be sent on; the message says why, to the client."""


class Path(NamedTuple):
    """mount: SCRIPT_NAME, and path: what is asked for below it, '' or '/…'; both percent-encoded."""

    mount: str
    path: str

    @property
    def segments(self) -> list[str]:
        return [decode(segment) for segment in self.path.split("/")[1:]]


def path_of(environ: Environ) -> Path:
    """Of what is asked for."""
    mount, below = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
    raw = _raw(environ.get("REQUEST_URI") or environ.get("RAW_URI") or "", mount, below)
    return raw or Path(_encoded(mount), _encoded(below))


def _encoded(path: str) -> str:
    return quote(path.encode("latin-1"), safe=_PATH_SAFE)


def _raw(target: str, mount: str, below: str) -> Path | None:
    path = target.partition("?")[0]
    if not path.startswith("/") or decode(path) != mount + below:
        return None
    slashes = (found.start() for found in re.finditer("/", path[: 3 * len(mount) + 1]))
    cut = next((cut for cut in (*slashes, len(path)) if decode(path[:cut]) == mount), None)
    if cut is None:  # the server has split the decoded path, where a slash was encoded
        return None
    return Path(path[:cut], _NOT_IN_A_TARGET.sub(lambda found: _encoded(found[0]), path[cut:]))


def below(path: Path, prefixes: Collection[str]) -> int | None:
    """How many segments the longest of these has that the path lies below, by whole segments; None if below none."""
    segments, depths = path.segments, []
    for prefix in prefixes:
        wanted = [*filter(None, prefix.split("/"))]
        if segments[: len(wanted)] == wanted:
            depths.append(len(wanted))
    return max(depths, default=None)


class Outgoing(NamedTuple):
    """method; target: path and query below an upstream's prefix; lines: of the head, but for Host and what frames the
    body; host: '' for the upstream's own; upgrade: another protocol is wanted.
    """

    method: str
    target: str
    lines: tuple[str, ...]
    host: str
    upgrade: bool = False

    def head(self, address: Address, length: int | None) -> bytes:
        """length: of the body, None for one in chunks. Raises NotAskedError."""
        lines = [f"{self.method} {address.prefix}{self.target} HTTP/1.1", f"Host: {self.host or address.authority}"]
        lines += self.lines
        if length is None:
            lines.append("Transfer-Encoding: chunked")
        elif length or self.method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {length}")
        text = "\r\n".join((*lines, "\r\n"))
        # Servers let no such field in; but middleware may have put anything into environ.
        if not text.count("\r") == text.count("\n") == len(lines) + 1 or "\0" in text:
            raise NotAskedError("A field of the request has a line break in it.")
        return text.encode("latin-1")


def outgoing(
    environ: Environ, path: Path, strip: int, keep_host: bool = True, forwarded: bool = True, upgrade: bool = False
) -> Outgoing:
    """strip: segments at the path's beginning that upstreams do not get; forwarded: what environ says of the client is
    told, and what the client says of itself is not; upgrade: the wish for another protocol goes on.

    Raises NotAskedError for a path that could lead out of the part that is sent on.
    """
    if _DOTS.search(decode(path.path)):
        raise NotAskedError("A path with '.' or '..' in it is not sent on.")
    parts = path.path.split("/")
    stripped, rest = "/".join(parts[: strip + 1]), "/".join(["", *parts[strip + 1 :]])
    query = _NOT_IN_A_TARGET.sub(lambda found: quote(found[0].encode("latin-1")), environ.get("QUERY_STRING", ""))
    lines = [*_fields(environ, forwarded)]
    if environ.get("CONTENT_TYPE"):
        lines.append(f"Content-Type: {environ['CONTENT_TYPE']}")
    if forwarded:
        lines += _told(environ, path.mount + stripped)
    if upgrade:
        lines += ["Connection: Upgrade", f"Upgrade: {environ['HTTP_UPGRADE']}"]
    host = environ.get("HTTP_HOST", "") if keep_host else ""
    return Outgoing(
        environ["REQUEST_METHOD"], (rest or "/") + ("?" + query if query else ""), tuple(lines), host, upgrade
    )


def _fields(environ: Environ, forwarded: bool) -> Iterator[str]:
    dropped = named(environ.get("HTTP_CONNECTION", ""))
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            name, is_ours, is_claim = _name(key)
            # What those in front say of the client is not the client's to take away, by naming it in Connection.
            if not (is_ours or (forwarded and is_claim) or (dropped and not is_claim and name.lower() in dropped)):
                yield f"{name}: {value}"


@functools.lru_cache(1000)  # clients choose names
def _name(key: str) -> tuple[str, bool, bool]:
    name = key[len("HTTP_") :].replace("_", "-").title()
    lower = name.lower()
    return name, lower in _OURS or lower.startswith(_OF_THE_FRONT), lower.startswith(_CLAIMS)


def _told(environ: Environ, prefix: str) -> Iterator[str]:
    """Who asks, as environ has it."""
    pairs = (
        ("For", environ.get("REMOTE_ADDR", "")),
        ("Proto", environ.get("wsgi.url_scheme", "")),
        ("Host", environ.get("HTTP_HOST", "")),
        ("Prefix", prefix),
    )
    return (f"X-Forwarded-{name}: {value}" for name, value in pairs if value)


def wants_upgrade(environ: Environ) -> bool:
    """Whether the client asks for another protocol on this connection (RFC 9110, 7.8), but for another HTTP: on that it
    could ask for any path behind everybody's back. Such a wish may be ignored.
    """
    wished = listed(environ.get("HTTP_UPGRADE", "").lower())
    if not wished or any(one.startswith(_HTTP_AGAIN) for one in wished):
        return False
    return "upgrade" in named(environ.get("HTTP_CONNECTION", ""))
