"""Which pool an app runs in, and why (docs/design.md, "Placement and pools"): no files, no processes, no clock."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..hosting.findings import BLOCKING, Finding

SHARED, OWN, AUTO = "shared", "own", "auto"
GREENLETS, THREADS = "greenlets", "threads"
STRICT = "strict"


@dataclass(frozen=True)
class Placement:
    """Where a release runs. pool: SHARED, OWN, or the name of a further shared one; cause: a word of the design's
    table, reason: one sentence, both '' where nothing speaks against sharing; concurrency: GREENLETS or THREADS;
    environment: the name of one, '' for ours.
    """

    pool: str = SHARED
    cause: str = ""
    reason: str = ""
    concurrency: str = GREENLETS
    environment: str = ""

    @property
    def is_own(self) -> bool:
        """Whether it runs alone."""
        return self.pool == OWN

    @property
    def where(self) -> str:
        """In words."""
        return {OWN: "a pool of its own", SHARED: "the shared pool"}.get(self.pool, f"the pool {self.pool}")


BESIDE_OTHERS = Placement()


def further(conflict: Iterable[str]) -> str:
    """The pool of those that cannot share for this reason: packages, or a Python, that the shared pool has not."""
    return "+".join((SHARED, *sorted(conflict)))


@dataclass(frozen=True)
class Known:
    """What is known before a release is tried. wish: the operator's; found: while it served, of this or an earlier
    release.
    """

    wish: str = AUTO
    found: tuple[Finding, ...] = ()

    @property
    def mark(self) -> str:
        """Another one when more is known; '' for nothing."""
        return f"{self.wish} {len(self.found)}" if self.found or self.wish != AUTO else ""


NOTHING_KNOWN = Known()


@dataclass(frozen=True)
class Asked:
    """What the release's manifest asks for. conflict: why the shared pool cannot have what it requires; further: the
    pool that can, '' if none; memory: it is to have a limit of memory.
    """

    pool: str = AUTO
    isolation: str = ""
    concurrency: str = AUTO
    run: bool = False
    conflict: str = ""
    further: str = ""
    memory: bool = False


@dataclass(frozen=True)
class Tried:
    """What a trial beside others has shown. reason: why it failed, '' if it did not; found: in load and warm-up."""

    reason: str = ""
    found: Sequence[Finding] = field(default=())


def first(app: str, known: Known, asked: Asked) -> Placement:
    """Where the release is tried first: where it has to go, or else the shared pool. `then` has the last word."""
    if (own := _forced(app, known, asked)) is not None:
        return Placement(OWN, *own, THREADS if asked.concurrency == THREADS else GREENLETS)
    if asked.conflict:
        return Placement(asked.further or OWN, "requirements", f"{app}: it {asked.conflict}")
    return BESIDE_OTHERS


def is_settled(known: Known, asked: Asked) -> bool:
    """Whether somebody has said which pool it is to be, so that no finding moves it."""
    return known.wish != AUTO or asked.pool != AUTO


def then(app: str, known: Known, asked: Asked, chosen: Placement, tried: Tried) -> Placement | None:
    """Where it is tried next, after a trial as `chosen`; None for nowhere else."""
    found = [one for one in tried.found if one.cause != BLOCKING or asked.concurrency == AUTO]
    blocked = any(one.cause == BLOCKING for one in found)
    if chosen.is_own:
        threads = blocked and chosen.concurrency == GREENLETS and not asked.run
        return dataclasses.replace(chosen, concurrency=THREADS) if threads else None
    if is_settled(known, asked):
        return None
    concurrency = THREADS if blocked else GREENLETS
    if found:
        return dataclasses.replace(
            chosen, pool=OWN, cause=found[0].cause, reason=found[0].sentence, concurrency=concurrency
        )
    if tried.reason:
        reason = f"{app}: it works alone, but not beside others: {tried.reason.removeprefix(f'{app}: ')}"
        return dataclasses.replace(chosen, pool=OWN, cause="load", reason=reason)
    return None


def _forced(app: str, known: Known, asked: Asked) -> tuple[str, str] | None:
    if asked.run:
        return "run", f"{app}: it brings a server of its own"
    if known.wish != AUTO:
        return ("operator", f"{app}: `hedgerow pool {app} own` was ordered") if known.wish == OWN else None
    if asked.pool != AUTO:
        return ("manifest", f'{app}: its app.toml says pool = "own"') if asked.pool == OWN else None
    if asked.isolation == STRICT:
        return "manifest", f'{app}: its app.toml says isolation = "strict"'
    if asked.concurrency == THREADS:
        return "manifest", f'{app}: its app.toml says concurrency = "threads", and the shared pool has greenlets'
    if asked.memory:
        return "manifest", f"{app}: its app.toml says limits.memory_mb, which is for a process that is its own"
    if known.found:
        return known.found[0].cause, known.found[0].sentence
    return None
