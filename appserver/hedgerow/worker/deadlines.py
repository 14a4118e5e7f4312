"""Ends requests that take too long, in the hub, by an exception in the greenlet that serves one where it waits.

It is thrown again, with some time between, while the app goes on all the same. What an app waits for of its client has
limits of its own (transfer.py), and no part in this. A native thread of an app cannot be ended: its client is answered,
and what the thread sends goes nowhere.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from ..config import Settings
from ..errors import DeadlineError
from ..hosting.manifest import Limits
from ..pep3333.bridge import Exchange

if TYPE_CHECKING:
    from .job import Job

MAX_GRACE_S = 5.0
SHARE = 8  # a deadline is looked at so many times while it runs, so its end is late by so much of it at most


@dataclass(frozen=True)
class Deadlines:
    """Of one app. begin_s: until its answer begins, idle_s: between two blocks; paths: begin_s below a path."""

    begin_s: float
    idle_s: float
    paths: Mapping[str, float] = field(default_factory=dict)

    @property
    def period_s(self) -> float:
        """How often one has to look."""
        return min(self.begin_s, self.idle_s, *self.paths.values()) / SHARE

    def of(self, path: str) -> float:
        """The deadline of a path below the mount: that of the longest prefix, by whole segments."""
        fitting = [prefix for prefix in self.paths if path == prefix or path.startswith(prefix.rstrip("/") + "/")]
        return self.paths[max(fitting, key=len)] if fitting else self.begin_s


def deadlines_of(limits: Limits, settings: Settings) -> Deadlines:
    """Of an app with these limits."""
    begin_s, idle_s = limits.deadline_s, limits.idle_s
    return Deadlines(
        settings.deadline_s if begin_s is None else begin_s,
        settings.idle_deadline_s if idle_s is None else idle_s,
        limits.paths,
    )


def review(job: Job) -> None:
    """A request that is being served, some time after it was begun: end it if that was too long ago."""
    exchange, limits = job.connection.answering, job.target.deadlines
    if exchange is None or limits is None or not job.since:
        return
    now = monotonic()
    if job.connection.waits() or exchange.sent_bytes != job.seen_bytes:
        job.since, job.seen_bytes = now, exchange.sent_bytes
        return
    if exchange.head is None and exchange.complete:  # it speaks another protocol by now
        return
    limit_s = limits.idle_s if exchange.head is not None else limits.of(job.path_info)
    if now - job.since >= limit_s + job.ended * min(MAX_GRACE_S, limit_s / 4):
        _end(job, exchange, now, limit_s)


def _end(job: Job, exchange: Exchange, now: float, limit_s: float) -> None:
    runner = job.runner
    if runner is None:
        return
    job.ended += 1
    job.cause = "deadline"
    request = job.request
    if job.ended == 1:
        job.counts.deadlines += 1
        what = "began no answer" if exchange.head is None else "sent nothing more of its answer"
        job.connection.server.log.tell(
            "error",
            f"{request.method} {request.target} {what} within {limit_s:g} s, and was ended",
            traceback=_stack(job),
            app=request.fields.get("hedgerow.app", ""),
            request_id=job.request_id,
            ms=int((now - job.since) * 1000),
        )
    runner.throw(DeadlineError(f"the request's deadline of {limit_s:g} s is over"))


def _stack(job: Job) -> str:
    """Where it stands: the app's thread if it has one, else its greenlet."""
    frame = sys._current_frames().get(job.thread) if job.thread else getattr(job.runner, "gr_frame", None)
    return "".join(traceback.format_stack(frame)) if frame is not None else ""
