"""The stack of one state on this machine: who holds it, how supervisord is started and ended."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from ..config import Settings
from ..errors import UserError
from . import client, local, process, supervisor
from .client import ControlError
from .plan import SLOTS, slot_socket

POLL_S = 0.1
KILLED_S = 20.0
PORTS_S = 30.0


def _lock(fd: int) -> bool:
    """Locks a file as long as a copy of this descriptor lives; closes it and says False if somebody has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return False
    return True


class Hold:
    """The lock on a state. supervisord inherits it: it is held until both are gone, however they die.

    It lies in the state, since two runs of one state need not agree on a run folder; it tells where that is.
    """

    def __init__(self, state: Path) -> None:
        self._path = state / "up.lock"
        self.fds: list[int] = []

    def take(self, run: Path) -> bool:
        """Takes the lock for this process; False if somebody has it. Raises UserError if the run folder is in use."""
        if self.is_held:  # asked first: it may be another user's, which we may read only
            return False
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not _lock(fd):
            return False
        folder = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if not _lock(folder):
            raise UserError(f"{run}: the stack of another state runs there; HEDGEROW_RUN names another folder")
        os.truncate(fd, 0)
        os.write(fd, json.dumps({"pid": os.getpid(), "started": started(os.getpid()), "run": str(run)}).encode())
        self.fds = [fd, folder]
        return True

    @property
    def is_held(self) -> bool:
        """Whether a stack runs on this state."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that ask do not see each other
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    @property
    def holder(self) -> int | None:
        """The process that took the lock, if it still is that process: a number may belong to somebody else by now."""
        told = self._told()
        pid = told.get("pid")
        return pid if pid and started(pid) == told.get("started") else None

    @property
    def supervisord(self) -> int | None:
        """The supervisord of the run folder that the lock names. It has meaning only while the lock is held."""
        try:
            return int((Path(self._told()["run"]) / "supervisord.pid").read_text())
        except (OSError, ValueError, KeyError):
            return None

    def _told(self) -> dict[str, Any]:
        try:
            told = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}


class PortsHold:
    """One start of a stack at a time: from the choice of free ports until the stack listens on them.

    For all states of one user, so it lies in /tmp, where all of the user's processes look, and not in a state.
    """

    def __init__(self, folder: Path = Path("/tmp")) -> None:  # noqa: S108 - a lock of our own, opened without links
        self._path = folder / f"hedgerow-{os.getuid()}-ports.lock"
        self._fd = -1

    def take(self, patience_s: float = PORTS_S) -> None:
        """Waits for another start. Raises UserError when it does not get on."""
        end = time.monotonic() + patience_s
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            if _lock(fd):
                self._fd = fd
                return
            if time.monotonic() > end:
                raise UserError("another `hedgerow up` of this user is starting and does not get on")
            time.sleep(POLL_S)

    def give(self) -> None:
        """Lets the next one choose. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def started(pid: int) -> str | None:
    """When a process began, in the kernel's ticks; None if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def prepare(settings: Settings, nginx: list[str] | None = None, copy_stdout: bool = False) -> Path:
    """Writes supervisord's configuration and removes what an earlier run left. Nothing of this state may be running."""
    supervisor.check_paths(settings)
    for pattern in ("*.sock", "*.http", "*.run", "*.asleep", "plans/*", "pools/*", "supervisord.pid"):
        for left in settings.run.glob(pattern):
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
        self._supervisor = supervisor.Supervisor(settings.run)
        self._keepers = {f"{address}:c": int(address) for address in settings.addresses}
        with (supervisor.log_folder(settings) / "supervisord.log").open("ab") as log:
            self._process = subprocess.Popen(
                process.tied_to(os.getpid(), supervisord(configuration)),
                env=os.environ | settings.to_env(),
                stdin=subprocess.DEVNULL,
                stderr=log,  # a traceback of supervisord's is nothing for the terminal
                pass_fds=hold.fds,
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

    @property
    def listens(self) -> bool:
        """Whether each address is held by its keeper and the front listens: nobody else can have these ports."""
        return not self._unkept() and self.front_listens

    @property
    def front_listens(self) -> bool:
        return not local.is_free("0.0.0.0", self._settings.port)  # noqa: S104 - where the front listens

    def lost_ports(self) -> list[int]:
        """The addresses' ports that somebody else has."""
        busy = [port for port in self._keepers.values() if not local.is_free(self._settings.address_host, port)]
        unkept = self._unkept()  # asked after: a keeper may have come just now
        return [port for port in busy if port in unkept]

    def _unkept(self) -> list[int]:
        try:
            found = self._supervisor.processes()
        except ControlError:
            found = {}
        return [port for name, port in self._keepers.items() if name not in found or not found[name].pid]

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
        sockets = [slot_socket(settings.run, address, slot) for slot in SLOTS]
        if not any(client.is_ready(path) for path in sockets):
            return f"address {address} has no worker that is ready"
    return None


def end(state: Path, patience_s: float) -> bool:
    """Ends the stack of this state and waits; False if none ran."""
    hold = Hold(state)
    if not hold.is_held:
        return False
    pid = hold.holder or hold.supervisord
    if pid is not None:
        _signal(pid, signal.SIGTERM)
    if _wait_free(hold, patience_s):
        return True
    for left in filter(None, (hold.holder, hold.supervisord)):
        _signal(left, signal.SIGKILL)
    if not _wait_free(hold, KILLED_S):
        raise ControlError(f"the stack of {state} does not end")
    return True


def refuse_second(hold: Hold, state: Path, run: Path) -> None:
    """Takes the lock or tells who has it."""
    if not hold.take(run):
        who = f" (process {hold.holder})" if hold.holder else ""
        raise UserError(f"{state} is in use by a running stack{who}; `hedgerow down --state {state}` ends it")


def _signal(pid: int, how: signal.Signals) -> None:
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise ControlError(f"process {pid} runs the stack and is another user's") from error


def _wait_free(hold: Hold, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while hold.is_held:
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True
