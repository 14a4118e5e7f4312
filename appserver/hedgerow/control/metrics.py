"""What the workers of a replica have counted, in sums that outlive them: `state/metrics/<id>.json`.

A worker tells totals of its own, under a name that no other has. So the sum of all that ever were goes neither down nor
twice over the same, whoever swaps, ends or is looked at again; a deployer that starts again goes on from its file. What
a worker has counted since the last look is in what it leaves behind; one that is killed leaves nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from ..hosting.counts import BOUNDS_S
from .observe import Seen
from .plan import final_counts
from .supervisor import ProcessInfo

WRITTEN_EVERY_S = 2.0
STALE_S = 10.0  # what is true only now
FORGOTTEN_S = 300.0  # sums of a replica that has gone
KEPT_S = 24 * 3600.0
# What only a pool's own worker knows; all else of its requests is counted by the address that sends them.
INSIDE = ("deadlines", "blocks")

Log = Callable[[str, str], object]
Sums = dict[str, dict[str, Any]]  # by app, as hosting/counts.py tells them


class Metrics:
    """Those of one replica."""

    def __init__(self, state: Path, run: Path, replica: str) -> None:
        self._path = path_of(state, replica)
        self._run = run
        self._replica = replica
        kept = _read(self._path) or {}
        self._ended: Sums = kept.get("ended", {})
        # What was true of them is so no more: after a restart of the machine nobody may be there to say it anew.
        workers: dict[str, dict[str, Any]] = kept.get("workers", {})
        self._workers = {name: worker | {"now": None} for name, worker in workers.items()}
        self._left: dict[str, Path] = {}  # what ended workers have left, not yet in our file
        self._apps: list[str] = kept.get("apps", [])
        self._written = float("-inf")

    def step(
        self, seen: Iterable[Seen], processes: Iterable[ProcessInfo], apps: Iterable[str], now: float, log: Log
    ) -> None:
        """Look, and write if it is time. processes: as they were before the workers were asked; apps: all that there
        are, also those that nobody has asked.
        """
        self._apps = sorted(apps)
        self.look([worker for one in seen for worker in one.workers.values()], {info.pid for info in processes})
        if now - self._written >= WRITTEN_EVERY_S:
            self._written = now
            self.write(log)

    def close(self, log: Log) -> None:
        """The deployer ends. Workers that have left before have told what they had; others may live on."""
        self._take_left()
        self.write(log)

    def look(self, told: Iterable[dict[str, Any]], alive: Collection[int]) -> None:
        """told: by the workers themselves; alive: the processes that there were before."""
        here = {status.get("id", str(status["pid"])): status for status in told}
        for name, status in here.items():
            self._workers[name] = {"pid": status["pid"], "counts": _counted(status), "now": _now(status)}
        self._take_left()
        pids = {status["pid"] for status in here.values()}
        for name, worker in list(self._workers.items()):
            gone = worker["pid"] not in alive or (worker["pid"] in pids and name not in here)
            if gone and name not in self._left:
                add(self._ended, self._workers.pop(name)["counts"])

    def _take_left(self) -> None:
        for path in self._run.glob(str(final_counts(Path(), "*"))):
            if path.stem not in self._left and (left := _json(path)) is not None:
                self._left[path.stem] = path
                self._workers[path.stem] = {"pid": 0, "counts": _counted(left), "now": None}

    def write(self, log: Log) -> None:
        """All there is; what ended workers have left goes only then."""
        for worker in self._workers.values():
            if worker["now"] is not None:
                worker["now"]["descriptors"] = descriptors(worker["pid"])
        told = {
            "replica": self._replica,
            "time": time.time(),
            "bounds": BOUNDS_S,
            "apps": self._apps,
            "ended": self._ended,
            "workers": self._workers,
        }
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(exist_ok=True)
            beside.write_text(json.dumps(told), "utf-8")  # whole or not at all, but for a power cut: then we begin anew
            beside.replace(self._path)
            for path in self._left.values():
                path.unlink(missing_ok=True)
            self._left.clear()
        except OSError as error:
            log("error", f"{self._path}: the metrics cannot be written: {error.strerror}")


def add(sums: dict[str, Any], more: dict[str, Any]) -> None:
    """Into sums: numbers, lists of numbers, and dictionaries of such."""
    for name, value in more.items():
        if isinstance(value, dict):
            add(sums.setdefault(name, {}), value)
        elif isinstance(value, list):
            sums[name] = [one + other for one, other in zip(sums.get(name, [0] * len(value)), value, strict=True)]
        else:
            sums[name] = sums.get(name, 0) + value


def _counted(status: dict[str, Any]) -> Sums:
    """What of a worker's counts goes into the sums; nothing of one of another version, while it is replaced."""
    if status.get("bounds") != list(BOUNDS_S):
        return {}
    counts: Sums = status.get("counts", {})
    if status.get("behind"):
        return {app: {name: one[name] for name in INSIDE} for app, one in counts.items() if any(map(one.get, INSIDE))}
    if status.get("rejections"):
        counts = counts | {"": counts.get("", {}) | {"rejections": status["rejections"]}}
    return counts


def _now(status: dict[str, Any]) -> dict[str, Any]:
    """What of a worker is true now."""
    names = ("address", "slot", "state", "memory_bytes", "connections", "greenlets", "lag_s", "gates")
    return {name: status[name] for name in names if name in status}


def descriptors(pid: int) -> int:
    """How many a process has; 0 where the kernel does not tell."""
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        return os.stat(folder).st_size or len(os.listdir(folder))  # the first tells from Linux 6.2 on
    return 0


def path_of(state: Path, replica: str) -> Path:
    return state / "metrics" / f"{replica}.json"


def read_all(state: Path, now: float) -> list[dict[str, Any]]:
    """What all replicas have written lately, each with `age_s` added."""
    found = [told for path in sorted(path_of(state, "x").parent.glob("[!.]*.json")) if (told := _read(path))]
    aged = [told | {"age_s": abs(now - told["time"])} for told in found]
    return [told for told in aged if told["age_s"] <= FORGOTTEN_S]


def tidy(state: Path, now: float) -> None:
    """Remove what replicas have left that will not come back under their names."""
    for path in path_of(state, "x").parent.glob("*"):
        with contextlib.suppress(OSError):
            if now - path.stat().st_mtime > KEPT_S:
                path.unlink()


def _read(path: Path) -> dict[str, Any] | None:
    """None: there is none, or one of another version."""
    told = _json(path)
    if told is None or told.get("bounds") != list(BOUNDS_S) or not isinstance(told.get("time"), int | float):
        return None
    return told


def _json(path: Path) -> dict[str, Any] | None:
    try:
        told = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None
