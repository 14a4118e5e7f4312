"""The log files of all replicas as one stream of lines in time order, to the end or followed through rotation.

supervisord keeps one rotated file a process under `state/logs/<replica>/`. Lines are JSON; what is not (a dying
interpreter, nginx's errors) takes the time of the line before it in its file. It prints nothing.
"""

from __future__ import annotations

import heapq
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

ROTATED = (".2", ".1", "")
BLOCK_BYTES = 65_536


def written(kind: str, level: str, message: str, **more: Any) -> str:
    """A line of now, as a process that is no worker writes it."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
    return json.dumps({"time": stamp, "level": level, "kind": kind, "message": message} | more)


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
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
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
    """New lines of all files, also of files that appear. since: also what the files hold of this time (Unix) and later,
    and a line or two from before it.
    """

    def __init__(self, logs: Path, replica: str | None = None, since: float = float("inf")) -> None:
        self._logs = logs
        self._replica = replica
        self._tails: dict[Path, _Tail] = {}
        for path in files(logs, replica):
            self._tails[path] = _Tail(path, since)

    def poll(self) -> list[Line]:
        """What has come since the last call, in time order."""
        for path in files(self._logs, self._replica):
            if path not in self._tails:
                self._tails[path] = _Tail(path, since=0.0)
        return sorted(line for tail in self._tails.values() for line in tail.poll())

    def close(self) -> None:
        """Reads no more."""
        for tail in self._tails.values():
            tail.close()


class _Tail:
    """One file, by name. When another file has taken the name, the old one and those between are read to their end."""

    def __init__(self, path: Path, since: float) -> None:
        self._path = path
        self._file = _open(path)
        self._rest = b""
        self._before = 0.0
        if self._file:
            self._file.seek(_place(self._file, since))

    def poll(self) -> Iterator[Line]:
        self._file = self._file or _open(self._path)
        if self._file is None:
            return
        if os.fstat(self._file.fileno()).st_size < self._file.tell():  # somebody emptied it
            self._file.seek(0)
        yield from self._lines(self._file)
        if not self._was_rotated(self._file):
            return
        yield from self._lines(self._file)  # what was written between that reading and the rotation
        newer, whole = self._newer(self._file)
        if not whole:
            yield from self._loss()
        for file in newer:
            self._file.close()
            self._file = file
            yield from self._lines(file)

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _was_rotated(self, file: BinaryIO) -> bool:
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(file.fileno()))
        except FileNotFoundError:  # in the middle of it, or for good
            return False

    def _newer(self, old: BinaryIO) -> tuple[list[BinaryIO], bool]:
        """The files that came after `old`, oldest first, and whether these are all.

        Looked for from the newest on: a rotation meanwhile shows one of them twice, and hides none.
        """
        then = os.fstat(old.fileno())
        found: dict[int, BinaryIO] = {}
        for suffix in reversed(ROTATED):
            if (file := _open(Path(f"{self._path}{suffix}"))) is None:
                continue
            status = os.fstat(file.fileno())
            is_new = status.st_ino not in found and status.st_mtime_ns >= then.st_mtime_ns
            if is_new and not os.path.samestat(status, then):
                found[status.st_ino] = file
                continue
            file.close()
            if os.path.samestat(status, then):
                return list(found.values())[::-1], True
        return list(found.values())[::-1], False

    def _lines(self, file: BinaryIO) -> Iterator[Line]:
        *whole, self._rest = (self._rest + file.read()).split(b"\n")
        yield from map(self._line, whole)

    def _loss(self) -> Iterator[Line]:
        if self._rest:
            yield self._line(self._rest)
            self._rest = b""
        text = "hedgerow: lines may be missing here: a file was rotated away before it was read"
        yield Line(self._before, text, self._path.stem, {})

    def _line(self, raw: bytes) -> Line:
        line = parse(raw.decode("utf-8", "replace"), self._path.stem, self._before)
        self._before = line.time
        return line


def _place(file: BinaryIO, since: float) -> int:
    """Where the lines of this time begin, or up to a block before that: a file that is years long is not read."""
    low, high = 0, file.seek(0, os.SEEK_END)
    if since == float("inf"):
        return high
    while high - low > BLOCK_BYTES:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()  # its end
        place = file.tell()
        if parse(file.readline().decode("utf-8", "replace"), "", since).time < since:
            low = place
        else:
            high = middle
    return low


def _open(path: Path) -> BinaryIO | None:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        return None
