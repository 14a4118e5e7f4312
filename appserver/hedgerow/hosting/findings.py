"""Why an app should not share its process with others: what was found of it while it was loaded, tried, or served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

# The words for causes (docs/design.md, "Placement and pools").
SHARED_STATE, GLOBAL, PROCESS_STATE, VARIABLES, NAMES = "shared-state", "global", "process-state", "variables", "names"
BLOCKING = "blocking"  # it cannot live under patching: its pool has native threads
STARVES = "starves"  # again and again it kept all others from running, or ended their worker
CAUSES = (SHARED_STATE, GLOBAL, PROCESS_STATE, VARIABLES, NAMES, BLOCKING, STARVES)

# One is a reason. More of them help who wants to change the app, and a process that runs for long keeps no more.
MOST = 20


@dataclass(frozen=True)
class Finding:
    """cause: one of CAUSES; sentence: for people, with the app's name and what it does."""

    cause: str
    sentence: str


@dataclass
class Findings:
    """Those of one app, each once."""

    app: str
    known: list[Finding] = field(default_factory=list)

    def add(self, cause: str, sentence: str) -> None:
        """sentence: without the app's name, which is put in front of it."""
        found = Finding(cause, f"{self.app}: {sentence}")
        if found in self.known or len(self.known) >= MOST:
            return
        self.known.append(found)
        for tell in listeners:
            tell(self.app, found)


# Told of each finding when it is made, with the name of the app, from whatever thread or greenlet that is.
listeners: list[Callable[[str, Finding], object]] = []
