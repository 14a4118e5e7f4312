"""How each server is started: one worker, one WSGI callable, the access log and every limit on where it has them.

What lives here: a record a server, and the process in which it runs. It must not know what is asked of the servers:
that is the business of the benchmark and of the table of corner cases.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
OWN_PYTHON = Path(sys.executable)
PATIENCE_S = 20.0  # for a server to answer
GRACE_S = 5.0
KEEPALIVE_S = 75


@dataclass(frozen=True)
class Launch:
    """What a server is started with. app: MODULE:CALLABLE, found in folder; work: an empty folder for its log.

    The port is chosen by `start`.
    """

    python: Path
    app: str
    folder: Path
    work: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    port: int = 0

    @property
    def bind(self) -> str:
        return f"127.0.0.1:{self.port}"

    def module(self, *arguments: str) -> list[str]:
        """A command line that runs a module of the server's own environment."""
        return [str(self.python), "-m", *arguments]

    def script(self, text: str) -> list[str]:
        """A command line for a server that has none of its own; {module}, {callable} and {port} are filled in."""
        module, _, name = self.app.partition(":")
        return [str(self.python), "-W", "ignore", "-c", text.format(module=module, callable=name, port=self.port)]


@dataclass(frozen=True)
class Server:
    """One server. package: its distribution; access_log, limits: what is on, or why nothing is.

    takes_socket: it gets the listening socket as fd 0 instead of a port. addresses: so many ports, in a row.
    """

    name: str
    package: str
    access_log: str
    limits: str
    command: Callable[[Launch], list[str]]
    takes_socket: bool = False
    addresses: int = 1


@dataclass
class Running:
    """A server that answers. log: everything it has said, the access log included."""

    server: Server
    process: subprocess.Popen[bytes]
    address: tuple[str, int]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid


# --- the servers ------------------------------------------------------------------------------------------------------


def _hedgerow(launch: Launch) -> list[str]:
    plan = launch.work / "plan.json"
    entry = f'{{"generation": 1, "callable": "{launch.app}", "path": "{launch.folder}"}}'
    plan.write_text(f'{{"address": "8001", "active": "a", "slots": {{"a": {entry}, "b": null}}}}')
    return launch.module("hedgerow.worker", str(plan), "a")


def _bjoern(launch: Launch) -> list[str]:
    return launch.script("import bjoern, {module}; bjoern.run({module}.{callable}, '127.0.0.1', {port})")


def _fastwsgi(launch: Launch) -> list[str]:
    return launch.script("import fastwsgi, {module}; fastwsgi.run({module}.{callable}, '127.0.0.1', {port})")


def _granian(launch: Launch) -> list[str]:
    return launch.module(
        "granian", "--interface", "wsgi", "--http", "1", "--no-ws", "--workers", "1", "--blocking-threads", "1",
        "--host", "127.0.0.1", "--port", str(launch.port), "--access-log", launch.app,
    )  # fmt: skip


def _uwsgi(*listening: str) -> Callable[[Launch], list[str]]:
    def command(launch: Launch) -> list[str]:
        return [
            str(launch.python.parent / "uwsgi"), "--master", "--processes", "1", "--need-app", "--die-on-term",
            "--listen", "128", "--harakiri", "30", "--limit-post", str(2**31), "--buffer-size", "65535",
            *listening, launch.bind, "--wsgi", launch.app,
        ]  # fmt: skip

    return command


def _waitress(launch: Launch) -> list[str]:
    return launch.module("waitress", f"--listen={launch.bind}", "--threads=4", launch.app)


def _cheroot(launch: Launch) -> list[str]:
    return launch.module("cheroot", "--bind", launch.bind, "--threads", "4", launch.app)


def _pywsgi(launch: Launch) -> list[str]:
    return launch.script(
        "from gevent import monkey; monkey.patch_all()\n"
        "import gevent.pywsgi, {module}\n"
        "gevent.pywsgi.WSGIServer(('127.0.0.1', {port}), {module}.{callable}).serve_forever()"
    )


def _gunicorn(*kind: str) -> Callable[[Launch], list[str]]:
    def command(launch: Launch) -> list[str]:
        return launch.module(
            "gunicorn", *kind, "-w", "1", "--no-control-socket", "--access-logfile", "-",
            "--keep-alive", str(KEEPALIVE_S), "-b", launch.bind, launch.app,
        )  # fmt: skip

    return command


_GUNICORN_LIMITS = "request line, fields, worker time-out"

HEDGEROW = Server("hedgerow", "hedgerow", "JSON lines", "all of its own", _hedgerow, takes_socket=True)
BJOERN = Server("bjoern", "bjoern", "none: it has none", "none: it has none", _bjoern)
FASTWSGI = Server("fastwsgi", "fastwsgi", "none: it has none", "body size; it has no time limit", _fastwsgi)
GRANIAN = Server("Granian", "granian", "on", "head buffer, head time-out, backpressure; 1 blocking thread", _granian)
_UWSGI_LIMITS = "head, body, harakiri, time-out"
UWSGI = Server(
    "uWSGI",
    "uwsgi",
    "on",
    f"{_UWSGI_LIMITS}; http11-socket, 64 threads, since each holds one connection",
    _uwsgi("--threads", "64", "--http11-socket"),
)
UWSGI_ROUTER = Server(
    "uWSGI router",
    "uwsgi",
    "on",
    f"{_UWSGI_LIMITS}; its own HTTP router in front of one process",
    _uwsgi("--http-keepalive", "--http-auto-chunked", "--http-timeout", str(KEEPALIVE_S), "--http"),
)
# Each connection is closed behind its answer: its http11-socket does not tell where one without a length ends.
UWSGI_CLOSING = Server("uWSGI", "uwsgi", "on", f"{_UWSGI_LIMITS}; 8 threads", _uwsgi("--threads", "8", "--http-socket"))
WAITRESS = Server("Waitress", "waitress", "none: it has none", "head, body, connections, idle; 4 threads", _waitress)
CHEROOT = Server("cheroot", "cheroot", "none: off in its command", "time-out; 4 threads", _cheroot)
PYWSGI = Server("gevent.pywsgi", "gevent", "on", "none: it has none", _pywsgi)
GUNICORN_SYNC = Server(
    "gunicorn sync", "gunicorn", "on", f"{_GUNICORN_LIMITS}; keeps no connection", _gunicorn("-k", "sync")
)
GUNICORN_GTHREAD = Server(
    "gunicorn gthread", "gunicorn", "on", f"{_GUNICORN_LIMITS}; 4 threads", _gunicorn("-k", "gthread", "--threads", "4")
)
GUNICORN_GEVENT = Server(
    "gunicorn gevent", "gunicorn", "on", f"{_GUNICORN_LIMITS}, connections", _gunicorn("-k", "gevent")
)
GUNICORN_HEDGEROW = Server(
    "gunicorn with our worker",
    "hedgerow",
    "on",
    f"{_GUNICORN_LIMITS}, all of ours",
    _gunicorn("-k", "hedgerow.gunicorn.Worker"),
)

PEERS = (
    BJOERN, FASTWSGI, GRANIAN, UWSGI, UWSGI_ROUTER, WAITRESS, CHEROOT, PYWSGI, GUNICORN_SYNC, GUNICORN_GTHREAD,
    GUNICORN_GEVENT,
)  # fmt: skip


# --- their processes --------------------------------------------------------------------------------------------------


@contextmanager
def serving(server: Server, launch: Launch) -> Iterator[Running]:
    """The server in a process of its own, answering; ended afterwards."""
    running = start(server, launch)
    try:
        wait_until_answering(running)
        yield running
    finally:
        stop(running)


def start(server: Server, launch: Launch) -> Running:
    """Start the process; it may not answer yet. It ends with us, however we end."""
    launch.work.mkdir(parents=True, exist_ok=True)
    listener, port = _reserved_port(server.takes_socket, server.addresses)
    placed = Launch(launch.python, launch.app, launch.folder, launch.work, launch.environ, port)
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(launch.folder)]))
    own = {"PYTHONPATH": path, "HEDGEROW_RUN": str(launch.work), "HEDGEROW_STATE": str(launch.work)}
    log = launch.work / "log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *server.command(placed)],
            stdin=subprocess.DEVNULL if listener is None else listener.fileno(),
            stdout=said,
            stderr=said,
            cwd=launch.folder,
            env={**os.environ, **own, **launch.environ},
            start_new_session=True,
        )
    if listener is not None:
        listener.close()
    return Running(server, process, ("127.0.0.1", port), log)


def wait_until_answering(running: Running) -> None:
    """Returns when `GET /` has any answer; raises RuntimeError with the server's own words when it never has.

    A connect is not enough: the socket of a server with a master may listen before the app is loaded, or without it.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not _answers(running.address):
        if running.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{running.server.name} does not answer: {running.log.read_text(errors='replace')}")
        time.sleep(0.01)


def _answers(address: tuple[str, int]) -> bool:
    with suppress(OSError), socket.create_connection(address, PATIENCE_S) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return sock.recv(5) == b"HTTP/"
    return False


def stop(*all_running: Running) -> None:
    """SIGTERM to all at once; whatever of their sessions is left after some seconds is killed."""
    for running in all_running:
        running.process.terminate()
    deadline = time.monotonic() + GRACE_S
    for running in all_running:
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(max(0.01, deadline - time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.process.wait(PATIENCE_S)


def _reserved_port(keep: bool, count: int) -> tuple[socket.socket | None, int]:
    """A port that the kernel chose, with free ones behind it, and its listener if it is kept."""
    while True:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        port = int(listener.getsockname()[1])
        if all(_is_free(port + number) for number in range(1, count)):
            break
        listener.close()
    if keep:
        return listener, port
    listener.close()
    return None, port


def _is_free(port: int) -> bool:
    with suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", port)):
        return True
    return False
