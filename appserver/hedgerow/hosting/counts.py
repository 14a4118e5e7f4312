"""What is counted of one app's requests in one worker: plain integers, which only grow. Who adds them up over workers,
and what a figure is called outside, is not known here.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

# Upper bounds of how long answers take; what takes longer than the last one is in one more bucket.
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
SHORT_S = BOUNDS_S[0]
CLASSES = 6  # of statuses, by their first digit; 0: the client went before there was one


class Counts:
    """requests: answered by the app or in its name, by status class; aborted: those of them whose answer did not come
    whole; durations: of them by bucket, each request in one; duration_s: their sum; bytes_in, bytes_out: of bodies.

    Besides them, by cause: refused: answered by us before the app was entered; moved: the same, sent elsewhere.
    deadlines: requests that were ended; blocks: how often the app kept all others waiting.
    """

    # fmt: off
    __slots__ = (
        "aborted", "blocks", "bytes_in", "bytes_out", "deadlines", "duration_s", "durations", "moved", "refused",
        "requests",
    )
    # fmt: on

    def __init__(self) -> None:
        self.requests = [0] * CLASSES
        self.aborted = 0
        self.durations = [0] * (len(BOUNDS_S) + 1)
        self.duration_s = 0.0
        self.bytes_in = 0
        self.bytes_out = 0
        self.refused: dict[str, int] = {}
        self.moved: dict[str, int] = {}
        self.deadlines = 0
        self.blocks = 0

    def served(self, status: str, complete: bool, seconds: float, bytes_in: int, bytes_out: int) -> None:
        """A request has its answer. status: as sent, '' if there is none."""
        self.requests[ord(status[0]) - ord("0") if status else 0] += 1
        if not complete:
            self.aborted += 1
        self.durations[0 if seconds <= SHORT_S else bisect_left(BOUNDS_S, seconds)] += 1
        self.duration_s += seconds
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out

    def turned_away(self, cause: str, moved: bool) -> None:
        """A request has not entered. moved: it is sent elsewhere."""
        by_cause = self.moved if moved else self.refused
        by_cause[cause] = by_cause.get(cause, 0) + 1

    def told(self) -> dict[str, Any]:
        """As JSON; empty while nothing was counted."""
        if not (any(self.requests) or self.refused or self.moved or self.deadlines or self.blocks):
            return {}
        told = {name: getattr(self, name) for name in self.__slots__ if name != "duration_s"}
        return told | {"duration_us": int(self.duration_s * 1e6)}
