"""What the way over a worker costs a large file: the front against a bare nginx with the same file, in turns; by hand.

pytest -s -m slow tests/live/test_front_files_figures.py
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from front_support import Client, binaries, free_ports, running, wait_for
from test_front_files import Port, short_folder, worker
from worker_support import APPS, listening

from hedgerow.control import releases

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "bench"))

from meter import tree_cpu_s  # beside the benchmarks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SIZE = 2**30
ROUNDS = 25
BARE = """\
daemon off; worker_processes auto; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 512; }}
http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
  fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; root {root}; }} }}
"""


@contextmanager
def bare(folder: Path, root: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    folder.chmod(0o755)
    (port,) = free_ports(1)
    (folder / "bare.conf").write_text(BARE.format(folder=folder, port=port, root=root))
    process = subprocess.Popen([binaries()[0].path, "-p", f"{folder}/", "-c", "bare.conf", "-e", "stderr"])
    try:
        wait_for(lambda: answers(port), "the bare nginx")
        yield port, process
    finally:
        process.terminate()
        process.wait()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def taken_s(port: int, target: str, into: bytearray, nginx: int) -> tuple[float, float]:
    """Wall time and CPU time of nginx, for the whole file."""
    before, began, received = tree_cpu_s(nginx), time.perf_counter(), 0
    with Client(port) as client:
        client.head("GET", target)
        while received < SIZE:
            count = client.socket.recv_into(into)
            assert count, "the file did not come whole"
            received += count
    return time.perf_counter() - began, tree_cpu_s(nginx) - before


def test_a_gibibyte_is_sent_as_quickly_as_by_a_bare_nginx() -> None:
    """By the CPU time: by the wall the same nginx differs by a fifth from one round to the next."""
    with short_folder() as place, listening() as listener:
        place.chmod(0o755)
        source, state = place / "apps" / "files", place / "state"
        (source / "static").mkdir(parents=True)
        (source / "app.py").write_bytes((APPS / "files" / "app.py").read_bytes())
        with open(source / "static" / "large.bin", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, SIZE)
        static = releases.make(source, state).code / "static"
        into = bytearray(2**20)
        with (
            worker(state, place / "run", listener) as served,
            running(place, binaries()[0], [Port(served.address[1])], state=state) as front,
            bare(place, static) as (port, process),
        ):
            ways = {
                "front": (front.port, "/files/static/large.bin", into, front.process.pid),
                "bare": (port, "/large.bin", into, process.pid),
            }
            times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
            for number in range(ROUNDS + 1):  # the first fills the page cache
                for name in sorted(ways, reverse=bool(number % 2)):
                    times[name].append(taken_s(*ways[name]))
            assert front.last_line(ROUNDS + 1)["round"] == "file"
        ours, its = (zip(*times[name][1:], strict=True) for name in ways)
        wall, cpu = (statistics.median(b) / statistics.median(a) for a, b in zip(ours, its, strict=True))
        print(f"\nof bare nginx: {cpu:.1%} by CPU, {wall:.1%} by the wall, {ROUNDS} rounds; {times['front'][-1]}")
        assert cpu >= 0.95
        for folder, _, _ in os.walk(place):
            os.chmod(folder, 0o700)
