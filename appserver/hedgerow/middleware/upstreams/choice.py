"""Which upstream gets a request, and what it means when one fails it. Pure: snapshots in, decisions out; no clock, no
lock, no socket.

An upstream is *in*, *out* for a while after failures, or *down* by what asks it regularly. When its while is over one
request at a time tries it: one that can go elsewhere, if there are such. When all are out, the one whose while ends
first is asked all the same: better a try than a refusal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import NamedTuple

# What may be done twice (RFC 9110, 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


class Failure(Enum):
    """How a request can fail at an upstream."""

    REFUSED = "it takes no connection"
    UNREACHED = "it took no connection in time"
    OURS = "there is no connection left for it here"
    STALE = "it had closed a kept connection"
    BROKE = "it broke off before its answer"
    SILENT = "it did not answer in time"
    DEAF = "it did not take the request in time"
    GARBLED = "its answer is no HTTP"
    STATUS = "it answered with a status that counts as a failure"
    CUT = "it broke off in its answer"
    STALLED = "it paused in its answer for too long"


class Meaning(NamedTuple):
    """counts: against the upstream; early: nothing of the answer has gone on to the client; once: waiting for it again
    would take as long again; status, sentence: what the client gets if nobody else answers.
    """

    counts: bool
    early: bool
    once: bool
    status: HTTPStatus
    sentence: str


_UNREACHABLE = "The server behind this one cannot be reached.\n"
_NO_ANSWER = "The server behind this one gave no proper answer.\n"
_OURS = "There is no connection left to the server behind this one.\n"
_LATE = "The server behind this one did not answer in time.\n"
_502, _503, _504 = HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT

MEANINGS = {
    Failure.REFUSED: Meaning(True, True, False, _502, _UNREACHABLE),
    Failure.UNREACHED: Meaning(True, True, True, _504, _UNREACHABLE),
    Failure.OURS: Meaning(False, True, False, _503, _OURS),
    Failure.STALE: Meaning(False, True, False, _502, _NO_ANSWER),
    Failure.BROKE: Meaning(True, True, False, _502, _NO_ANSWER),
    Failure.SILENT: Meaning(True, True, True, _504, _LATE),
    Failure.DEAF: Meaning(True, True, True, _504, _LATE),
    Failure.GARBLED: Meaning(True, True, False, _502, _NO_ANSWER),
    Failure.STATUS: Meaning(True, True, False, _502, _NO_ANSWER),
    Failure.CUT: Meaning(True, False, False, _502, _NO_ANSWER),
    Failure.STALLED: Meaning(True, False, False, _504, _LATE),
}


def may_go_elsewhere(failure: Failure, sent: bool, idempotent: bool, whole: bool) -> bool:
    """The rule by which nothing is executed twice. sent: any byte of the request; whole: all that has been read of its
    body is still here.
    """
    return MEANINGS[failure].early and whole and (idempotent or not sent)


class Seen(NamedTuple):
    """An upstream as it is now. spent: how much of its share it has had; out_until: 0 while it is in; hesitate_s: how
    much longer what cannot go elsewhere keeps away.
    """

    weight: int
    busy: int
    spent: float
    out_until: float
    hesitate_s: float
    down: bool


@dataclass
class Tried:
    """What one request has met. times: how often it was at each upstream; not_again: those that would take their time
    again; repeatable: whether it may go elsewhere once it is sent; anew: it wants no kept connection.
    """

    repeatable: bool
    times: dict[int, int] = field(default_factory=dict)
    not_again: set[int] = field(default_factory=set)
    anew: bool = False

    def note(self, number: int, failure: Failure) -> None:
        """It has failed there."""
        if failure is Failure.STALE:  # which says nothing of the upstream
            self.anew = True
            return
        self.times[number] = self.times.get(number, 0) + 1
        if MEANINGS[failure].once:
            self.not_again.add(number)


def choose(upstreams: Sequence[Seen], now: float, tried: Tried) -> int | None:
    """The number of the one that gets the request; None if there is none left."""
    left = [
        (_rank(seen, now, tried, tried.times.get(number, 0)), number)
        for number, seen in enumerate(upstreams)
        if not seen.down and number not in tried.not_again
    ]
    return min(left)[1] if left else None


def _rank(seen: Seen, now: float, tried: Tried, times: int) -> tuple[float, ...]:
    """The lowest is the best. times: how often the request was there."""
    burden = seen.busy / seen.weight, seen.spent
    if not times and not seen.out_until:
        return 1, 0, *burden
    back = seen.out_until + (0.0 if tried.repeatable else seen.hesitate_s)
    if not times and back <= now and not seen.busy:
        return 0, 0, *burden  # before the others, or it would never come back
    return 2, seen.out_until, times, *burden


def behind_the_others(spent: float, others: Iterable[float]) -> float:
    """What one has spent that was away: it makes up for nothing, or all would go to it."""
    return max(spent, min(others, default=spent))
