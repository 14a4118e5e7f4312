"""The first act of every process that supervisord starts: tie its life to supervisord's, then become what it is to be.

    python -m hedgerow.control.process GROUP a|b        a worker of an address or a pool
    python -m hedgerow.control.process GROUP c          its keeper
    python -m hedgerow.control.process nginx -- CMD…    any command, ended with SIGTERM when supervisord dies
    python -m hedgerow.control.process parent=PID -- …  any command, ended with SIGTERM when that parent dies
    python -m hedgerow.control.process app=PID -- …     the same, of an app

PR_SET_PDEATHSIG outlives an exec, so after a `kill -9` of supervisord nobody is left on its ports. This file imports
little: it runs for each start of each process.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
# Each connection is a descriptor. supervisord keeps a low limit: it closes every possible one in each child.
MOST_DESCRIPTORS = 65_536
# Who is ended first when the machine is out of memory: an app, then several, and only then us. The kernel counts such a
# point as a thousandth of the memory.
ALONE, TOGETHER = 400, 200


KEPT = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "PWD", "HOSTNAME", "TERM",
    "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY",
    "HTTPS_PROXY", "NO_PROXY", "VIRTUAL_ENV", "MALLOC_ARENA_MAX",
})  # fmt: skip
KEPT_PREFIXES = ("HEDGEROW_", "PYTHON", "LC_", "GEVENT")


def main(argv: list[str]) -> None:
    what, rest = argv[0], argv[1:]
    if rest[0] == "c":
        die_with_parent(signal.SIGKILL, supervisord_pid())
        # `sleep` holds descriptor 0, which is all a keeper does, in a hundredth of the memory of a Python.
        os.execvp("sleep", ["sleep", "infinity"])
    if rest[0] == "--":
        raise_descriptors()
        whose, _, parent = what.partition("=")
        die_with_parent(signal.SIGTERM, int(parent) if parent else supervisord_pid())
        if whose == "app":
            offer(ALONE)
        os.execvp(rest[1], rest[1:])
    die_with_parent(signal.SIGTERM, supervisord_pid())
    environ = scrubbed(os.environ, os.environ.get("HEDGEROW_PASS_ENV", ""))
    plan = planned(what, rest[0])
    command = worker(run_folder(), what, rest[0], interpreter(Path(environ["HEDGEROW_STATE"]), plan.get("environment")))
    if what.isdecimal():
        command.append("ledger")
    else:
        environ["HEDGEROW_ACCESS_LOG"] = "0"  # who sends on to a pool has the line
        if plan.get("concurrency") == "threads":
            command.append("threads")
        if plan.get("run"):
            command = attendant(run_folder(), what, rest[0])
    if not plan.get("run"):  # its attendant starts it
        offer(ALONE if what.startswith("p") else TOGETHER)
    os.execve(command[0], command, environ)


def python(*arguments: str) -> list[str]:
    """A command line of this interpreter. -P: what lies in the current folder is not imported by accident."""
    return [sys.executable, "-P", *arguments]


def worker(run: Path, address: str, slot: str, interpreter: str = sys.executable) -> list[str]:
    """The command line of a worker; its listening socket must be descriptor 0."""
    return [interpreter, "-P", "-m", "hedgerow.worker", str(run / "plans" / f"{address}.json"), slot]


def interpreter(state: Path, environment: str | None) -> str:
    """The Python of an environment, '' or None for ours."""
    return str(state / "environments" / environment / "bin" / "python") if environment else sys.executable


def attendant(run: Path, group: str, slot: str) -> list[str]:
    """The command line of who stands in a slot for a server that is not ours."""
    return python("-m", "hedgerow.control.attendant", str(run / "plans" / f"{group}.json"), slot)


def planned(group: str, slot: str) -> dict[str, Any]:
    """A slot's part of its group's plan; empty if there is none: who reads it properly tells what is wrong."""
    try:
        told = json.loads((run_folder() / "plans" / f"{group}.json").read_text())["slots"][slot]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return told if isinstance(told, dict) else {}


def scrubbed(environ: Mapping[str, str], passed: str) -> dict[str, str]:
    """What apps' processes get of our variables: what says where and in which language they run, and `passed`, names
    with spaces or commas between. What else there is may be secrets of whoever started us.
    """
    names = KEPT.union(passed.replace(",", " ").split())
    return {key: value for key, value in environ.items() if key in names or key.startswith(KEPT_PREFIXES)}


def tied_to(parent: int, command: list[str], whose: str = "parent") -> list[str]:
    """The command line that runs `command` and ends it with SIGTERM when `parent`, who starts it, dies. whose: `app`
    for one of an app.
    """
    return [*python("-m", "hedgerow.control.process"), f"{whose}={parent}", "--", *command]


def run_folder() -> Path:
    return Path(os.environ["HEDGEROW_RUN"])


def supervisord_pid() -> int:
    return int((run_folder() / "supervisord.pid").read_text())


def die_with_parent(how: signal.Signals, parent: int) -> None:
    """Lets the kernel send `how` when the parent dies; ends at once if it is dead already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(how), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("hedgerow: the process that started this one is gone")


def offer(points: int) -> None:
    """Lets the kernel end this process, and what it starts, rather than others. To raise that needs no privilege."""
    path = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError, ValueError):  # no Linux, or one that does not tell
        path.write_text(str(min(1000, int(path.read_text()) + points)))


def raise_descriptors() -> None:
    """Raises the soft limit of open files as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    main(sys.argv[1:])
