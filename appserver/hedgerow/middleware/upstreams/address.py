"""Where an upstream is, as it is written in options: a URL or a unix socket, and its weight."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

_WRITTEN = re.compile(r"(?P<place>\S+)(?: +weight=(?P<weight>[1-9][0-9]{0,3}))?", re.ASCII)
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?", re.ASCII)
WANTED = "http://host:port/prefix, https://… or unix:/path/of.sock:/prefix is wanted, maybe with ' weight=2' behind it"


class Address(NamedTuple):
    """path: of a unix socket, '' for TCP; prefix: in front of each path that is asked for, without a slash at its end;
    authority: its own name in Host.
    """

    text: str
    tls: bool
    host: str
    port: int
    path: str
    prefix: str
    authority: str
    weight: int

    def __str__(self) -> str:
        return self.text


def parse(written: str) -> Address:
    """Raises ValueError with what is wanted."""
    found = _WRITTEN.fullmatch(written)
    if found is None:
        raise ValueError(f"{written!r}: {WANTED}")
    place, weight = found["place"], int(found["weight"] or 1)
    if place.startswith("unix:"):
        path, _, prefix = place[len("unix:") :].partition(":")
        tls, host, port, authority = False, "", 0, "localhost"
        good = path.startswith("/")
    else:
        tls, host, port, path, prefix, authority = _url(place)
        good = bool(host)
    if not good or not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{written!r}: {WANTED}")
    return Address(place, tls, host, port, path, prefix.rstrip("/"), authority, weight)


def _url(place: str) -> tuple[bool, str, int, str, str, str]:
    """host is '' if it is none of ours."""
    url = urlsplit(place)
    tls = url.scheme == "https"
    if url.scheme not in ("http", "https") or url.username is not None or url.query or url.fragment:
        return tls, "", 0, "", "", ""
    port = url.port  # raises ValueError for what is no port
    return tls, url.hostname or "", port or (443 if tls else 80), "", url.path, url.netloc
