"""The ledger: which releases are wanted, who holds the lease, what became of the last deploys. One file a change, in

    state/ledger/<number>.json      the whole state; the highest number counts

A change of the state with number n is the creation of n + 1, by link(2), which fails if somebody was faster. So changes
have one order, none is made from an outdated state, and nothing half-written is ever seen; there is no lock that a dead
or a paused process could keep. It knows no releases, no folders and no processes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import re
import tempfile
from pathlib import Path

from ..errors import HedgerowError
from .entries import State, from_json

KEPT_NUMBERS = 50
MAKING = ".new-"
_NAME = re.compile(r"([0-9]{10,})\.json")


class OutdatedError(HedgerowError):
    """Somebody has changed the ledger meanwhile, or the lease is not ours any more: read again, and decide again."""


class LedgerError(HedgerowError):
    """The ledger cannot be read or written; the sentence names the file."""


class Ledger:
    """The ledger of a state folder."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "ledger"
        self._last: State | None = None

    def has(self, number: int) -> bool:
        """Whether there is an entry of this number."""
        return self._path(number).exists()

    def read(self) -> State:
        """The state that counts now. Of an entry that cannot be read (a damaged disk) the one before is told, under
        the number of the last. Raises LedgerError.
        """
        numbers = self._numbers()
        if self._last is not None and numbers and numbers[-1] == self._last.number:
            return self._last
        for number in reversed(numbers):
            try:
                told = json.loads(self._path(number).read_text("utf-8"))
                self._last = dataclasses.replace(from_json(told), number=numbers[-1])
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError, FileNotFoundError):
                continue
            except OSError as error:
                raise LedgerError(f"{self._path(number)}: {error.strerror}") from error
            return self._last
        if numbers or self._last is not None:
            raise LedgerError(f"{self.folder}: there is nothing in it that can be understood; what runs goes on")
        return State()

    def write(self, state: State) -> State:
        """Make `state`, which was made from what was read, what counts. Returns it with its number.

        Raises OutdatedError when something else counts by now, LedgerError when it cannot be written.
        """
        number = state.number + 1
        written = dataclasses.replace(state, number=number)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(f"{self.folder}: {error.strerror}") from error
        try:
            self._create(number, json.dumps(dataclasses.asdict(written), indent=1))
        except FileExistsError:
            raise OutdatedError(f"{self._path(number)} is there already") from None
        except OSError as error:
            raise LedgerError(f"{error.filename or self.folder}: {error.strerror}") from error
        numbers = self._numbers()
        if numbers[-1] - number >= KEPT_NUMBERS:  # so old that one of this number may have been there, and removed
            raise OutdatedError(f"{self._path(number)} comes behind {numbers[-1]}")
        for old in numbers[:-KEPT_NUMBERS]:
            self._path(old).unlink(missing_ok=True)
        self._last = written
        return written

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:010d}.json"

    def _numbers(self) -> list[int]:
        try:
            found = [_NAME.fullmatch(name) for name in os.listdir(self.folder)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LedgerError(f"{self.folder}: {error.strerror}") from error
        return sorted(int(name[1]) for name in found if name)

    def _create(self, number: int, text: str) -> None:
        """Whole or not at all, also after a power cut. Raises FileExistsError."""
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=self.folder, prefix=MAKING) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.link(file.name, self._path(number))
        descriptor = os.open(self.folder, os.O_RDONLY)  # not by durable.py: workers import us, and not ctypes
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system that cannot
                raise
        finally:
            os.close(descriptor)

    def clean(self, before: float) -> None:
        """Remove what killed writers have left, if it is older than `before` (Unix time)."""
        with contextlib.suppress(OSError):
            for path in self.folder.glob(f"{MAKING}*"):
                if path.stat().st_mtime < before:
                    path.unlink(missing_ok=True)
