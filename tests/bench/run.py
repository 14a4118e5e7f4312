"""`make bench`: the CPU time a request costs, ours against a peer's, in alternating rounds of one run.

CPU (user and system, of the whole process tree) is divided by the answers counted; wall time is not used, since
a shared machine's is noise. Exit status 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import load

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")
BAR = 0.25


def tree_cpu_s(pid: int) -> float:
    """User and system seconds of a process and its living descendants."""
    children: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        number = int(entry.parent.name)
        children.setdefault(int(fields[1]), []).append(number)
        used[number] = (int(fields[11]) + int(fields[12])) / TICKS
    total, todo = 0.0, [pid]
    while todo:
        one = todo.pop()
        total += used.get(one, 0.0)
        todo += children.get(one, [])
    return total


def hedgerow(listener: socket.socket, folder: Path) -> list[str]:
    """One worker, the access log on."""
    return [sys.executable, "-m", "hedgerow.worker", str(write_plan(folder)), "a"]


def write_plan(folder: Path) -> Path:
    """A plan of one slot that runs the hello function."""
    plan = folder / "plan.json"
    entry = {"generation": 1, "callable": "hello:application", "path": str(HERE)}
    plan.write_text(json.dumps({"address": "bench", "active": "a", "slots": {"a": entry, "b": None}}))
    return plan


def gunicorn_gevent(listener: socket.socket, folder: Path) -> list[str]:
    """The peer: the same kind of worker, the access log on."""
    return [
        sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "1", "--no-control-socket", "--access-logfile", "-",
        "--keep-alive", "75", "-b", f"fd://{listener.fileno()}", "--chdir", str(HERE), "hello:application",
    ]  # fmt: skip


@contextmanager
def serving(make_command: object, folder: Path) -> Iterator[tuple[int, tuple[str, int]]]:
    """A server in a process of its own: (pid, address). It gets the listener as fd 0 and under its own number."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.set_inheritable(True)
    environ = os.environ | {"HEDGEROW_RUN": str(folder), "HEDGEROW_STATE": str(folder)}
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            make_command(listener, folder),
            stdin=listener,
            stdout=log,
            stderr=log,
            env=environ,
            pass_fds=[listener.fileno()],
        )
        try:
            address = listener.getsockname()
            load.first_answer(address, load.request_bytes("/"))
            yield process.pid, address
        finally:
            process.terminate()
            process.wait(20)
            listener.close()


def measure(make_command: object, folder: Path, connections: int, seconds: float) -> float:
    """CPU microseconds a request."""
    with serving(make_command, folder) as (pid, address):
        load.run(address, "/", connections, 0.5)
        before = tree_cpu_s(pid)
        answers = load.run(address, "/", connections, seconds)
        return (tree_cpu_s(pid) - before) / answers * 1e6


def main() -> int:
    """Print the table; 0 when the bar is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    servers = {"hedgerow": hedgerow, "gunicorn gevent": gunicorn_gevent}
    figures: dict[str, list[float]] = {name: [] for name in servers}
    with tempfile.TemporaryDirectory(prefix="hedgerow-bench-") as folder:
        for turn in range(options.rounds):
            for name, command in servers.items():
                figures[name].append(measure(command, Path(folder), options.connections, options.seconds))
                print(f"round {turn + 1}: {name:16} {figures[name][-1]:7.1f} CPU µs a request", flush=True)
    ratio = statistics.median(ours / theirs for ours, theirs in zip(*figures.values(), strict=True))
    print(
        f"\nhello function, 13 headers, keep-alive, {options.connections} connections, access log on; "
        f"Python {platform.python_version()}, gevent {version('gevent')}, gunicorn {version('gunicorn')}, "
        f"{time.strftime('%Y-%m-%d')}"
    )
    for name, values in figures.items():
        spread = f"{min(values):.1f} to {max(values):.1f}"
        print(f"{name:16} median {statistics.median(values):7.1f} CPU µs a request ({spread})")
    print(f"ratio            median {ratio:7.3f} (bar {BAR})")
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
