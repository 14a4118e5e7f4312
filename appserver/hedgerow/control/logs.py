"""The log files of all replicas as one stream of lines in time order, to the end or followed through rotation.

supervisord keeps one rotated file a process under `state/logs/<replica>/`. Lines are JSON; what is not (a dying
interpreter, nginx's errors) takes the time of the line before it in its file. It prints nothing.
"""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

ROTATED = (".2", ".1", "")


@dataclass(order=True)
class Line:
    """time: seconds since 1970; fields: what the JSON holds; text: the line itself."""

    time: float
    text: str = field(compare=False)
    source: str = field(compare=False)
    fields: dict[str, Any] = field(compare=False)


def files(logs: Path, replica: str | None = None) -> list[Path]:
    """The current log file of each process; not supervisord's own: it tells of processes."""
    return sorted(path for path in logs.glob(f"{replica or '*'}/*.log") if path.name != "supervisord.log")


def parse(text: str, source: str, before: float) -> Line:
    """One line of a file. before: the time of the line before it."""
    try:
        fields = json.loads(text)
        return Line(datetime.fromisoformat(fields["time"]).timestamp(), text, source, fields)
    except (ValueError, KeyError, TypeError):
        return Line(before, text, source, {})


def history(logs: Path, replica: str | None = None) -> Iterator[Line]:
    """All that the files hold, rotated ones too."""
    return heapq.merge(*(_read(path) for path in files(logs, replica)))


def _read(path: Path) -> Iterator[Line]:
    before = 0.0
    for suffix in ROTATED:
        try:
            with open(f"{path}{suffix}", encoding="utf-8", errors="replace") as file:
                for text in file:
                    line = parse(text.rstrip("\n"), path.stem, before)
                    before = line.time
                    yield line
        except FileNotFoundError:
            continue


class Follower:
    """New lines of all files, also of files that appear. from_start: also what the files hold already."""

    def __init__(self, logs: Path, replica: str | None = None, from_start: bool = False) -> None:
        self._logs = logs
        self._replica = replica
        self._tails: dict[Path, _Tail] = {}
        for path in files(logs, replica):
            self._tails[path] = _Tail(path, 0 if from_start else path.stat().st_size)

    def poll(self) -> list[Line]:
        """What has come since the last call, in time order."""
        for path in files(self._logs, self._replica):
            if path not in self._tails:
                self._tails[path] = _Tail(path, 0)
        return sorted(line for tail in self._tails.values() for line in tail.poll())

    def close(self) -> None:
        """Reads no more."""
        for tail in self._tails.values():
            tail.close()


class _Tail:
    """One file, by name: when another file has taken the name, the old one is read to its end first."""

    def __init__(self, path: Path, position: int) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._position = position
        self._rest = b""
        self._before = 0.0

    def poll(self) -> Iterator[Line]:
        if self._file is None and not self._open():
            return
        yield from self._lines()
        if self._was_rotated() and self._open():
            yield from self._lines()

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        try:
            file = open(self._path, "rb")  # noqa: SIM115 - kept open: rotation renames it under us
        except FileNotFoundError:
            return False
        self.close()
        file.seek(self._position)
        self._file, self._position = file, 0
        return True

    def _was_rotated(self) -> bool:
        if self._file is None:
            return False
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return False
        return now.st_ino != os.fstat(self._file.fileno()).st_ino or now.st_size < self._file.tell()

    def _lines(self) -> Iterator[Line]:
        if self._file is None:
            return
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        for raw in whole:
            line = parse(raw.decode("utf-8", "replace"), self._path.stem, self._before)
            self._before = line.time
            yield line
