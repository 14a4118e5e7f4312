"""Admission of one app: a pure decision. Who waits, and how a refusal is answered, is not known here."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

MARK_S = 1.0  # how often it is noted how many have left
MARKS = 10
MAX_RETRY_AFTER_S = 60


class Turn:
    """One that waits at a gate. admitted: it may run, and must `leave()` once."""

    __slots__ = ("admitted", "wake")

    def __init__(self, wake: Callable[[], object]) -> None:
        self.admitted = False
        self.wake = wake


class Gate:
    """At most `limit` requests run at once. One more waits, in the order in which they came, if there are not `room`
    that wait already; else it is refused. wait_s: how long one is to wait; left: how many have run; refused: how many
    were not let in.
    """

    __slots__ = ("_marks", "left", "limit", "refused", "room", "running", "wait_s", "waiting")

    def __init__(self, limit: int, room: int = 0, wait_s: float = 0.0) -> None:
        self.limit = limit
        self.room = room
        self.wait_s = wait_s
        self.running = 0
        self.refused = 0
        self.left = 0
        self.waiting: deque[Turn] = deque()
        self._marks: deque[tuple[float, int]] = deque(maxlen=MARKS)  # when, and how many had left by then

    def enter(self) -> bool:
        """True: the request may run and must `leave()` once. False: it has to wait, or is to be refused."""
        if self.running >= self.limit:
            return False
        self.running += 1
        return True

    def leave(self) -> None:
        """The place of a request that has run is free: for the next one that waits."""
        self.left += 1
        if not self.waiting:
            self.running -= 1
            return
        turn = self.waiting.popleft()
        turn.admitted = True
        turn.wake()

    def wait(self, wake: Callable[[], object], now: float) -> Turn | None:
        """Behind an `enter` that failed: a turn, on which `wake` is called when it is admitted; None: refuse it."""
        if not self._marks or now - self._marks[-1][0] >= MARK_S:
            self._marks.append((now, self.left))
        if len(self.waiting) >= self.room:
            self.refused += 1
            return None
        turn = Turn(wake)
        self.waiting.append(turn)
        return turn

    def give_up(self, turn: Turn) -> bool:
        """It waits no longer and counts as refused. False: it was admitted before that."""
        if turn.admitted:
            return False
        self.waiting.remove(turn)
        self.refused += 1
        return True

    def retry_after_s(self, now: float) -> int:
        """When one that is refused now would get in, by how many have left while the gate was full lately."""
        while self._marks and now - self._marks[0][0] > MARK_S * MARKS:
            self._marks.popleft()
        if not self._marks or now - self._marks[0][0] < MARK_S:
            return 1  # nobody knows yet
        since, left = self._marks[0]
        after_s = (len(self.waiting) + 1) * (now - since) / max(1, self.left - left)
        return min(MAX_RETRY_AFTER_S, math.ceil(after_s))

    def __repr__(self) -> str:
        told = f"{self.running} of {self.limit} running, {len(self.waiting)} of {self.room} waiting"
        return f"<Gate {told}, {self.refused} refused>"
