"""The cases of docs/reloads.md, and what clients notice in one. It must not know any server."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """What is brought. breaks: a statement that the app's import meets; sign: a word of the reason that it gives."""

    id: str
    meaning: str
    import_s: float = 0.0
    breaks: str = ""
    sign: str = ""


SLOW = Case("slow-import", "a new release of an app whose import takes 3 s", import_s=3.0)
MISSING = Case(
    "import-error", "a release that imports a module which is not there", 0, "import nothing_such", "nothing_such"
)
EXITS = Case(
    "exit-at-import", "a release that ends by `sys.exit` at its import", 0, 'raise SystemExit("no key")', "no key"
)
CASES = (SLOW, MISSING, EXITS)


@dataclass(frozen=True)
class Result:
    """What the clients of one server noticed in one case of one round.

    first_new_s, last_old_s: of each reload, from its change on. silent_after_s: the last right answer behind a broken
    release, from its change on; None if they went on coming. told: the server's own words have the reason.
    """

    requests: int
    failed: int
    failures: list[str]
    longest_s: float
    first_new_s: list[float] = field(default_factory=list)
    last_old_s: list[float] = field(default_factory=list)
    silent_after_s: float | None = None
    told: bool = False
