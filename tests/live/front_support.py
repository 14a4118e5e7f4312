"""A real nginx in front of small real backends, for the front's tests.

Backends speak raw sockets, since bytes matter: they keep the request target as it came, count what was executed, and
can refuse, break off, stall or stream. Nothing here imports the worker.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from types import TracebackType

from hedgerow.config import Settings
from hedgerow.control import front

PATIENCE_S = 10.0


def binaries() -> list[front.NginxBinary]:
    """Every nginx that the stack could pick on this machine; the packaged one is always among them."""
    packaged = front.find_nginx({"PATH": ""}) if not Path("/usr/sbin/nginx").exists() else front._packaged()
    assert packaged is not None, "the packaged nginx is a dependency and must be there"
    preferred = front.find_nginx()
    return [packaged] if preferred is None or preferred.path == packaged.path else [packaged, preferred]


def wait_for(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Poll until the condition holds; fail with `what` when it never does."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience_s} s in vain: {what}"
        time.sleep(0.01)


# --- backends ---------------------------------------------------------------------------------------------------------


@dataclass
class Exchange:
    """One request at a backend. The body is read only when the handler asks, so that a handler sees it arrive."""

    connection: socket.socket
    method: str
    target: str
    headers: list[tuple[str, str]]
    early: bytes
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    keep: bool = True

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def read_body(self) -> bytes:
        """The whole body, decoded, whichever way it is framed."""
        if self.header("transfer-encoding"):
            self._read_chunked()
        else:
            length = int((self.header("content-length") or ["0"])[0])
            while len(self.body) < length:
                self.body += self._some(length - len(self.body))
        self.complete = True
        return bytes(self.body)

    def reply(self, status: int = 200, body: bytes = b"fine", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def refuse(self, **headers: str) -> None:
        """As a worker that must refuse before entry: to be sent elsewhere in round 1, its own 503 in round 2."""
        if self.header("x-hedgerow-round") == ["1"]:
            self.reply(503, b"", X_Accel_Redirect="@refused", **headers)
        else:
            self.reply(503, b"refused by the worker", Retry_After="7", **headers)

    def drop(self) -> None:
        """Close without a word, as a worker that is killed."""
        self.keep = False

    def _some(self, most: int = 65536) -> bytes:
        if self.early:
            piece, self.early = self.early[:most], self.early[most:]
            return piece
        piece = self.connection.recv(most)
        if not piece:
            raise ConnectionError("the front closed in the middle of a body")
        return piece

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._some(1)
        return line[:-2]

    def _read_chunked(self) -> None:
        while size := int(self._line().split(b";")[0], 16):
            end = len(self.body) + size
            while len(self.body) < end:
                self.body += self._some(end - len(self.body))
            self._line()
        while self._line():
            pass


Handler = Callable[[Exchange], None]


def executes(exchange: Exchange) -> None:
    """The plain backend: reads everything, answers 200."""
    exchange.read_body()
    exchange.reply()


class Backend:
    """An address. `seen` holds every request in the order in which its head arrived."""

    def __init__(self, listener: socket.socket, handler: Handler = executes) -> None:
        self.handler = handler
        self.seen: list[Exchange] = []
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name=f"backend {self.port}")]

    def start(self) -> None:
        self._listener.listen(128)
        self._threads[0].start()

    def close_listener(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def stop(self) -> None:
        self.close_listener()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), name=f"connection of {self.port}")
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        rest = b""
        with connection, suppress(OSError):
            while True:
                while b"\r\n\r\n" not in rest:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    rest += piece
                head, _, rest = rest.partition(b"\r\n\r\n")
                exchange = _parse(connection, head, rest)
                self.seen.append(exchange)
                self.handler(exchange)
                if not exchange.keep:
                    return
                rest = exchange.early


def _parse(connection: socket.socket, head: bytes, rest: bytes) -> Exchange:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Exchange(connection, method, target, headers, rest)


def consecutive_ports(count: int) -> list[socket.socket]:
    """Sockets bound to ports that follow each other, not yet listening: a connect to one is refused."""
    for _ in range(50):
        held = [socket.socket()]
        held[0].bind(("127.0.0.1", 0))
        first = held[0].getsockname()[1]
        try:
            for port in range(first + 1, first + count):
                held.append(socket.socket())
                held[-1].bind(("127.0.0.1", port))
        except OSError:
            for one in held:
                one.close()
        else:
            return held
    raise AssertionError(f"no {count} free ports in a row")


@contextmanager
def backends(*handlers: Handler | None) -> Iterator[list[Backend]]:
    """Backends on consecutive ports; None is a dead address, whose port is held but refuses connects."""
    listeners = consecutive_ports(len(handlers))
    made = [Backend(listener, handler or executes) for listener, handler in zip(listeners, handlers, strict=True)]
    for backend, handler in zip(made, handlers, strict=True):
        if handler is not None:
            backend.start()
    try:
        yield made
    finally:
        for backend, handler in zip(made, handlers, strict=True):
            if handler is not None:
                backend.stop()
            else:
                backend.close_listener()


# --- the client -------------------------------------------------------------------------------------------------------


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


class Client:
    """One raw connection to the front."""

    def __init__(self, port: int, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", port))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self, method: str = "GET", target: str = "/", *lines: str, host: str = "site.example:8080") -> None:
        text = "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "", ""])
        self.send(text.encode("latin-1"))

    def answer(self, method: str = "GET") -> Answer:
        response = HTTPResponse(self.socket, method=method)
        try:
            response.begin()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            response.close()


# --- the front --------------------------------------------------------------------------------------------------------


@dataclass
class Front:
    port: int
    target: Path
    process: subprocess.Popen[bytes]
    log: Path
    errors: Path
    internal_port: int | None = None

    def client(self) -> Client:
        return Client(self.port)

    def request(self, method: str = "GET", target: str = "/", *lines: str, body: bytes = b"", host: str = "") -> Answer:
        """One request on a connection of its own."""
        with self.client() as client:
            framing = [f"Content-Length: {len(body)}"] if body else []
            client.head(method, target, *lines, *framing, host=host or "site.example:8080")
            client.send(body)
            return client.answer(method)

    def internal(self, path: str) -> Answer:
        family = socket.AF_UNIX if self.internal_port is None else socket.AF_INET
        with socket.socket(family) as connection:
            connection.settimeout(PATIENCE_S)
            if self.internal_port is None:
                connection.connect(str(self.target / "internal.sock"))
            else:
                connection.connect(("127.0.0.1", self.internal_port))
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: internal\r\nConnection: close\r\n\r\n".encode())
            response = HTTPResponse(connection)
            response.begin()
            return Answer(response.status, response.getheaders(), response.read())

    def reload(self) -> None:
        """Read the files again, and wait until the old processes are gone."""
        old = children(self.process)
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: bool(children(self.process)) and not set(old) & set(children(self.process)), "the reload")

    def log_lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def last_line(self, count: int = 1) -> dict[str, object]:
        """The last line, once `count` are there: nginx writes it after the client has its answer."""
        wait_for(lambda: len(self.log_lines()) >= count, f"{count} lines in the access log")
        return self.log_lines()[-1]

    def temporary_files(self) -> list[str]:
        """Whatever nginx spooled or tried to: it unlinks such files at once, but leaves folders and tells of them."""
        left = [str(path) for folder in self.target.glob("*_temp") for path in folder.rglob("*")]
        told = [line for line in self.errors.read_text().splitlines() if "temporary file" in line or "_temp/" in line]
        return left + told


@contextmanager
def running(
    folder: Path,
    binary: front.NginxBinary,
    addresses: list[Backend],
    change: Callable[[Path], None] | None = None,
    host: str = "",
    resolver: str = "",
) -> Iterator[Front]:
    """nginx in front of the backends, as `hedgerow up` starts it.

    change: edits a copy of the static snippets, to show that a test can fail.
    host, resolver: find the addresses by name instead, as in a container.
    """
    target = folder / "front"
    port, internal = free_ports(2)
    settings = Settings(first_address=addresses[0].port, workers=len(addresses), port=port, run=folder)
    command = front.render(settings, binary, target)
    if host:
        render_by_name(settings, binary, target, host, resolver, internal)
    if change is not None:
        (target / "snippets").unlink()
        shutil.copytree(front.nginx_files() / "snippets", target / "snippets")
        change(target / "snippets")
    with launched(command, target, port, folder) as started:
        started.internal_port = internal if host else None
        wait_for(lambda: _is_up(started), "nginx to answer on its internal socket")
        yield started


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def render_by_name(
    settings: Settings, binary: front.NginxBinary, target: Path, host: str, resolver: str, internal: int
) -> None:
    """The script as the container's entry point runs it."""
    inputs = settings.to_env() | {
        "PATH": os.environ["PATH"],
        "HEDGEROW_FRONT_RUN": str(target),
        "HEDGEROW_UPSTREAM_HOST": host,
        "HEDGEROW_RESOLVER": resolver,
        "HEDGEROW_INTERNAL_PORT": str(internal),
        "HEDGEROW_NGINX": str(binary.path),
    }
    subprocess.run([str(front.nginx_files() / "render.sh")], env=inputs, check=True)


@contextmanager
def launched(command: list[str], target: Path, port: int, folder: Path) -> Iterator[Front]:
    log, errors = folder / "access.log", folder / "error.log"
    with log.open("ab") as stdout, errors.open("ab") as stderr:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
    try:
        yield Front(port, target, process, log, errors)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


def _is_up(started: Front) -> bool:
    assert started.process.poll() is None, started.errors.read_text()
    try:
        return started.internal("/addresses").status == 200
    except OSError:
        return False


@contextmanager
def silent_address() -> Iterator[socket.socket]:
    """A listener whose queue is full: the kernel answers no further connect, as a machine that is gone."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        try:
            for _ in range(4):
                filler = socket.socket()
                fillers.append(filler)
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            yield listener
        finally:
            for filler in fillers:
                filler.close()


def reset(connection: socket.socket) -> None:
    """Close so that the other side gets a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def children(process: subprocess.Popen[bytes]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def descriptors(process: subprocess.Popen[bytes]) -> list[str]:
    """What nginx's processes have open, by name."""
    names = []
    for pid in [str(process.pid), *children(process)]:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                names.append(os.readlink(entry))
    return names
