"""A real worker in a process of its own, on a socket that the test holds as supervisord would."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

APPS = Path(__file__).parent / "apps"
DEADLINE_S = 20.0


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("control", timeout=DEADLINE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(str(self._path))


_started: list[Worker] = []


class Worker:
    """One worker process. `stdout` is a file, or a pipe that the test may leave unread; `name` its address's; `content`
    what else its plan says.
    """

    def __init__(self, run: Path, apps: Mapping[str, Path], listener: socket.socket, slot: str, **options: Any) -> None:
        self.run = run
        self.listener = listener
        _started.append(self)
        self.address: Any = listener.getsockname()
        name = options.pop("name", "8001")
        self.log = run / (f"{slot}.log" if name == "8001" else f"{name}-{slot}.log")
        self.control_path = run / f"{name}-{slot}.sock"
        plan = run / f"plan-{name}.json"
        codes = {name: str(path) for name, path in apps.items()}
        entry: dict[str, Any] = {"generation": 1, "apps": codes, "broken": {}}
        entry |= options.pop("content", {})
        more = []
        if options.pop("threads", False):
            entry["concurrency"] = "threads"
            more = ["threads"]
        plan.write_text(json.dumps({"address": name, "active": slot, "slots": {"a": entry, "b": entry}}))
        settings = {"RUN": run, "STATE": run, "REPLICA": "test", **options.pop("settings", {})}
        environ = os.environ | {f"HEDGEROW_{name}": str(value) for name, value in settings.items()}
        stdout = options.pop("stdout", None)
        under: list[str] = options.pop("under", [])  # a command that runs another: valgrind
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*under, options.pop("python", sys.executable), "-m", "hedgerow.worker", str(plan), slot, *more],
                stdin=listener,
                stdout=stdout or log,
                stderr=log,
                env=environ,
            )
        self.wait_until_ready(5 * DEADLINE_S if under else DEADLINE_S)

    def wait_until_ready(self, deadline_s: float = DEADLINE_S) -> None:
        end = time.monotonic() + deadline_s
        while not self.control_path.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, "the worker did not get ready"
            time.sleep(0.01)

    def connect(self) -> socket.socket:
        sock = socket.socket(self.listener.family)
        sock.settimeout(DEADLINE_S)
        try:
            sock.connect(self.address)
        except OSError:
            sock.close()
            raise
        return sock

    def ask(
        self, path: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(*self.address, timeout=DEADLINE_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def control(self, method: str, path: str) -> tuple[int, Any]:
        connection = UnixConnection(self.control_path)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            data = response.read()
            is_json = response.getheader("Content-Type") == "application/json"
            return response.status, json.loads(data) if is_json else data.decode()
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        return dict(self.control("GET", "/status")[1])

    def lines(self, wanted: str = "", deadline_s: float = DEADLINE_S) -> list[dict[str, Any]]:
        """The log's lines; waits until one of them has `wanted` in it."""
        end = time.monotonic() + deadline_s
        while True:
            text = self.log.read_text()
            if wanted in text and text.endswith("\n"):
                return [json.loads(line) for line in text.splitlines()]
            assert time.monotonic() < end, f"{wanted!r} did not come: {text}"
            time.sleep(0.02)

    def memory(self) -> int:
        """Resident bytes."""
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@contextmanager
def listening_at(path: Path) -> Iterator[socket.socket]:
    """A listening unix socket, held as the keeper of a pool holds it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(128)
        with _ending(listener):
            yield listener


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A listening socket, held as the keeper holds it.

    Bound to a port by number, as supervisord does: one that the kernel chose at bind is lost again by shutdown(2).
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = probe.getsockname()
    with socket.create_server(address, backlog=128) as listener, _ending(listener):
        yield listener


@contextmanager
def _ending(listener: socket.socket) -> Iterator[None]:
    try:
        yield
    finally:
        for worker in [worker for worker in _started if worker.listener is listener]:
            _started.remove(worker)
            if worker.process.poll() is None:  # a test that failed midway
                worker.process.kill()
                worker.process.wait()


@contextmanager
def serving(run: Path, apps: Mapping[str, Path] | None = None, **options: Any) -> Iterator[Worker]:
    """A worker with the app `engine`, or with apps; ended afterwards."""
    with listening() as listener:
        worker = Worker(run, apps or {"engine": APPS / "engine"}, listener, "a", **options)
        try:
            yield worker
        finally:
            worker.stop()


def receive(sock: socket.socket, until: bytes | int | None = None) -> bytes:
    """Bytes until a mark, a number of bytes, or the end."""
    data = b""
    while True:
        if isinstance(until, bytes) and until in data:
            return data
        if isinstance(until, int) and len(data) >= until:
            return data
        block = sock.recv(65_536)
        if not block:
            assert until is None, f"the connection ended: {data!r}"
            return data
        data += block
