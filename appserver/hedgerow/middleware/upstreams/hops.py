"""Which fields are between two neighbours only (RFC 9110, 7.6.1), both ways. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ..answer import Headers, listed, value, without

HOP_BY_HOP = (
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "trailers", "transfer-encoding", "upgrade",
)  # fmt: skip
# A Connection that names one of these asks for what it must not: they say where a message ends, and whose it is.
_NEVER_NAMED = {"content-length", "content-type", "host"}


def named(connection: str) -> set[str]:
    """The fields that Connection says are hop-by-hop, too."""
    return {one.lower() for one in listed(connection)} - _NEVER_NAMED


# What only our front's own words may say: nginx would follow them, and send any file of the state.
_OURS = ("x-accel-", "x-hedgerow-")
_WISH = "x-accel-buffering"


def answer_fields(headers: Iterable[tuple[str, str]], switching: bool = False) -> Headers:
    """Those that go on. switching: the answer is a 101, whose Upgrade is for both ends."""
    all_of_it = [(name, text) for name, text in headers if name.lower() == _WISH or not name.lower().startswith(_OURS)]
    dropped = {*HOP_BY_HOP, *named(value(all_of_it, "connection"))}
    return without(all_of_it, *(dropped - {"upgrade"} if switching else dropped))
