"""Whether a canary is as good as what it is to follow: pure functions over what both sides have answered.

    watched → promoted    the window is over, and it is as good
            → dropped     more errors, as soon as that is beyond doubt; or slower, when the window is over

No clock, no files, no processes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..hosting.manifest import Canary as Terms
from ..hosting.times import seconds_of
from .entries import CANARY, FAILED, REVERTED, ROLLBACK, ROLLING, AppState, Canary, Deploy, Round, State, Version

SURE = 3.0  # standard errors
MIN_ERRORS = 5
HOP_S = 0.005  # a pool of its own is one hop further, and that is no fault of the release
PERCENTILES = (50, 95)


@dataclass(frozen=True)
class Side:
    """What clients of one release got. errors: answers with a status of 5xx; times: how many took how long, by
    `hosting.times.step_of`.
    """

    requests: int = 0
    errors: int = 0
    times: Mapping[int, int] = field(default_factory=dict)

    def __add__(self, other: Side) -> Side:
        times = {step: self.times.get(step, 0) + other.times.get(step, 0) for step in {*self.times, *other.times}}
        return Side(self.requests + other.requests, self.errors + other.errors, times)

    def percentile_s(self, percent: float) -> float:
        """In seconds, to a fifth; 0 without any."""
        left = sum(self.times.values()) * percent / 100
        for step in sorted(self.times):
            left -= self.times[step]
            if left <= 0:
                return seconds_of(step)
        return 0.0

    def slower_than(self, seconds: float) -> int:
        """How many surely took longer."""
        return sum(count for step, count in self.times.items() if seconds_of(step - 1) >= seconds)

    @property
    def error_percent(self) -> float:
        return 100 * self.errors / self.requests if self.requests else 0.0

    def __str__(self) -> str:
        median, high = (f"{1000 * self.percentile_s(percent):.3g}" for percent in PERCENTILES)
        return f"{self.requests} requests, {self.error_percent:.3g} % errors, {median} ms (p95 {high})"


@dataclass(frozen=True)
class Sides:
    """Of one canary. number: which; trouble: why its pool cannot serve it."""

    number: int
    old: Side = Side()
    new: Side = Side()
    trouble: str = ""

    def __str__(self) -> str:
        return f"{self.new}; the others: {self.old}"


def read(told: Mapping[str, Any]) -> Sides:
    """As a worker or a record tells it in JSON. Raises KeyError, TypeError or ValueError if it is none."""
    old, new = (
        Side(one["requests"], one["errors"], {int(step): count for step, count in one["times"].items()})
        for one in (told["old"], told["new"])
    )
    return Sides(told["number"], old, new, told.get("trouble", ""))


def total(number: int, told: Iterable[Sides]) -> Sides:
    """Of what all have told of one canary."""
    mine = [one for one in told if one.number == number]
    trouble = next((one.trouble for one in mine if one.trouble), "")
    return Sides(number, sum((one.old for one in mine), Side()), sum((one.new for one in mine), Side()), trouble)


@dataclass(frozen=True)
class Verdict:
    """good: it is to be promoted; else it is to go; reason: a sentence."""

    good: bool
    reason: str


def verdict(canary: Canary, sides: Sides, now: float) -> Verdict | None:
    """None while it is watched. now: Unix time."""
    terms, new, old = canary.terms, sides.new, sides.old
    if sides.trouble:
        return Verdict(False, sides.trouble)
    if _has_more_errors(new, old, terms.errors):
        return Verdict(False, f"{new.error_percent:.3g} % of its answers are errors, {old.error_percent:.3g} % before")
    few = min(new.requests, old.requests) < terms.requests
    if not canary.began or now < canary.began + terms.window_s or few:
        return None
    for percent in PERCENTILES:
        usual = old.percentile_s(percent)
        limit = max(usual * terms.slower, usual + HOP_S)
        if _is_more(new.slower_than(limit), new.requests, 1 - percent / 100):
            part = 100 * new.slower_than(limit) / new.requests
            told = f"{part:.0f} % of its answers take more than {1000 * limit:.3g} ms"
            return Verdict(False, f"{told}, {100 - percent} % before more than {1000 * usual:.3g}")
    return Verdict(True, "as good")


def _is_more(count: int, of: int, share: float) -> bool:
    """Whether it is a greater part, beyond doubt."""
    return count / of > share + SURE * math.sqrt(share * (1 - share) / of)


def _has_more_errors(new: Side, old: Side, points: float) -> bool:
    """Beyond doubt: by the difference of two proportions."""
    if new.errors < MIN_ERRORS or new.error_percent - old.error_percent <= points:
        return False
    both = (new.errors + old.errors) / (new.requests + old.requests)
    error = math.sqrt(both * (1 - both) * (1 / new.requests + (1 / old.requests if old.requests else 0)))
    return new.error_percent - old.error_percent > 100 * SURE * error


def terms_of(app: AppState, deploy: Deploy, manifest: Terms) -> Terms | None:
    """On which terms a deploy that has passed is to begin as a canary; None if all get it."""
    share = manifest.share if app.share is None else app.share
    if not app.release or deploy.release in ("", app.release, app.promoted) or deploy.cause == ROLLBACK:
        return None
    return dataclasses.replace(manifest, share=share) if 0 < share < 100 else None


def judged(app: AppState, told: Iterable[Sides], now: float) -> tuple[Verdict, Sides] | None:
    """What is to become of an app's canary, by what all live replicas tell; None while nothing is."""
    canary = app.canary
    if canary is None:
        return None
    sides = total(canary.number, told)
    if app.refused == canary.release and not app.again:  # by an order, or since its trial for all has failed
        return Verdict(False, app.trouble.reason if app.trouble else "it is not wanted any more"), sides
    if canary.release in (app.promoted, app.refused):  # on its way to all, maybe not before it is tried again
        return None
    found = verdict(canary, sides, now)
    return None if found is None else (found, sides)


def settle(state: State, name: str, found: Verdict, sides: Sides) -> State:
    """It is promoted, which makes it news; or a round takes it away. No round may be under way."""
    app = state.apps[name]
    canary = app.canary
    if canary is None:
        return state
    if found.good:
        return state.with_app(name, _told(app, canary.number, figures=str(sides), promoted=canary.release))
    failed = {"outcome": FAILED, "step": "canary", "reason": found.reason}
    old = dataclasses.replace(
        _told(app, canary.number, figures=str(sides), **failed), canary=None, refused=canary.release, again=0.0
    )
    changes = {name: (app.version, old.version)}
    return dataclasses.replace(state.with_app(name, old), round=Round(state.number + 1, ROLLING, changes))


def _told(app: AppState, number: int, promoted: str = "", **changes: Any) -> AppState:
    deploys = [dataclasses.replace(one, **changes) if one.number == number else one for one in app.deploys]
    return dataclasses.replace(app, deploys=tuple(deploys), promoted=promoted)


def opened(app: AppState, now: float) -> AppState:
    """All replicas have it: clients may get it. now: Unix time."""
    return app if app.canary is None else dataclasses.replace(app, canary=dataclasses.replace(app.canary, began=now))


def as_wanted(app: AppState, old: Version, new: Version) -> AppState:
    """Its round has turned back for another's fault: when it comes again, it is for as many clients as it was."""
    if new.canary not in (None, old.canary):
        return dataclasses.replace(app, share=new.canary.terms.share)
    if old.canary is not None and new.release == old.canary.release:
        return dataclasses.replace(app, promoted=new.release)
    return app


def followed(app: AppState, before: Canary, number: int) -> AppState:
    """The deploy of this number has taken a canary's place: that was promoted, or is no more."""
    first = next((one for one in app.deploys if one.number == before.number and one.outcome == CANARY), None)
    after = next((one for one in app.deploys if one.number == number), Deploy(""))
    if first is None:  # it was judged
        return app
    ended = dataclasses.replace(first, outcome=REVERTED, step="canary", reason="another deploy has followed")
    changed: dict[int, tuple[Deploy, ...]] = {first.number: (ended,)}
    if after.release == before.release:
        changed = {first.number: (), number: (dataclasses.replace(after, figures=first.figures),)}
    return dataclasses.replace(
        app, deploys=tuple(new for one in app.deploys for new in changed.get(one.number, (one,)))
    )
