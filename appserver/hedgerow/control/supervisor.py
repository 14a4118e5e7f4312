"""supervisord: its configuration, and a small typed client of its XML-RPC on a unix socket.

Foreign exceptions end in `Supervisor._ask`. Nothing here decides; policy.py does.
"""

from __future__ import annotations

import http.client
import math
import os
import re
import shlex
import string
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import Settings
from ..errors import UserError
from . import process
from .client import MAX_SOCKET_PATH, ControlError, UnixConnection
from .plan import pool_listener

BACKLOG = 4096
# Above the drain, so that supervisord never kills a worker that is about to leave by itself.
STOP_MARGIN_S = 4
DEPLOYER_STOP_S = 5
ALIVE = ("STARTING", "RUNNING", "BACKOFF", "STOPPING")
# In supervisord's file these would begin a comment, end a line, or be expanded.
UNWRITABLE = re.compile(r"\s[;#]|[\n\r%\"'\\]")


@dataclass(frozen=True)
class ProcessInfo:
    """What supervisord knows of one process. name: `group:process`."""

    name: str
    state: str
    pid: int
    started: float
    exit_status: int
    trouble: str

    @property
    def is_alive(self) -> bool:
        """It runs, or supervisord will start it again by itself."""
        return self.state in ALIVE


class Supervisor:
    """The verbs of supervisord that are used here. Each raises ControlError when it cannot be done."""

    def __init__(self, run: Path) -> None:
        self._proxy = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=_Transport(run / "supervisor.sock"))

    def processes(self) -> dict[str, ProcessInfo]:
        return {info.name: info for info in map(_info, self._ask("getAllProcessInfo"))}

    def start(self, name: str) -> None:
        self._ask("startProcess", name, False)

    def stop(self, name: str) -> None:
        self._ask("stopProcess", name, False)

    def add(self, group: str) -> None:
        """Takes over a group whose file has been written."""
        self._ask("reloadConfig")
        self._ask("addProcessGroup", group)

    def remove(self, group: str) -> None:
        """Forgets a group that has ended. Its file must be gone."""
        self._ask("removeProcessGroup", group)
        self._ask("reloadConfig")

    def shutdown(self) -> None:
        self._ask("shutdown")

    def _ask(self, verb: str, *arguments: Any) -> Any:
        try:
            return getattr(self._proxy.supervisor, verb)(*arguments)
        except xmlrpc.client.Fault as error:
            raise ControlError(f"supervisord refuses {verb}{arguments}: {error.faultString}") from error
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise ControlError(f"supervisord does not answer {verb}: {error}") from error


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        self.close()
        connection = UnixConnection(self.path, timeout_s=5.0)
        self._connection = host, connection  # the base class closes it when a call fails
        return connection


def _info(told: dict[str, Any]) -> ProcessInfo:
    name = f"{told['group']}:{told['name']}" if told["group"] != told["name"] else told["name"]
    return ProcessInfo(name, told["statename"], told["pid"], told["start"], told["exitstatus"], told["spawnerr"])


def render(settings: Settings, nginx: list[str] | None = None, copy_stdout: bool = False) -> str:
    """The text of supervisord.conf. nginx: its command line in the foreground, if this replica runs one.

    copy_stdout: this process will become supervisord, and log lines are to come out of its stdout.
    """
    logs = log_folder(settings)
    for path in (logs, settings.run):
        if UNWRITABLE.search(str(path)):
            raise UserError(f"{path}: supervisord's configuration cannot hold this path; use a simpler one")
    more = {
        "minfds": str(2048 + 16 * settings.workers),
        "user": "user=root" if os.getuid() == 0 else "",  # says that it is meant; only then supervisord is content
        "nginx_stopwaitsecs": str(_nginx_stop_s(settings)),
        "deployer_stopwaitsecs": str(DEPLOYER_STOP_S),
    }
    common = _common(settings) | more
    parts = [_fill("conf", common)]
    for address in settings.addresses:
        socket = f"tcp://{settings.address_host}:{address}"
        parts.append(_fill("group", common | {"group": address, "socket": socket, "priority": "500"}))
    if nginx:
        parts.append(_fill("nginx", common | {"command": shlex.join(nginx)}))
    if copy_stdout:
        parts.append(_fill("stdout", common | {"replica": shlex.quote(settings.replica), "pid": str(os.getpid())}))
    return "".join(parts)


def write_pool(settings: Settings, pool: str) -> None:
    """The file of a pool's group, which supervisord includes."""
    path = pool_file(settings.run, pool)
    path.parent.mkdir(exist_ok=True)
    own = {"group": pool, "socket": f"unix://{pool_listener(settings.run, pool)}", "priority": "400"}
    beside = path.with_suffix(".new")  # by half it would spoil every further change of groups
    beside.write_text(_fill("group", _common(settings) | own), "utf-8")
    beside.replace(path)


def pool_file(run: Path, pool: str) -> Path:
    return run / "pools" / f"{pool}.conf"


def _common(settings: Settings) -> dict[str, str]:
    return {
        "logs": str(log_folder(settings)),
        "run": str(settings.run),
        "python": shlex.join(process.python()),
        "backlog": str(BACKLOG),
        "stopwaitsecs": str(_worker_stop_s(settings)),
    }


def _fill(name: str, values: dict[str, str]) -> str:
    text = Path(__file__).with_name(f"supervisord.{name}.in").read_text("utf-8")
    # supervisord expands what follows a %; the template's own are left alone.
    return string.Template(text).substitute({key: value.replace("%", "%%") for key, value in values.items()})


def stop_s(settings: Settings) -> int:
    """How long supervisord may take to end: nginx, then all workers together, then the deployer."""
    return _nginx_stop_s(settings) + _worker_stop_s(settings) + DEPLOYER_STOP_S


def _nginx_stop_s(settings: Settings) -> int:
    """A request that runs has the time of a drain, also when it is the front that is asked to end."""
    return math.ceil(settings.drain_s) + 1


def _worker_stop_s(settings: Settings) -> int:
    return math.ceil(settings.drain_s) + STOP_MARGIN_S


def log_folder(settings: Settings) -> Path:
    return settings.state / "logs" / settings.replica


def check_paths(settings: Settings) -> None:
    """Fails before anything starts if a socket's path would be too long for the kernel."""
    longest = settings.run / "supervisor.sock.1234567"  # supervisord binds beside the name, with its process id
    if len(os.fsencode(longest)) > MAX_SOCKET_PATH:
        raise UserError(
            f"{settings.run}: too long for the {MAX_SOCKET_PATH} bytes of a socket's path; set a shorter HEDGEROW_RUN"
        )
