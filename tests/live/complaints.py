"""What a failed test shows of a stack's log, since the stack is gone when the failure is read."""

from __future__ import annotations

import re

LINES = 40
CHARS = 800
TWICE = re.compile(r'"upstream_addr":"[^"]*[,:] ')
ROUTINE = re.compile(r'"status": ?[1-4][0-9]{2}\b|"level": ?"(?:info|debug)"')


def complaints(log: str) -> str:
    """The last lines that are no answered requests: warnings, errors, and requests that failed or were tried twice."""
    kept = [line[:CHARS] for line in log.splitlines() if not ROUTINE.search(line) or TWICE.search(line)]
    return "\n".join(kept[-LINES:])
