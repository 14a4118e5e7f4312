"""The CPU time of a process tree, to the nanosecond, and its memory.

Each process has a clock of its own (clock_getcpuclockid(3)) that counts user and system time of all its threads, ended
ones included. The times in /proc/PID/stat come in ticks of 10 ms; only what ended children have left is read there.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_SCHEDULER_CLOCK = 2  # the kernel's CPUCLOCK_SCHED


def tree_cpu_s(*roots: int) -> float:
    """User and system seconds of these processes, their living descendants, and the descendants that have ended."""
    total, todo = 0.0, list(roots)
    while todo:
        pid = todo.pop()
        with suppress(OSError):  # ended meanwhile: its parent has its times
            children = _children(pid)
            total += _process_cpu_s(pid) + _ended_children_cpu_s(pid)
            todo += children
    return total


def tree_pss_bytes(*roots: int) -> int:
    """The memory of these processes and their living descendants. A page that several processes have is divided among
    them, so that the sum counts it once.
    """
    total, todo = 0, list(roots)
    while todo:
        pid = todo.pop()
        total += _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")
        todo += _children(pid)
    return total


def resident_bytes(pid: int) -> int:
    """The memory of one process, with all that it shares with others."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Rss:")


def _kilobytes(file: Path, field: str) -> int:
    (line,) = (line for line in file.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def _process_cpu_s(pid: int) -> float:
    return time.clock_gettime(~pid << 3 | _SCHEDULER_CLOCK)


def _ended_children_cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / TICKS_A_SECOND


def _children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
