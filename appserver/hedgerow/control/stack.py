"""The stack of one state on this machine: who holds it, how supervisord is started and ended."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from ..config import Settings
from ..errors import UserError
from . import client, process, supervisor
from .client import ControlError

POLL_S = 0.1
KILLED_S = 20.0


class Hold:
    """The lock on a run folder. supervisord inherits it: it is held until both are gone, however they die."""

    def __init__(self, run: Path) -> None:
        self._path = run / "up.lock"
        self._fd = -1

    def take(self) -> bool:
        """Takes the lock for this process; False if somebody has it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        os.truncate(fd, 0)
        os.write(fd, json.dumps({"pid": os.getpid(), "started": started(os.getpid())}).encode())
        self._fd = fd
        return True

    @property
    def fd(self) -> int:
        return self._fd

    @property
    def is_held(self) -> bool:
        """Whether a stack runs here."""
        if not self._path.exists():
            return False
        fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    @property
    def holder(self) -> int | None:
        """The process that took the lock, if it still is that process: a number may belong to somebody else by now."""
        try:
            told = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return None
        pid = told.get("pid")
        return pid if pid and started(pid) == told.get("started") else None


def started(pid: int) -> str | None:
    """When a process began, in the kernel's ticks; None if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def prepare(settings: Settings, nginx: list[str] | None = None, copy_stdout: bool = False) -> Path:
    """Writes supervisord's configuration and removes what an earlier run left. Nothing of this state may be running."""
    supervisor.check_paths(settings)
    for left in (*settings.run.glob("*.sock"), *settings.run.glob("plans/*"), settings.run / "supervisord.pid"):
        left.unlink(missing_ok=True)
    supervisor.log_folder(settings).mkdir(parents=True, exist_ok=True)
    path = settings.run / "supervisord.conf"
    path.write_text(supervisor.render(settings, nginx, copy_stdout), "utf-8")
    return path


def supervisord(configuration: Path) -> list[str]:
    """The command line of supervisord in the foreground."""
    return process.python("-m", "supervisor.supervisord", "--nodaemon", "-c", str(configuration))


class Stack:
    """supervisord as our child. It dies with us, and everything dies with it."""

    def __init__(self, settings: Settings, configuration: Path, hold: Hold) -> None:
        self._settings = settings
        os.set_inheritable(hold.fd, True)
        self._process = subprocess.Popen(
            process.tied_to(os.getpid(), supervisord(configuration)),
            env=os.environ | settings.to_env(),
            stdin=subprocess.DEVNULL,
            pass_fds=[hold.fd],
            process_group=0,  # Ctrl-C is for us; we end it in the right order
        )

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Begins to end it: nginx first, then all workers together."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once; the kernel ends what it started."""
        self._process.kill()

    def wait(self) -> None:
        self._process.wait()

    def is_ready(self) -> bool:
        """Whether each address has a worker that serves, and the front, if there is one, runs."""
        told = client.status(self._settings.run / "deployer.sock") or {}
        front = told.get("front")
        addresses = told.get("addresses") or [{}]
        return all(one.get("ready") for one in addresses) and (not front or bool(front["pid"]))

    def broken(self) -> dict[str, str]:
        """Apps that have no release, or that their worker could not load, and why."""
        told = client.status(self._settings.run / "deployer.sock") or {}
        found = dict(told.get("broken", {}))
        for address in told.get("addresses", []):
            for slot in address["slots"].values():
                found |= {app["name"]: str(app["error"]) for app in slot.get("apps", []) if app["state"] != "up"}
        return found


def is_healthy(settings: Settings) -> str | None:
    """None when each address has a worker that serves; else a sentence. Asks the workers, not the deployer."""
    for address in settings.addresses:
        sockets = [supervisor.slot_socket(settings.run, address, slot) for slot in ("a", "b")]
        if not any(client.is_ready(path) for path in sockets):
            return f"address {address} has no worker that is ready"
    return None


def end(state: Path, run: Path, patience_s: float) -> bool:
    """Ends the stack of this state and waits; False if none ran."""
    hold = Hold(run)
    if not hold.is_held:
        return False
    pid = hold.holder or _supervisord(run)
    if pid is not None:
        _signal(pid, signal.SIGTERM)
    if _wait_free(hold, patience_s):
        return True
    for left in filter(None, (hold.holder, _supervisord(run))):
        _signal(left, signal.SIGKILL)
    if not _wait_free(hold, KILLED_S):
        raise ControlError(f"the stack of {state} does not end")
    return True


def refuse_second(hold: Hold, state: Path) -> None:
    """Takes the lock or tells who has it."""
    if not hold.take():
        who = f" (process {hold.holder})" if hold.holder else ""
        raise UserError(f"{state} is in use by a running stack{who}; `hedgerow down --state {state}` ends it")


def _supervisord(run: Path) -> int | None:
    try:
        return int((run / "supervisord.pid").read_text())
    except (OSError, ValueError):
        return None


def _signal(pid: int, how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)


def _wait_free(hold: Hold, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while hold.is_held:
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True
