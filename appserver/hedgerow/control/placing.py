"""A release finds its pool: it is tried beside others, unless it is known to want a pool of its own, and alone if that
shows why it should not share. What follows from what is decided in placement.py.
"""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

from ..config import Settings
from ..errors import UserError
from ..hosting.manifest import Manifest, read_manifest
from . import placement
from .placement import Asked, Known, Placement, Tried
from .step import Outcome
from .trial import try_release

ENDED = ("load", "warm-up")  # a trial beside others that fails there may be passed alone


def place(
    app: str, code: Path, settings: Settings, known: Known, cancel: threading.Event | None = None
) -> tuple[Outcome, Placement]:
    """Try the release of `app` in `code`: what came of it, and where it runs if that was well.

    Raises UserError when it is not the release that keeps a trial from being run.
    """
    try:
        manifest = read_manifest(code)
    except UserError as mistake:
        return Outcome("load", str(mistake)), placement.BESIDE_OTHERS
    asked = _asked(manifest)
    chosen = placement.first(app, known, asked)
    settled = chosen.is_own or placement.is_settled(known, asked)
    outcome = try_release(app, code, settings, cancel, placement=chosen, stop_at_findings=not settled)
    if settled or (outcome.ok and not outcome.found):
        return outcome, chosen
    if not outcome.found and (outcome.step not in ENDED or outcome.hangs):
        return outcome, chosen
    other = placement.then(app, known, asked, Tried(outcome.reason, outcome.found))
    again = try_release(app, code, settings, cancel, placement=other)
    again = dataclasses.replace(again, seconds=_sum(outcome, again))
    if again.ok or outcome.ok:
        return again, other
    return dataclasses.replace(outcome, seconds=again.seconds), chosen


def _asked(manifest: Manifest) -> Asked:
    return Asked(manifest.pool, manifest.isolation, manifest.concurrency, manifest.run is not None)


def _sum(*outcomes: Outcome) -> dict[str, float]:
    """How long each step took in all."""
    names = [name for outcome in outcomes for name in outcome.seconds]
    return {name: round(sum(outcome.seconds.get(name, 0.0) for outcome in outcomes), 3) for name in names}
