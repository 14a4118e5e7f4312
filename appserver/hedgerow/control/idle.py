"""Own pools that nobody asks: which have been idle for long, which sleep, and which of those are asked. A file beside a
pool's socket says that it sleeps, until its worker is ready again: whoever finds it there rings, and waits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path

from .observe import Seen
from .plan import asleep_file, pool_listener

UNIX_SOCKETS = Path("/proc/net/unix")
QUEUED = "02"  # the state of a connection that nobody has accepted


class Idle:
    """Those of one replica. after_s: 0 for never."""

    def __init__(self, run: Path, after_s: float) -> None:
        self._run = run
        self._after_s = after_s
        self._done: dict[str, tuple[object, float]] = {}  # what a worker had done, and since when no more
        self._woken: set[str] = set()

    def of(self, own: Mapping[str, Seen]) -> set[str]:
        """Those whose workers have had nothing to do for so long."""
        if not self._after_s:
            return set()
        now = time.monotonic()
        known, self._done = self._done, {}
        for name, seen in own.items():
            told = seen.workers.get(seen.view.active)
            done = (told["pid"], told["requests"]) if told and not told["in_flight"] else None
            before = known.get(name, (None, now))
            self._done[name] = before if done is not None and before[0] == done else (done, now)
        return {name for name, (done, since) in self._done.items() if done and now - since >= self._after_s}

    def sleep(self, pool: str) -> None:
        """From now on who connects to it rings."""
        asleep_file(self._run, pool).touch()

    def wake(self, pool: str) -> None:
        """Called from any thread."""
        self._woken.add(pool)

    def look(self, own: Mapping[str, Seen]) -> dict[str, Seen]:
        """The same, with those that sleep marked."""
        sleeping = {name: one for name, one in own.items() if asleep_file(self._run, name).exists()}
        self._woken &= sleeping.keys()
        queued = self._queued() if sleeping else set()
        for name, seen in sleeping.items():
            alive = any(slot.alive for slot in seen.view.slots.values())
            if not alive and str(pool_listener(self._run, name)) in queued:
                self.wake(name)
            if name in self._woken and seen.view.current.ready:
                self._woken.discard(name)
                asleep_file(self._run, name).unlink(missing_ok=True)
        return dict(own) | {name: _marked(one) for name, one in sleeping.items() if name not in self._woken}

    def _queued(self) -> set[str]:
        """The sockets in whose queues clients wait: one may have come when a worker had accepted for the last time."""
        with contextlib.suppress(OSError):
            lines = (line.split() for line in UNIX_SOCKETS.read_text("utf-8", "surrogateescape").splitlines())
            return {" ".join(words[7:]) for words in lines if len(words) > 7 and words[5] == QUEUED}
        return set()


def _marked(seen: Seen) -> Seen:
    return dataclasses.replace(seen, view=dataclasses.replace(seen.view, asleep=True))
