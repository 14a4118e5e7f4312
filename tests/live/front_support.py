"""A real nginx, started as `hedgerow up` and the container start it, and raw clients, for the front's tests."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Protocol

from front_backends import PATIENCE_S

from hedgerow.config import Settings
from hedgerow.control import front


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


class Listening(Protocol):
    """Whom the front sends requests to."""

    @property
    def port(self) -> int: ...


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

    def line_of(self, answer: Answer) -> dict[str, object]:
        """The line of this answer, whichever others are still to be written."""
        (number,) = answer.header("X-Request-Id")

        def found() -> list[dict[str, object]]:
            return [line for line in self.log_lines() if line["request_id"] == number]

        wait_for(lambda: bool(found()), f"the line of {number} in the access log")
        return found()[-1]

    def temporary_files(self) -> list[str]:
        """Whatever nginx spooled or tried to: it unlinks such files at once, but leaves folders and tells of them."""
        left = [str(path) for folder in self.target.glob("*_temp") for path in folder.rglob("*")]
        told = [line for line in self.errors.read_text().splitlines() if "temporary file" in line or "_temp/" in line]
        return left + told


@contextmanager
def running(
    folder: Path,
    binary: front.NginxBinary,
    addresses: Sequence[Listening],
    change: Callable[[Path], None] | None = None,
    host: str = "",
    resolver: str = "",
    state: Path | None = None,
    options: Mapping[str, object] = MappingProxyType({}),
) -> Iterator[Front]:
    """nginx in front of the backends, as `hedgerow up` starts it.

    change: edits a copy of the static snippets, to show that a test can fail.
    host, resolver: find the addresses by name instead, as in a container.
    state: of the workers, whose files the front can reach; options: further Settings.
    """
    target = folder / "front"
    port, internal = free_ports(2)
    settings = Settings(first_address=addresses[0].port, workers=len(addresses), port=port, run=folder)
    settings = dataclasses.replace(settings, **options)  # type: ignore[arg-type]
    if state is not None:
        settings = dataclasses.replace(settings, state=state)
    command = front.render(settings, binary, target)
    if host:
        render_by_name(settings, binary, target, host, resolver, internal)
    if change is not None:
        (target / "snippets").unlink()
        shutil.copytree(front.nginx_files() / "snippets", target / "snippets")
        change(target / "snippets")
    with launched(command, target, port, folder) as started:
        started.internal_port = internal if host else None
        wait_for(lambda: is_up(started), "nginx to answer on its internal socket")
        yield started


def free_ports(count: int) -> list[int]:
    """Ports that nobody has. From below the range that outgoing connections get theirs from: one of those may take a
    port of it before nginx does.
    """
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    for port in random.sample(range(10_000, end), 1000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("0.0.0.0", port))  # noqa: S104  # as nginx does
            found.append(port)
        if len(found) == count:
            return found
    raise OSError("there is no free port")


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


def is_up(started: Front) -> bool:
    assert started.process.poll() is None, started.errors.read_text()
    try:
        return started.internal("/addresses").status == 200
    except OSError:
        return False


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
