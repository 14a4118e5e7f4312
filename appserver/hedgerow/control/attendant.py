"""`python -m hedgerow.control.attendant PLAN SLOT`: attends to a server that an app brings itself (`run` in app.toml).

It stands in a slot where a worker would: makes the socket, starts the command with it, asks it for an answer, says
"ready" on the control socket, starts the command again when it ends, and lets it go when another slot has taken over.

    loading → ready → draining (another slot has taken over) or leaving (the whole replica goes) → gone

Each slot has a socket of its own, since no other server can be asked to leave the next client to its successor: a link
leads those who send to the pool to the slot that was ready last. So all that is wanted of a server is that it listens
on a socket that it is given, and that it can be ended once nobody is connected.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config import Settings
from ..errors import HedgerowError, UserError
from ..hosting.manifest import Manifest, read_manifest
from ..hosting.mounts import mount_of
from . import client, command, logs, process, wear
from .child import told
from .endpoint import serve_status
from .plan import Content, importing_file, pool_link, pool_listener, read_plan, slot_socket

BACKLOG = 4096
FD = 3  # as systemd gives it (sd_listen_fds)
POLL_S = 0.05
ASK_EVERY_S, ASK_FOR_S, SILENT_TIMES = 10.0, 5.0, 3
END_S = 5.0  # for SIGTERM, before SIGKILL
COPY_S = 1.0  # for its last words
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0


class Attendant:
    """See the module's docstring."""

    def __init__(self, settings: Settings, group: str, slot: str, generation: int, content: Content) -> None:
        self.state, self.error = "loading", ""
        self._settings, self._group, self._slot, self._generation = settings, group, slot, generation
        [(app, code)] = content.apps.items()
        self._app, self._code, self._environment = app, Path(code), content.environment
        self._manifest: Manifest = read_manifest(self._code)
        self._mount = mount_of(app, self._manifest.mount, self._manifest.host)
        self._path = pool_listener(settings.run, f"{group}-{slot}")
        self._started = self._ready = time.monotonic()
        self._wear = wear.Wear(settings, self._manifest.limits.memory_mb)
        self._end = float("inf")
        self._wake = threading.Event()
        self._server: subprocess.Popen[bytes] | None = None
        self._restarts = 0

    def run(self) -> int:
        """Until the server is to end, and has ended. Returns the exit status."""
        self._listen()
        importing = importing_file(self._settings.run, self._group, self._slot)
        importing.write_text(self._app, "utf-8", "surrogateescape")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.leave())
        try:
            self._start()
            if (status := self._becomes_ready()) is not None:
                return max(status, 1)
            importing.unlink(missing_ok=True)
            # Only now: whoever finds it finds a server that is ready.
            serve_status(slot_socket(self._settings.run, self._group, self._slot), self.status, self._hear)
            self._serve()
        finally:
            self._stop()
            for left in (self._path, slot_socket(self._settings.run, self._group, self._slot)):
                left.unlink(missing_ok=True)
        return 0

    def status(self) -> dict[str, Any]:
        """As a worker tells it."""
        up = self.state != "loading" and not self.error
        memory_bytes = _memory_bytes(self._server.pid) if self._server else 0
        return {
            "address": self._group,
            "slot": self._slot,
            "generation": self._generation,
            "pid": os.getpid(),
            "state": self.state,
            "age_s": round(time.monotonic() - self._started, 1),
            "requests": 0,
            "in_flight": self._clients(),
            "memory_bytes": memory_bytes,
            "worn": self._wear.look(time.monotonic() - self._ready, 0, memory_bytes),
            "log_dropped": 0,
            "apps": [
                {
                    "name": self._app,
                    "mount": self._mount.path or "/",
                    "host": self._mount.host,
                    "state": "up" if up else "down",
                    "error": self.error,
                    "traceback": "",
                    "findings": [],
                }
            ],
        }

    def leave(self) -> None:
        """The replica goes."""
        self._let_go("leaving", self._settings.drain_s)

    def _hear(self, target: str) -> bool:
        if target == "/drain":
            self._let_go("draining", self._settings.swap_drain_s)
        elif target == "/leave":
            self.leave()
        return target in ("/drain", "/leave")

    def _let_go(self, state: str, limit_s: float) -> None:
        self.state = state
        self._end = min(self._end, time.monotonic() + limit_s)
        self._wake.set()

    # The server.

    def _listen(self) -> None:
        """Its socket is ours, so that nobody is refused while it is started again."""
        self._path.unlink(missing_ok=True)
        if "{socket}" in (self._manifest.run or ""):
            return  # it makes the socket itself
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self._path))
        listener.listen(BACKLOG)
        os.dup2(listener.detach(), FD, inheritable=True)

    def _start(self) -> None:
        line = self._manifest.run or ""
        base = command.base_environment(self._settings)
        environ = command.environment(self._app, self._code, self._settings, base, self._environment)
        values = {"{fd}": str(FD), "{socket}": str(self._path), "{mount}": self._mount.path}
        words = [_filled(word, values) for word in shlex.split(line)]
        environ["HEDGEROW_MOUNT"] = self._mount.path
        given = [] if "{socket}" in line else [FD]
        if given:
            environ |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "http", "HEDGEROW_FD": str(FD)}
        limit_mb = self._manifest.limits.memory_mb
        limit = f"ulimit -d {limit_mb * wear.MB // 1024}; " if limit_mb else ""
        words, ours = command.apart(["/bin/sh", "-c", f'{limit}LISTEN_PID=$$ exec "$@"', "sh", *words], environ)
        self._server = subprocess.Popen(
            process.tied_to(os.getpid(), words, "app"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ours,
            cwd=environ["PWD"],
            pass_fds=given,
            process_group=0,
        )
        self._copier = threading.Thread(target=_copy, args=(self._server, self._app), name="output", daemon=True)
        self._copier.start()

    def _becomes_ready(self) -> int | None:
        """Waits until it answers, or ends with this status. How long that may take is for who started us to say."""
        while self._end == float("inf"):
            if self._server is not None and (status := self._server.poll()) is not None:
                log("error", f"{self._app}: run = {self._manifest.run!r} ends with {told(status)}", app=self._app)
                self._copier.join(COPY_S)
                return status
            if self._answers():
                self._take_over()
                break
            self._wake.wait(POLL_S)
        return None

    def _take_over(self) -> None:
        """From now on clients come here."""
        link, beside = pool_link(self._settings.run, self._group), self._path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(self._path.name)
        beside.replace(link)
        self.state, self._ready = "ready", time.monotonic()
        log("info", f"ready: {self._manifest.run}", app=self._app)

    def _serve(self) -> None:
        silent, asked, wait_s = 0, time.monotonic(), FIRST_WAIT_S
        while time.monotonic() < self._end and not (self.state == "draining" and not self._clients()):
            self._wake.wait(POLL_S if self._end < float("inf") else 1.0)
            now = time.monotonic()
            if self._server is not None and (status := self._server.poll()) is not None:
                self.error = f"{self._app}: run = {self._manifest.run!r} has ended with {told(status)}"
                log("error", f"{self.error}; it is started again", app=self._app)
                self._wake.wait(wait_s)
                wait_s = min(LONGEST_WAIT_S, 2 * wait_s)
                self._start()
                asked = now - ASK_EVERY_S + 1
            elif now - asked >= ASK_EVERY_S:
                asked = now
                silent = 0 if self._answers() else silent + 1
                if not silent:
                    self.error, wait_s = "", FIRST_WAIT_S
                elif silent == SILENT_TIMES:
                    log("error", f"{self._app}: it has not answered {silent} times; it is started again", app=self._app)
                    self._stop()
                    silent = 0

    def _answers(self) -> bool:
        """Whether it answers at all; what a release's first answer must be like is asked by its trial."""
        connection = client.UnixConnection(self._path, ASK_FOR_S)
        headers = {"Host": self._mount.host or "localhost"} | client.prefix(self._mount.path)
        try:
            connection.request("GET", self._manifest.deploy.warmup, headers=headers)
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def _clients(self) -> int:
        """How many are connected: the kernel tells the name of the socket that they came by."""
        with contextlib.suppress(OSError):
            lines = Path("/proc/net/unix").read_text("utf-8", "surrogateescape").splitlines()
            return sum(line.endswith(f" {self._path}") and line.split()[5] == "03" for line in lines)
        return 0

    def _stop(self) -> None:
        server = self._server
        if server is None:
            return
        if server.poll() is None:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(END_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _filled(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word


def _copy(server: subprocess.Popen[bytes], app: str) -> None:
    """What it prints, as lines of our log."""
    for line in server.stdout or ():
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        log("info", text, "app", app=app)


def log(level: str, message: str, kind: str = "attendant", **more: str) -> None:
    """A JSON line."""
    print(logs.written(kind, level, message, **more), flush=True)


def _memory_bytes(top: int) -> int:
    """Of a process and all that it has started."""
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{top}/task/{top}/children").read_text().split()
        return wear.resident_bytes(top) + sum(_memory_bytes(int(child)) for child in children)
    return 0


def main(plan: str, slot: str) -> int:
    found = read_plan(Path(plan))
    entry = found.slots.get(slot)
    if entry is None or not entry.content.run:
        raise UserError(f"{plan}: slot {slot} has no command to run")
    return Attendant(Settings.from_env(), found.address, slot, entry.generation, entry.content).run()


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except HedgerowError as error:
        sys.exit(f"hedgerow attendant: {error}")
