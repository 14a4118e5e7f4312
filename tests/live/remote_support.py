"""Real upstreams, and real servers in front that run the remote middleware: a worker of ours, and gunicorn."""

from __future__ import annotations

import http.client
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.validate import validator

from worker_support import DEADLINE_S, serving

from hedgerow.middleware.remote import Remote

HERE = Path(__file__).parent

OWN_APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"of the app"]
"""
ALONE = """
from hedgerow.middleware.remote import Remote
application = Remote(**{options!r})
"""


class Upstream:
    """One process. url: where it listens; executed: the ids that it was asked to execute, in order."""

    def __init__(self, ledger: Path, place: str = "", port: int = 0, certificate: str = "") -> None:
        self._ledger, self._place, self._certificate = ledger, place, certificate
        self._start(port)

    def _start(self, port: int) -> None:
        command = [sys.executable, str(HERE / "remote_upstream.py"), str(self._ledger), *filter(None, [self._place])]
        environ = os.environ | {"PORT": str(port), "CERTIFICATE": self._certificate}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environ)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().decode().strip()
        assert self.url, "the upstream did not start"

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def be(self, manner: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        connection.request("POST", f"/be/{manner}")
        assert connection.getresponse().status == 200
        connection.close()

    @property
    def executed(self) -> list[str]:
        return self._ledger.read_text().split() if self._ledger.exists() else []

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._start(self.port)

    def close(self) -> None:
        self.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def upstreams(folder: Path, count: int = 1) -> Iterator[list[Upstream]]:
    with ExitStack() as stack:
        made = []
        for number in range(count):
            made.append(Upstream(folder / f"ledger-{number}"))
            stack.callback(made[-1].close)
        yield made


class Front:
    """A server that runs the middleware: its address, its process, and the file of its log."""

    def __init__(self, address: Any, pid: int, log: Path, prefix: str) -> None:
        self.address, self.pid, self.log, self.prefix = address, pid, log, prefix

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.address[:2], timeout=DEADLINE_S)

    def ask(
        self, path: str, method: str = "GET", body: Any = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request on a connection of its own. headers: as `X_Id="a"`."""
        connection = self.connect()
        try:
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, self.prefix + path, body, fields)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def told(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> dict[str, Any]:
        response, text = self.ask(path, method, body, **headers)
        assert response.status == 200, (response.status, text)
        found: dict[str, Any] = json.loads(text)
        return found

    def raw(self) -> socket.socket:
        return socket.create_connection(self.address[:2], timeout=DEADLINE_S)

    def memory(self) -> int:
        """Resident bytes."""
        with open(f"/proc/{self.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self) -> float:
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def checked_in_front(folder: Path, options: dict[str, Any]) -> Iterator[tuple[Front, Remote]]:
    """The middleware in this process, between the checks of wsgiref and its server, with threads."""

    class Server(socketserver.ThreadingMixIn, WSGIServer):
        daemon_threads = False

        def handle_error(self, *_: object) -> None:
            pass  # clients break off

    class Handler(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def get_stderr(self) -> TextIO:
            return log

    remote = Remote(**options)
    with (
        open(folder / "checked.log", "w", buffering=1) as log,
        make_server("127.0.0.1", 0, validator(remote), Server, Handler) as server,
    ):
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Front(server.server_address, os.getpid(), folder / "checked.log", ""), remote
        finally:
            server.shutdown()
            thread.join()
            server.server_close()  # which joins the threads
            remote.close()


def toml(options: dict[str, Any]) -> str:
    rows = (f"{key} = {json.dumps(value)}\n" for key, value in options.items())
    return '[[middleware]]\nuse = "remote"\n' + "".join(rows)


@contextmanager
def worker_in_front(folder: Path, options: dict[str, Any], threads: bool = False) -> Iterator[Front]:
    """An app of ours, with the middleware in its app.toml, below /shop."""
    app = folder / "shop"
    app.mkdir()
    (app / "app.py").write_text(OWN_APP)
    (app / "app.toml").write_text(toml(options))
    with serving(folder, {"shop": app}, threads=threads) as worker:
        yield Front(worker.address, worker.process.pid, worker.log, "/shop")


@contextmanager
def gunicorn_in_front(folder: Path, options: dict[str, Any]) -> Iterator[Front]:
    """The middleware as an application of its own, in native threads."""
    (folder / "alone.py").write_text(ALONE.format(options=options))
    log = folder / "gunicorn.log"
    with socket.create_server(("127.0.0.1", 0)) as listener, open(log, "wb") as out:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "gunicorn", "-k", "gthread", "--threads", "16", "--workers", "1",
                "--no-control-socket",
                "-b", f"fd://{listener.fileno()}", "--graceful-timeout", "1", "alone:application",
            ],
            cwd=folder, stdout=out, stderr=out, pass_fds=[listener.fileno()],
        )  # fmt: skip
        try:
            yield Front(listener.getsockname(), child_of(process), log, "")
        finally:
            process.terminate()
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def child_of(process: subprocess.Popen[bytes]) -> int:
    """gunicorn's worker."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + DEADLINE_S
    while not (found := children.read_text().split()):
        assert process.poll() is None, "gunicorn did not start"
        assert time.monotonic() < end, "gunicorn started no worker"
        time.sleep(0.02)
    return int(found[0])
