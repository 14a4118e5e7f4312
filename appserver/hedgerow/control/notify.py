"""Hints that something under a folder may have changed, from the kernel's file events.

A hint makes the next scan come sooner, and nothing else: what has changed, and whether, the scan decides. Events are
lost (shared volumes and network file systems send few or none, queues run over, a new folder is watched a moment after
it was made, and not at all when the kernel's number of watches is used up), so nothing may depend on a hint. Whatever
goes wrong here costs one line and at most a scan's period.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from watchfiles import Change, watch

QUIET_MS = 50  # a hint is given when no event has come for so long,
GATHER_MS = 250  # and at the latest so long after the first
CHECK_MS = 2000  # so often it is seen whether the folder is another one now, of which no event tells
RETRY_S = 60.0  # after an error: the kernel's limits may have been raised


class Notify:
    """Until it is closed `hint` is called, in a thread of its own, soon after something under `folder` has changed.

    The folder need not exist. say: told once, in one line, that there are no events.
    """

    def __init__(self, folder: Path, hint: Callable[[], object], say: Callable[[str], object]) -> None:
        self._folder = folder
        self._hint = hint
        self._say = say
        self._said = False
        self._some_unreadable = False
        self._closed = threading.Event()
        # No daemon: Python would end under its feet, which compiled code does not survive.
        self._thread = threading.Thread(target=self._run, name="notify")
        self._thread.start()

    def close(self) -> None:
        """No hint comes after this."""
        self._closed.set()
        self._thread.join()

    def __enter__(self) -> Notify:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        known = self._identity()
        while not self._closed.is_set():
            try:
                if known is not None:
                    self._follow(known)
            except FileNotFoundError:  # it went just now
                pass
            except PermissionError:
                # Only now: a watch that skips what it may not read tells of no other trouble either (watchfiles 1.3).
                if self._some_unreadable:
                    self._closed.wait(RETRY_S)
                self._some_unreadable = True
            except (OSError, RuntimeError) as error:
                self._tell(error)
                self._hint()
                self._closed.wait(RETRY_S)
            known = self._identity()
            if known is None:
                self._closed.wait(CHECK_MS / 1000)
            elif not self._closed.is_set():
                self._hint()

    def _follow(self, known: tuple[int, int]) -> None:
        """Hints, until another folder has this name, or none."""
        events = watch(
            self._folder,
            watch_filter=None,
            debounce=GATHER_MS,
            step=QUIET_MS,
            rust_timeout=CHECK_MS,
            yield_on_timeout=True,
            stop_event=self._closed,
            force_polling=False,  # the scans poll
            ignore_permission_denied=self._some_unreadable,
        )
        for changes in events:
            if changes:
                self._hint()
            # One that is made anew may get the number of the old one.
            if (Change.deleted, str(self._folder)) in changes or self._identity() != known:
                return

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._folder)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _tell(self, error: Exception) -> None:
        if not self._said:
            self._said = True
            self._say(f"{self._folder}: no file events ({error}); it is scanned all the same")
