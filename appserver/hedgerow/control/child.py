"""A process that ends with its task: in a group of its own, waited for in short moments, its last output kept.

The kernel ends it when the *thread* that started it ends (PR_SET_PDEATHSIG counts by thread), so one thread starts it,
waits and ends it. What it starts is in its group and ends with it; only what begins a session of its own gets away.
It knows no apps.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from ..errors import HedgerowError
from . import process

POLL_S = 0.02
KEPT_LINES = 100
KEPT_BYTES = 2**18
MAX_OUTPUT_BYTES = 2**24


class TimeOver(HedgerowError):
    """A step has taken longer than it may; within: how long that is, in words."""

    def __init__(self, limit_s: float) -> None:
        self.within = f"within {limit_s:g} s"
        super().__init__(f"not {self.within}")


class Cancelled(HedgerowError):
    """Somebody has called it off."""


class Clock:
    """How long one step may take. cancel: set by another thread that wants it to end."""

    def __init__(self, limit_s: float, cancel: threading.Event) -> None:
        self._limit_s = limit_s
        self._end = time.monotonic() + limit_s
        self._cancel = cancel

    def pause(self) -> None:
        """A short moment between two looks. Raises TimeOver or Cancelled."""
        if self._cancel.wait(POLL_S):
            raise Cancelled("called off")
        if time.monotonic() > self._end:
            raise TimeOver(self._limit_s)


class Child:
    """One such process. `end` must be called, by the thread that made it."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], cwd: Path | None = None, stdin: int | None = None
    ) -> None:
        self._kept: list[str] = []
        # It has no name, so it cannot be left behind.
        self._output: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `end`
        try:
            # Who writes goes on at the end, wherever that is, so the file can be cut while it grows.
            fcntl.fcntl(self._output, fcntl.F_SETFL, fcntl.fcntl(self._output, fcntl.F_GETFL) | os.O_APPEND)
            self._process = subprocess.Popen(
                process.tied_to(os.getpid(), list(command), "app"),
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                cwd=cwd,
                process_group=0,
            )
        except BaseException:
            self._output.close()
            raise
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.prlimit(self.pid, resource.RLIMIT_CORE, (0, hard))  # nobody looks at a core of what is thrown away

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has. One that ended by itself is not reaped yet: its number stays that of its group."""
        if self._process.returncode is not None:
            return True
        if os.fstat(self._output.fileno()).st_size > MAX_OUTPUT_BYTES:
            self._keep_last_lines()
            os.ftruncate(self._output.fileno(), 0)  # it may print without end, and only the last lines are wanted
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def end(self, clock: Clock | None = None) -> int:
        """Told to end if there is time for it, then killed, with all that it has started. Returns its exit status."""
        if self._process.returncode is not None:
            return self._process.returncode
        if clock is not None:
            self.tell(signal.SIGTERM, clock)
        os.killpg(self.pid, signal.SIGKILL)
        status = self._process.wait()
        self._keep_last_lines()
        self._output.close()
        return status

    def tell(self, number: signal.Signals, clock: Clock) -> None:
        """Sends it a signal, and waits for its end as long as there is time."""
        if self._process.returncode is not None:
            return
        os.kill(self.pid, number)  # not by Popen, which would reap it
        with contextlib.suppress(TimeOver, Cancelled):
            while not self.ended:
                clock.pause()

    @property
    def lines(self) -> list[str]:
        """The last lines that it wrote, when it has been ended."""
        return self._kept

    def _keep_last_lines(self) -> None:
        size = os.fstat(self._output.fileno()).st_size
        tail = os.pread(self._output.fileno(), KEPT_BYTES, max(0, size - KEPT_BYTES))
        self._kept = [*self._kept, *tail.decode("utf-8", "replace").splitlines()][-KEPT_LINES:]


def told(status: int) -> str:
    """An exit status as Popen has it, in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:  # a real-time signal
        return f"signal {-status}"
