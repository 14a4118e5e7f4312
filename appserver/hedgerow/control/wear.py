"""When a worker is worn: by how much it has done, how old it is, or how large it has become.

No clock, no processes, and of files only what the kernel tells of memory. Who is worn says so in its status, and goes
on until the other slot has taken over, which is for policy.py.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..config import Settings

INTERRUPTED, REQUESTS, AGE, MEMORY, DESCRIPTORS = "interrupted", "requests", "age", "memory", "descriptors"
JITTER = 0.1  # those that began together are not to end together
NEAR = 0.9  # of the kernel's limit: before allocations fail
MOST_HELD = 0.8  # of the descriptors that it may have
MB = 10**6


class Wear:
    """Of one worker. limit_mb: what the kernel lets it have, None for any; luck: from 0 to 1, another one for each
    worker.
    """

    def __init__(self, settings: Settings, limit_mb: int | None = None, luck: float | None = None) -> None:
        luck = os.urandom(1)[0] / 255 if luck is None else luck
        share = 1 - JITTER + 2 * JITTER * luck
        self._requests = share * settings.worker_requests
        self._age_s = share * settings.worker_age_s
        self._growth = share * settings.worker_growth_mb * MB
        self._most = NEAR * (limit_mb or 0) * MB
        self._rest_s = settings.worker_rest_s
        self._settled: int | None = None  # what it had when it had rested

    def look(self, age_s: float, requests: int, resident: int, held: float = 0.0) -> str:
        """Why it is worn, '' if it is not. age_s: since it was ready; held: the part of its descriptors that is in use,
        but for its clients' connections.
        """
        if age_s < self._rest_s:
            return ""
        if self._settled is None:
            self._settled = resident
        grown = resident - self._settled
        if (self._growth and grown >= self._growth) or (self._most and resident >= self._most):
            return MEMORY
        if held >= MOST_HELD:
            return DESCRIPTORS
        if self._requests and requests >= self._requests:
            return REQUESTS
        return AGE if self._age_s and age_s >= self._age_s else ""


def resident_bytes(pid: int | str = "self") -> int:
    """The resident memory of a process; 0 where the kernel does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
