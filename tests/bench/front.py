"""The targets behind nginx: the project's own front before a server, and the floor: the same front before an nginx that
returns the bytes.
"""

from __future__ import annotations

import random
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rounds import Target
from servers import PATIENCE_S, Running

from hedgerow.config import Settings
from hedgerow.control.front import NginxBinary, find_nginx, render

FLOOR = "floor: nginx"

# The same answers as the app's, with the fields that ours has; a connection has no request limit, so it never closes.
_FLOOR_CONF = """
daemon off;
pid nginx.pid;
error_log stderr warn;
worker_processes 1;
events { worker_connections 1024; }
http {
    access_log /dev/stdout;
    keepalive_timeout 75s;
    keepalive_requests 1000000;
    server {
        listen 127.0.0.1:%(port)d backlog=1024;
        default_type text/plain;
        location / {
            add_header X-Request-Id $http_x_request_id;
            return 200 "Hello, world!";
        }
        location = /1k {
            add_header X-Request-Id $http_x_request_id;
            return 200 "%(kilobyte)s";
        }
    }
}
"""


def nginx() -> NginxBinary:
    """The one that `hedgerow up` would take."""
    binary = find_nginx()
    if binary is None:
        raise RuntimeError("there is no nginx: neither the packaged one, nor a system's that is new enough")
    return binary


@contextmanager
def before(running: Running, work: Path, addresses: int = 1) -> Iterator[Target]:
    """The front before a server that runs, with the files and the command of `hedgerow up`.

    addresses: the ports that it listens at, from the first on.
    """
    with _front(running.address[1], work, addresses) as (pid, port):
        yield Target(running.server.name, ("127.0.0.1", port), (pid, running.pid))


@contextmanager
def floor(work: Path) -> Iterator[Target]:
    """The same front before an nginx of one process."""
    folder = work / "floor"
    folder.mkdir(parents=True)
    port = _free_port()
    (folder / "nginx.conf").write_text(_FLOOR_CONF % {"port": port, "kilobyte": "x" * 1024})
    command = [str(nginx().path), "-p", f"{folder}/", "-c", "nginx.conf", "-e", "stderr"]
    with _running(command, folder, port) as backend, _front(port, work / "front") as (pid, front_port):
        yield Target(FLOOR, ("127.0.0.1", front_port), (pid, backend))


@contextmanager
def _front(backend_port: int, work: Path, addresses: int = 1) -> Iterator[tuple[int, int]]:
    work.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    settings = Settings(first_address=backend_port, workers=addresses, port=port, run=work)
    with _running(render(settings, nginx(), work / "nginx"), work, port) as pid:
        yield pid, port


@contextmanager
def _running(command: list[str], folder: Path, port: int) -> Iterator[int]:
    with (folder / "access.log").open("ab") as stdout, (folder / "error.log").open("ab") as stderr:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
    try:
        _wait_until_accepting(process, port, folder / "error.log")
        yield process.pid
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _wait_until_accepting(process: subprocess.Popen[bytes], port: int, errors: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"nginx does not accept: {errors.read_text(errors='replace')}")
        time.sleep(0.01)


def _free_port() -> int:
    """From below the range that outgoing connections get their ports from: one of those may take it before nginx."""
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(10_000, end), 1000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("0.0.0.0", port))  # noqa: S104  # as nginx does
            return port
    raise OSError("there is no free port")
