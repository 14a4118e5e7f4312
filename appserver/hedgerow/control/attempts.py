"""What is made of folders in threads: snapshots, trials and hooks, a few at a time. What comes of them is fetched by
`ended`; it changes nothing but the state's releases, and knows no ledger.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from ..config import Settings
from ..errors import HedgerowError, UserError
from ..hosting.manifest import read_manifest
from . import layout, releases, secret_marks
from .command import run_hook
from .entries import MOVE, Deploy
from .folders import mark
from .placement import BESIDE_OTHERS, NOTHING_KNOWN, Known, Placement
from .placing import ALONE, Beside, is_the_machine, place
from .step import Outcome
from .trial import sweep

AT_ONCE = 3
LONG_S = 10.0  # one that lasts so long hangs or waits rather than works: it holds up no other
MOST = 16
MAX_REASON, MAX_TRACEBACK = 1000, 20_000  # characters that the ledger keeps


@dataclass(frozen=True)
class Attempt:
    """What was made of an app's folder while it had this fingerprint; '' if it is of no folder.

    release: '' if none could be made; outcome: of the last step; unchanged: it is one that needed no trial; hook: its
    hook is still to run; hooked: it has run; void: the folder did not hold still, or the hook might not begin;
    passing: what went wrong is the machine's, and may pass by itself; moves: it is what is served, in another pool;
    beneath, replaces: as in Passed; known: the mark of what was known of where it should run.
    """

    app: str
    fingerprint: str
    began: float = 0.0
    release: str = ""
    outcome: Outcome = Outcome("snapshot")
    steps: Mapping[str, float] = field(default_factory=dict)
    unchanged: bool = False
    hook: bool = False
    hooked: bool = False
    void: bool = False
    passing: bool = False
    placement: Placement = BESIDE_OTHERS
    moves: bool = False
    beneath: str = ""
    replaces: Mapping[str, str] | None = None
    known: str = ""

    def deploy(self) -> Deploy:
        """As the ledger tells it."""
        told, step = self.outcome, "" if self.outcome.ok else self.outcome.step
        return Deploy(
            self.release,
            step=step,
            reason=told.reason[:MAX_REASON],
            traceback=told.traceback[-MAX_TRACEBACK:],
            began=self.began,
            steps=self.steps,
            placement=self.placement,
            cause=MOVE if self.moves else Deploy.cause,
        )

    def after(self, outcome: Outcome, **changes: object) -> Attempt:
        """With one more outcome, and how long its steps took."""
        return dataclasses.replace(self, outcome=outcome, steps={**self.steps, **outcome.seconds}, **changes)  # type: ignore[arg-type]


@dataclass
class Running:
    """One that is under way. release: '' until it is known."""

    fingerprint: str
    release: str = ""
    since: float = field(default_factory=time.monotonic)
    future: Future[Attempt] | None = None


class Attempts:
    """Those of one replica."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(MOST, "attempt")
        self._cancel = threading.Event()
        self._running: dict[str, Running] = {}
        sweep(settings.run)

    def __len__(self) -> int:
        return len(self._running)

    @property
    def has_room(self) -> bool:
        """Whether one more may be started now."""
        now = time.monotonic()
        young = sum(now - one.since < LONG_S for one in self._running.values())
        return young < AT_ONCE and len(self._running) < MOST

    def fingerprint(self, app: str) -> str | None:
        """Of the folder of which something is being made; None if nothing is."""
        return self._running[app].fingerprint if app in self._running else None

    def release(self, app: str) -> str | None:
        """What is being made of the folder: '' until that is known, None if nothing is."""
        return self._running[app].release if app in self._running else None

    def start(
        self,
        app: str,
        fingerprint: str,
        tried: Collection[str],
        *,
        known: Known = NOTHING_KNOWN,
        beside: Beside = ALONE,
    ) -> None:
        """Snapshot and trial. tried: releases that need no trial; known: what says where it should run; beside: whom it
        may share with.
        """
        running = self._running[app] = Running(fingerprint)
        attempt = Attempt(app, fingerprint, time.time(), known=known.mark)
        running.future = self._pool.submit(self._make, attempt, tried, running, known, beside)

    def again(self, app: str, release: str, known: Known, beside: Beside, moves: bool = False) -> None:
        """The trial of a release that is there, in the pool that is decided by what is known."""
        running = self._running[app] = Running("", release)
        attempt = Attempt(app, "", time.time(), release, moves=moves, known=known.mark)
        running.future = self._pool.submit(self._try, attempt, known, beside)

    def run_hook(self, attempt: Attempt, may_begin: Callable[[], bool]) -> None:
        """The release's hook, unless it may not begin any more when its turn comes."""
        running = self._running[attempt.app] = Running(attempt.fingerprint, attempt.release)
        running.future = self._pool.submit(self._hook, attempt, may_begin)

    def ended(self) -> Iterator[Attempt]:
        """Each that has ended, once."""
        for app, running in list(self._running.items()):
            if running.future is not None and running.future.done():
                del self._running[app]
                yield running.future.result()

    def forget(self) -> None:
        """Nobody wants to know what comes of those that run."""
        self._running.clear()

    def close(self) -> None:
        """End what runs, within about a second."""
        self._cancel.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _make(
        self, attempt: Attempt, tried: Collection[str], running: Running, known: Known, beside: Beside
    ) -> Attempt:
        began = time.monotonic()
        folder = self._settings.apps / attempt.app
        try:
            release = releases.make(folder, self._settings.state, secret_marks.digest(self._settings, attempt.app))
        except Exception as error:  # whatever one app is, the others are served
            reason = str(error) if isinstance(error, UserError) else f"{attempt.app}: {error!r}"
            void = self._mark(attempt.app) != attempt.fingerprint
            return attempt.after(Outcome("snapshot", reason), void=void, passing=is_the_machine(error))
        if self._mark(attempt.app) != attempt.fingerprint:  # it may have waited for its turn, and be half of a change
            return dataclasses.replace(attempt, void=True)
        made = Outcome("snapshot", seconds={"snapshot": round(time.monotonic() - began, 3)})
        attempt = attempt.after(made, release=release.root.name)
        running.release = attempt.release
        if attempt.release in tried:
            return dataclasses.replace(attempt, unchanged=True)
        return self._try(attempt, known, beside)

    def _try(self, attempt: Attempt, known: Known, beside: Beside) -> Attempt:
        code = layout.code(self._settings.state, attempt.app, attempt.release)
        try:
            placed = place(attempt.app, code, self._settings, known, beside, self._cancel)
        except UserError as error:
            return attempt.after(Outcome("trial", str(error)), passing=is_the_machine(error))
        outcome = placed.outcome
        hook = outcome.ok and not attempt.moves and bool(read_manifest(code).deploy.before)
        return attempt.after(
            outcome, hook=hook, placement=placed.placement, beneath=placed.beneath, replaces=placed.replaces
        )

    def _mark(self, app: str) -> str:
        return mark(self._settings.apps / app, self._settings.secrets)

    def _hook(self, attempt: Attempt, may_begin: Callable[[], bool]) -> Attempt:
        try:
            void = not may_begin()
        except HedgerowError:  # the ledger cannot be read
            void = True
        if void:
            return dataclasses.replace(attempt, void=True)
        code = layout.code(self._settings.state, attempt.app, attempt.release)
        try:
            outcome = run_hook(attempt.app, code, self._settings, self._cancel, python=attempt.placement.environment)
        except UserError as error:
            outcome = Outcome("hook", str(error))
        return attempt.after(outcome, hook=False, hooked=True)
