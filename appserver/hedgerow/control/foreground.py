"""`hedgerow serve --reload`: one socket, two slots that take turns, and a look at the files ten times a second.

Whoever develops an app wants to see the code as it is, not the last that worked: content that cannot be loaded takes
over as well, and says in the browser what is wrong. Only a worker that does not get ready takes over nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

from ..config import Settings
from . import client, process
from .plan import Content, Plan, importing_file, plan_path, slot_socket, write_plan
from .sources import Source

# Between two looks; longer where a look takes more than a tenth of it. File events, which come gathered, are no sooner.
LOOK_S = 0.1
MAX_LOOK_S = 0.3
GRACE_S = 0.5
POLL_S = 0.02
LEAVE_MARGIN_S = 5.0
READY_S = 60.0

# A connection is for one request, and none is kept: an open one leads to the worker, and so to the code, that took it.
DEVELOPMENT: dict[str, Any] = {"show_errors": True, "max_requests_per_connection": 1, "keepalive_s": 1.0}


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
        self._pause_s = LOOK_S

    def run(self) -> None:
        """Serve, and load again at each change."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            self._swap(self._source.take())
            while True:
                time.sleep(self._pause_s)
                content = self._look()
                if content is not None:
                    self._swap(content)
        except KeyboardInterrupt:
            pass
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._end()

    def _look(self) -> Content | None:
        """Content that is new, if there is any."""
        began = time.monotonic()
        content = self._source.look()
        self._pause_s = min(max(LOOK_S, 10 * (time.monotonic() - began)), MAX_LOOK_S)
        if content is not None:
            self._say("a file has changed, loading again")
        return content

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
            self._make_room(self._plan.other)
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
                return self._give_up(new, "ends the process")
            if now - began > self._patience_s:
                self._stop(new)
                return self._give_up(new, f"does not end within {self._patience_s:.0f} s")
            if now - looked > self._pause_s:
                looked = now
                newer = self._look()
                if newer is not None:
                    return newer
        self._take_over(new)
        return None

    def _give_up(self, slot: str, how: str) -> Content | None:
        """Of a worker that does not get ready: the content without the app that it was loading, if it has told."""
        told = importing_file(self._settings.run, self._plan.address, slot)
        name = told.read_text("utf-8", "surrogateescape") if told.exists() else ""
        told.unlink(missing_ok=True)
        instead = self._source.without(name, f"loading it {how}") if name else None
        before = self._workers.get(self._plan.active)
        goes_on = instead is None and before is not None and before.poll() is None
        self._say(f"{name or 'the change'}: loading it {how}{'; what ran before goes on' if goes_on else ''}")
        return instead

    def _take_over(self, new: str) -> None:
        old = self._plan.active
        self._plan = self._plan.with_active(new)
        path = slot_socket(self._settings.run, self._plan.address, old)
        if path.exists():
            client.post(path, "/drain")
        else:
            self._stop(old)  # it never got so far as to serve, and would not hear
        self._say("loaded")

    def _make_room(self, slot: str) -> None:
        """A worker that drains from the change before has a moment for its last requests; one that loads has none."""
        if slot in self._workers and slot_socket(self._settings.run, self._plan.address, slot).exists():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._workers[slot].wait(GRACE_S)
        self._stop(slot)

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
