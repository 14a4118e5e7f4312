"""Admission of one app: a pure decision. Who waits, and how a refusal is answered, is not known here."""

from __future__ import annotations


class Gate:
    """At most `limit` requests run at once; the one more is refused and counted."""

    __slots__ = ("limit", "refused", "running")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.running = 0
        self.refused = 0

    def enter(self) -> bool:
        """True: the request may run and must `leave()` once. False: refuse it."""
        if self.running >= self.limit:
            self.refused += 1
            return False
        self.running += 1
        return True

    def leave(self) -> None:
        self.running -= 1

    def __repr__(self) -> str:
        return f"<Gate {self.running} of {self.limit} running, {self.refused} refused>"
