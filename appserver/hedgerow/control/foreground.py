"""`hedgerow serve --reload`: one socket, two slots that take turns, and a look at the files three times a second."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from ..config import Settings
from ..errors import UserError
from ..hosting.manifest import FILE_NAME
from . import client, process, tree
from .plan import Content, Plan, plan_path, slot_socket, write_plan
from .watch import Watch

LOOK_S = 0.3
POLL_S = 0.05
LEAVE_MARGIN_S = 5.0
READY_S = 60.0


class Source(ABC):
    """What is served: where its content comes from."""

    @abstractmethod
    def describe(self) -> str:
        """In a few words, for the first line."""

    @abstractmethod
    def take(self) -> Content:
        """The content as it is now."""

    @abstractmethod
    def look(self) -> Content | None:
        """The content if it has changed and holds still, else None."""


class FolderSource(Source):
    """A folder whose sub-folders are apps."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._watch = Watch(settings.apps, settings.state)
        self._apps = settings.apps
        self._count = count
        self._last = Content()

    def describe(self) -> str:
        return f"{self._count} app{'' if self._count == 1 else 's'} of {self._apps}"

    def take(self) -> Content:
        self._last = self._watch.look(settle=False)
        return self._last

    def look(self) -> Content | None:
        try:
            now = self._watch.look()
        except UserError:  # the folder is away; it may come back
            return None
        if now == self._last:
            return None
        self._last = now
        return now


class ModuleSource(Source):
    """`module:callable`, imported from a folder as it lies there. A change is one of Python code."""

    def __init__(self, name: str, folder: Path) -> None:
        self._content = Content(callable=name, path=str(folder))
        self._folder = folder
        self._seen = self._moved = ""

    def describe(self) -> str:
        return self._content.callable

    def take(self) -> Content:
        self._seen = self._scan()
        return self._content

    def look(self) -> Content | None:
        now, before = self._scan(), self._moved
        self._moved = now
        if now in ("", self._seen) or now != before:
            return None
        self._seen = now
        return self._content

    def _scan(self) -> str:
        """Size and time of each file of code; empty while one goes away."""
        try:
            names = [name for name, _ in tree.walk(self._folder, frozenset()) if name.endswith((".py", FILE_NAME))]
            status = [(name, os.stat(self._folder / name)) for name in names]
        except OSError:
            return ""
        return repr([(name, found.st_size, found.st_mtime_ns, found.st_ino) for name, found in status])


class Foreground:
    """Runs until SIGINT or SIGTERM. say: takes a line for the user; patience_s: how long a change may load."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        listener: socket.socket,
        address: str,
        say: Callable[[str], None],
        patience_s: float = READY_S,
    ) -> None:
        self._patience_s = patience_s
        self._settings = settings
        self._source = source
        self._listener = listener
        self._plan = Plan(address)
        self._say = say
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    def run(self) -> None:
        """Serve, and load again at each change."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            self._start(self._plan.active, self._source.take())
            while True:
                time.sleep(LOOK_S)
                content = self._source.look()
                if content is not None:
                    self._swap(content)
        except KeyboardInterrupt:
            pass
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._end()

    def _start(self, slot: str, content: Content) -> None:
        self._plan = self._plan.with_entry(slot, content)
        run, address = self._settings.run, self._plan.address
        write_plan(plan_path(run, address), self._plan)
        slot_socket(run, address, slot).unlink(missing_ok=True)
        self._workers[slot] = subprocess.Popen(
            process.tied_to(os.getpid(), process.worker(run, address, slot)),
            stdin=self._listener.fileno(),
            env=os.environ | self._settings.to_env(),
            process_group=0,  # Ctrl-C is ours alone; we tell them
        )

    def _swap(self, content: Content) -> None:
        """The other slot takes over when it is ready; when it is not, the old one goes on."""
        newer: Content | None = content
        while newer is not None:
            self._say("a file has changed, loading again")
            self._stop(self._plan.other)  # it drains from the change before, or its content is out of date
            self._start(self._plan.other, newer)
            newer = self._wait_ready(self._plan.other)

    def _wait_ready(self, new: str) -> Content | None:
        """Until the worker in this slot has taken over, or cannot; content that is newer, if there is any before."""
        worker, path = self._workers[new], slot_socket(self._settings.run, self._plan.address, new)
        began = looked = time.monotonic()
        while not client.is_ready(path):
            time.sleep(POLL_S)
            now = time.monotonic()
            if worker.poll() is not None:
                self._say("the change cannot be loaded; what ran before goes on")
                return None
            if now - began > self._patience_s:
                self._stop(new)
                self._say(f"the change is not loaded within {self._patience_s:.0f} s; what ran before goes on")
                return None
            if now - looked > LOOK_S:
                looked = now
                newer = self._source.look()
                if newer is not None:
                    return newer
        self._take_over(new)
        return None

    def _take_over(self, new: str) -> None:
        old = self._plan.active
        self._plan = self._plan.with_active(new)
        path = slot_socket(self._settings.run, self._plan.address, old)
        if path.exists():
            client.post(path, "/drain")
        else:
            self._stop(old)  # it never got so far as to serve, and would not hear
        self._say("loaded")

    def _stop(self, slot: str) -> None:
        if slot in self._workers:
            self._workers[slot].kill()
            self._workers[slot].wait()

    def _end(self) -> None:
        for worker in self._workers.values():
            worker.send_signal(signal.SIGTERM)
        end = time.monotonic() + self._settings.drain_s + LEAVE_MARGIN_S
        for worker in self._workers.values():
            try:
                worker.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
