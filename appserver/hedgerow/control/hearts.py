"""Ends workers whose hub does not turn, and that could not end what keeps it: a C call that holds the interpreter.

In a thread of the deployer, whose rounds take too long for this. SIGABRT has Python's faulthandler write where the
worker stands, which is C code that needs nothing of the interpreter, and ends it; supervisord starts another, and what
had connected meanwhile waits in the listener's queue.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from . import beats

LOOK_S = 0.2
MARGIN_S = 0.5  # beyond the limit, in which the worker may still interrupt by itself
LATE_S = 0.5  # when a look comes so late itself, the whole machine stood: all have their time anew
GRACE_S = 0.5


def stuck_s(beat: beats.Beat, now: float, since: float, limit_s: float) -> float:
    """For how long the hub has not turned, if that is too long; else 0. since: when the machine stood last."""
    silent_s = now - max(beat.time, since)
    return silent_s if silent_s >= limit_s + MARGIN_S else 0.0


class Hearts:
    """limit_s: as of the workers; 0: nobody is looked at. tell: takes a line about a worker that is ended."""

    def __init__(self, run: Path, limit_s: float, tell: Callable[[str], None]) -> None:
        self._run, self._limit_s, self._tell = run, limit_s, tell
        self._killed: dict[int, float] = {}

    def start(self) -> None:
        if self._limit_s:
            threading.Thread(target=self._look_forever, name="hearts", daemon=True).start()

    def _look_forever(self) -> None:
        last = since = time.monotonic()
        while True:
            time.sleep(LOOK_S)
            now = time.monotonic()
            since = now if now - last >= LOOK_S + LATE_S else since
            self.look(now, since)
            last = now

    def look(self, now: float, since: float) -> None:
        """At all who beat. since: when the machine stood last."""
        pids = set[int]()
        for path in self._run.glob("*.beat"):
            with contextlib.suppress(OSError):
                beat = beats.read(path)
                pids.add(beat.pid)
                self._look(path, beat, now, since)
        for pid in self._killed.keys() - pids:  # another has its place, and some day somebody its number
            del self._killed[pid]

    def _look(self, path: Path, beat: beats.Beat, now: float, since: float) -> None:
        if beat.pid in self._killed:
            if now - self._killed[beat.pid] >= GRACE_S:
                path.unlink(missing_ok=True)
                self._end(beat.pid, signal.SIGKILL)
                del self._killed[beat.pid]
        elif not (silent_s := stuck_s(beat, now, since, self._limit_s)):
            return
        elif not _is_worker(beat.pid):  # it has ended, however it did
            path.unlink(missing_ok=True)
        else:
            self._tell(f"{path.stem}: its hub has not turned for {silent_s:.1f} s; the worker is ended")
            self._killed[beat.pid] = now
            self._end(beat.pid, signal.SIGABRT)

    def _end(self, pid: int, number: signal.Signals) -> None:
        """If it is still that worker: it may have ended by itself."""
        if _is_worker(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _is_worker(pid: int) -> bool:
    try:
        return b"hedgerow.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
