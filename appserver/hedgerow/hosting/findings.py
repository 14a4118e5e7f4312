"""Why an app should not share its process with others: what was found of it while it was loaded, tried, or served."""

from __future__ import annotations

from dataclasses import dataclass

# The words for causes (docs/design.md, "Placement and pools").
SHARED_STATE, GLOBAL, PROCESS_STATE, VARIABLES, NAMES = "shared-state", "global", "process-state", "variables", "names"
CAUSES = (SHARED_STATE, GLOBAL, PROCESS_STATE, VARIABLES, NAMES)


@dataclass(frozen=True)
class Finding:
    """cause: one of CAUSES; sentence: for people, with the app's name and what it does."""

    cause: str
    sentence: str
