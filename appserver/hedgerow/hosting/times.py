"""A scale for times, on which many can be counted in few numbers."""

from __future__ import annotations

import math

STEPS = 4  # of a doubling


def step_of(seconds: float) -> int:
    """Where a time stands on a scale of quarters of a doubling, from a tenth of a millisecond on."""
    return max(0, math.ceil(STEPS * math.log2(seconds / 1e-4))) if seconds > 0 else 0


def seconds_of(step: int) -> float:
    """The most that stands there."""
    return float(1e-4 * 2.0 ** (step / STEPS))
