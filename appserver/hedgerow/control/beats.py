"""That the hub of a worker turns, for who looks from outside: its process id, and when it last did, in a file of the
run folder that is mapped into memory, so that to say it is no system call. Written by workers, read by the deployer.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple

_FORMAT = struct.Struct("<qd")


class Beat(NamedTuple):
    """time: of time.monotonic(), which is one for all processes of a machine."""

    pid: int
    time: float


class Heart:
    """That of this process."""

    def __init__(self, path: Path, now: float) -> None:
        self._path = path
        beside = path.with_name(f".{path.name}")
        with open(beside, "w+b") as file:
            file.write(_FORMAT.pack(os.getpid(), now))
            file.flush()
            self._map = mmap.mmap(file.fileno(), _FORMAT.size)
        beside.replace(path)
        self._pid = os.getpid()

    def beat(self, now: float) -> None:
        _FORMAT.pack_into(self._map, 0, self._pid, now)

    def stop(self) -> None:
        """From now on nobody is to wait for it. Another process may have taken the name."""
        with contextlib.suppress(OSError):
            if read(self._path).pid == self._pid:
                self._path.unlink()


def read(path: Path) -> Beat:
    """Raises OSError if nobody beats there."""
    data = path.read_bytes()
    if len(data) != _FORMAT.size:
        raise OSError(f"{path} is no beat")
    return Beat(*_FORMAT.unpack(data))
