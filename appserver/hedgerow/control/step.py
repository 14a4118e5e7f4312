"""The steps that a release has to pass, as far as they are alike: a name, a limit, a time, an outcome.

Steps raise; whoever runs them makes one Outcome of that. What an outcome means for a deploy is decided elsewhere.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..errors import HedgerowError
from ..hosting.findings import Finding
from .child import Clock

LIMITS_S: Mapping[str, float] = {"load": 60.0, "warm-up": 30.0, "check": 60.0, "hook": 600.0}
MAX_LINE_CHARS = 1000


@dataclass(frozen=True)
class Outcome:
    """What became of a trial or a hook: its last step, and why that failed. log: the last lines of what was written;
    found: why the app should not share a process; hangs: a step had no end, or ended the process.
    """

    step: str
    reason: str = ""
    traceback: str = ""
    log: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    found: tuple[Finding, ...] = ()
    hangs: bool = False

    @property
    def ok(self) -> bool:
        return not self.reason


class StepFailed(HedgerowError):
    """A step that was not passed. reason: one sentence for the developer; traceback: what tells more, or empty; hangs:
    it had no end, or ended the process.
    """

    def __init__(self, reason: str, traceback: str = "", hangs: bool = False) -> None:
        super().__init__(reason)
        self.hangs = hangs
        self.reason = reason
        self.traceback = traceback


class Steps:
    """Which step is under way, how long each took, how long each may. timeout_s: the manifest's word for all."""

    def __init__(
        self, first: str, cancel: threading.Event | None, limits_s: Mapping[str, float], timeout_s: float | None
    ) -> None:
        self.name = first
        self.seconds: dict[str, float] = {}
        self.cancel = cancel or threading.Event()
        self._limits_s = limits_s
        self._timeout_s = timeout_s

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Clock]:
        """One step; its clock is for whoever waits in it."""
        self.name = name
        began = time.monotonic()
        try:
            yield Clock(self._timeout_s or self._limits_s[name], self.cancel)
        finally:
            self.seconds[name] = round(time.monotonic() - began, 3)


def clip(line: str) -> str:
    """A line as an outcome keeps it."""
    return line if len(line) <= MAX_LINE_CHARS else line[:MAX_LINE_CHARS] + " …"
