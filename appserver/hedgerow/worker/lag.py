"""How late the hub is: a worker in which much is done at once comes to each thing later."""

from __future__ import annotations

from time import monotonic

WINDOW_S = 10.0


class Lag:
    """Asked at every turn of a timer. worst_s: how late the latest of its turns was, in the last one or two windows."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._last = self._began = monotonic()
        self._before_s = self._now_s = 0.0

    def turn(self) -> None:
        """The timer's turn has come."""
        now = monotonic()
        late_s, self._last = now - self._last - self._period_s, now
        if now - self._began >= WINDOW_S:
            self._before_s, self._now_s, self._began = self._now_s, 0.0, now
        self._now_s = max(self._now_s, late_s)

    @property
    def worst_s(self) -> float:
        return max(self._before_s, self._now_s)
