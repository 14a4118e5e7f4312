"""How soon the deployer looks again: quickly while something is under way and gets on, else calmly.

No clock: who asks tells the time.
"""

from __future__ import annotations

LOOK_S = 2.0
BUSY_S = 0.1
# What never gets ready is looked at calmly after this time: above what one app may take to load.
STUCK_S = 90.0


class Pace:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._reached: object = None
        self._since = 0.0

    def pause_s(self, now: float, busy: bool, reached: object) -> float:
        """busy: something is under way; reached: differs from before when something has got on."""
        if not busy or reached != self._reached:
            self._reached, self._since = reached, now
        return BUSY_S if busy and now - self._since < STUCK_S else LOOK_S
