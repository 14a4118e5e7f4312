"""What a stack takes while something happens: memory of its processes and what lies in its containers' tmpfs.

Seen from outside, in this machine's /proc, so that nothing runs in the containers for it.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from .engine import Stack, family, init_pid

EVERY_S = 0.01
TMPFS = {"front": ["/run/hedgerow"], "appserver": ["/run/hedgerow", "/tmp"]}  # noqa: S108 (of a container)
SERVING = {"front": "nginx: worker process", "appserver": "hedgerow.worker"}


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


def serving(stack: Stack, service: str) -> list[int]:
    """The pids, on this machine, of the processes of a service that serve requests."""
    pids = [pid for container in stack.containers(service) for pid in family(init_pid(container))]
    return [pid for pid in pids if SERVING[service] in command_line(pid)]


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def tmpfs_of(stack: Stack) -> list[Path]:
    """Every writable tmpfs of every container, as a path of this machine."""
    return [
        Path(f"/proc/{init_pid(container)}/root{where}")
        for service, places in TMPFS.items()
        for container in stack.containers(service)
        for where in places
    ]


def used_bytes(mount: Path) -> int:
    """Of a whole file system: a file that was removed while it is open counts too."""
    told = os.statvfs(mount)
    return (told.f_blocks - told.f_bfree) * told.f_frsize


class Footprint(threading.Thread):
    """Samples while its `with` block runs; after it the properties tell the most that was seen."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(daemon=True)
        self._names = {pid: service for service in SERVING for pid in serving(stack, service)}
        self._mounts = tmpfs_of(stack)
        self._ended = threading.Event()
        self._memory_first = {pid: resident_bytes(pid) for pid in self._names}
        self._memory_most = dict(self._memory_first)
        self._tmpfs_first = {mount: used_bytes(mount) for mount in self._mounts}
        self._tmpfs_most = dict(self._tmpfs_first)
        self.samples = 0

    def __enter__(self) -> Footprint:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._sample()

    def growth(self, service: str) -> int:
        """Bytes by which the memory of one process of the service grew, at most."""
        grown = [
            self._memory_most[pid] - self._memory_first[pid] for pid, name in self._names.items() if name == service
        ]
        return max(grown)

    @property
    def spooled(self) -> int:
        """Bytes by which one tmpfs grew, at most."""
        return max(self._tmpfs_most[mount] - self._tmpfs_first[mount] for mount in self._mounts)

    def __str__(self) -> str:
        front, worker = self.growth("front") / 1e6, self.growth("appserver") / 1e6
        processes = len(self._names)
        return (
            f"of {processes} processes nginx grew by {front:.1f} MB, a worker by {worker:.1f} MB at most, "
            f"a tmpfs by {self.spooled} bytes; {self.samples} samples"
        )

    def _sample(self) -> None:
        for pid in self._names:
            self._memory_most[pid] = max(self._memory_most[pid], resident_bytes(pid))
        for mount in self._mounts:
            self._tmpfs_most[mount] = max(self._tmpfs_most[mount], used_bytes(mount))
        self.samples += 1
