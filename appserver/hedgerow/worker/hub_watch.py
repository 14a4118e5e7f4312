"""Who keeps the hub from turning, and its end.

A timer of the kernel asks, whose signal is handled wherever the interpreter stands: in a loop, in a regular expression,
in whatever greenlet. A thread could not: it needs the interpreter's lock. Each tick rings a bell that only a hub that
turns hears; when the next tick finds it unheard, the greenlet that runs is what all others wait for.

Who has kept them waiting beyond the limit is interrupted by an exception, in code of the app's own only: the engine,
gevent, imports, logging and threading hold locks and are half-way through things that others need.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any

from gevent import get_hub
from greenlet import getcurrent

from ..control.beats import Heart
from ..errors import DeadlineError
from ..hosting.counts import Counts
from ..hosting.space import current_app
from .job import Job
from .log import LogQueue, request_id
from .runner import Runner

TICK_S = 0.025
PULSE_S = 0.25  # the hub's own, should an app take the kernel's timer
TOLD_S = 0.1  # what is shorter is nobody's business
AGAIN_S = 0.001  # behind the limit, while what must not be interrupted is running
PROTECTED = {"gevent", "importlib", "_frozen_importlib", "_frozen_importlib_external", "logging", "threading"}
BOTTOM = {("threading", "_bootstrap"), ("threading", "_bootstrap_inner"), ("threading", "run")}  # of any thread
ENGINE = ("hedgerow.worker.", "hedgerow.pep3333.")  # what calls apps


class Block:
    """One greenlet that runs and runs. began, seen: when it was first and last found to."""

    def __init__(self, greenlet: Any, now: float) -> None:
        self.greenlet = greenlet
        self.job = job_of(greenlet)
        self.began = self.seen = now
        space = current_app.get()
        self.app = space.name if space is not None else ""
        self.request_id = request_id.get()
        if self.job is not None and self.job.runner is not greenlet:  # it begins with an empty context
            self.app = self.job.request.fields.get("hedgerow.app", "")
            self.request_id = self.job.request_id
        self.stack = ""
        self.interrupted = False

    def is_of(self, greenlet: Any) -> bool:
        return self.greenlet is greenlet if self.job is None else self.job is job_of(greenlet)

    @property
    def what(self) -> str:
        if self.job is not None:
            return f"{self.job.request.method} {self.job.request.target}"
        return "a greenlet of its own"


def job_of(greenlet: Any) -> Job | None:
    """The request that a greenlet serves, or for which it was started by one that does, and that waits for it."""
    while greenlet is not None and not isinstance(greenlet, Runner):
        greenlet = greenlet.parent
    return None if greenlet is None else greenlet.job


class HubWatch:
    """limit_s: how long one may keep all others waiting. blocks: how many were told of; interrupted: how
    many were ended: from then on nobody knows what is half done here; offenders:
    app → how many of its own, and how the last one was.
    """

    def __init__(self, log: LogQueue, limit_s: float) -> None:
        self.offenders: dict[str, tuple[int, str]] = {}
        self.blocks = 0
        self.interrupted = 0
        self._log = log
        self._limit_s = limit_s
        self._hub = get_hub()
        self._bell = self._hub.loop.async_()
        self._pulse = self._hub.loop.timer(PULSE_S, PULSE_S)
        self._turned = True
        self._ticking = False
        self._block: Block | None = None
        self._heart: Heart | None = None
        self._counts_of: Callable[[str], Counts] | None = None

    def start(self, beat_file: Path, counts_of: Callable[[str], Counts]) -> None:
        """In the main thread: from now on. beat_file: where it is told that the hub turns; counts_of: an app's."""
        self._counts_of = counts_of
        self._heart = Heart(beat_file, monotonic())
        os.register_at_fork(after_in_child=self._drop_in_child)
        self._bell.start(self._on_bell)
        self._pulse.start(self._beat)
        signal.signal(signal.SIGALRM, self._tick)
        signal.siginterrupt(signal.SIGALRM, False)  # what C code waits for goes on
        signal.setitimer(signal.ITIMER_REAL, TICK_S, TICK_S)

    def stop(self) -> None:
        """The process ends: nobody is to wait for its hub."""
        if self._heart is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._heart.stop()

    def _drop_in_child(self) -> None:
        """After a fork: the child's hub is not the one that is waited for, and has no timer of the kernel's."""
        self._heart = None
        self._pulse.stop()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def _on_bell(self) -> None:
        """In the hub, which turns."""
        self._turned = True
        self._beat()
        self._end_block()

    def _beat(self) -> None:
        if self._heart is not None:
            self._heart.beat(monotonic())

    def _tick(self, _: int, frame: FrameType | None) -> None:
        """One that comes while the one before it is still at work would end that, and whatever it has interrupted."""
        if self._ticking:
            return
        self._ticking = True
        try:
            self._look(frame)
        finally:
            self._ticking = False

    def _look(self, frame: FrameType | None) -> None:
        now = monotonic()
        if self._turned:
            self._turned = False
            self._bell.send()
            return
        current = getcurrent()
        if current is self._hub:
            self._end_block()
            return
        block = self._block
        if block is None or not block.is_of(current):
            self._end_block()
            block = self._block = Block(current, now)
            if block.job is not None:  # one more is begun: there is much to do, and nobody is stuck
                self._beat()
        block.seen = now
        if not block.stack and now - block.began >= TOLD_S / 2:
            block.stack = "".join(traceback.format_stack(frame))
        if now - block.began >= self._limit_s:
            if may_interrupt(frame):
                self._interrupt(block, now, frame)
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S, TICK_S)

    def _interrupt(self, block: Block, now: float, frame: FrameType | None) -> None:
        if not block.interrupted:
            self.interrupted += 1
        block.interrupted = True
        block.stack = "".join(traceback.format_stack(frame))
        if block.job is not None:
            block.job.cause = "blocked"
            block.job.ended += 1
        raise DeadlineError(f"all others have waited {now - block.began:.1f} s for this request")

    def _end_block(self) -> None:
        block, self._block = self._block, None
        if block is None:
            return
        lasted = block.seen - block.began + TICK_S
        if lasted >= TOLD_S and (block.app or block.job is not None):
            self.blocks += 1
            if self._counts_of is not None:
                self._counts_of(block.app).blocks += 1
            told = f"kept all others waiting for {lasted:.2f} s"
            if block.interrupted and block.app:
                count, _ = self.offenders.get(block.app, (0, ""))
                self.offenders[block.app] = count + 1, f"{told}, the last time in {block.what}"
            ended = ", and was ended" if block.interrupted else ""
            self._log.tell(
                "error" if block.interrupted else "warning",
                f"{block.what} {told}{ended}",
                app=block.app, request_id=block.request_id, ms=int(lasted * 1000), traceback=block.stack,
            )  # fmt: skip


def may_interrupt(frame: FrameType | None) -> bool:
    """Whether the code that runs is the app's own, or a library's that is not known to hold what others need."""
    innermost = True
    while frame is not None:
        module, function = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if module.startswith(ENGINE):
            return not innermost
        ours = module.startswith("hedgerow.") and (innermost or not module.startswith("hedgerow.middleware."))
        if ours or (module.partition(".")[0] in PROTECTED and (module, function) not in BOTTOM):
            return False
        innermost, frame = False, frame.f_back
    return not innermost
