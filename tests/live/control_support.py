"""A whole stack as a child process, a client that counts, and how to wait without hoping."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from complaints import complaints

HEDGEROW = [sys.executable, "-m", "hedgerow.cli"]

COUNTER = """
import os
HERE = os.path.dirname(__file__)
VERSION = b"%s"

def application(environ, start_response):
    if environ["REQUEST_METHOD"] == "POST":
        file = os.open(os.path.join(HERE, "data", "ids"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, environ["QUERY_STRING"].encode() + b"\\n")
        os.close(file)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(VERSION)))])
    return [VERSION]
"""


def free_port(count: int = 1) -> int:
    """A port that the kernel gives, followed by free ones."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first: int = probe.getsockname()[1]
        if first + count < 65536 and all(is_free(first + number) for number in range(count)):
            return first


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def until(what: Callable[[], Any], limit_s: float, why: str) -> float:
    """Waits until it is true; how long that took."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < limit_s, f"not within {limit_s} s: {why}"
        time.sleep(0.03)
    return time.monotonic() - began


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def drop(apps: Path, name: str, text: str, file: str = "app.py") -> Path:
    """Makes an app of one file, as a whole."""
    (apps / name).mkdir(parents=True, exist_ok=True)
    beside = apps / name / f".{file}~"
    beside.write_text(text)
    return beside.replace(apps / name / file)


def get(port: int, path: str, method: str = "GET", timeout_s: float = 5.0) -> tuple[int, bytes]:
    """Status and body; status 0 when there was no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


@dataclass
class Stack:
    """One `hedgerow up`."""

    base: Path
    workers: int
    port: int
    first: int
    environ: dict[str, str]
    process: subprocess.Popen[str] | None = None

    @property
    def apps(self) -> Path:
        return self.base / "apps"

    @property
    def state(self) -> Path:
        return self.base / "state"

    def command(self, *arguments: str) -> list[str]:
        return [*HEDGEROW, *arguments]

    def up(self) -> None:
        log = (self.base / "up.log").open("a")
        command = self.command("up", "--port", str(self.port), "--workers", str(self.workers))
        self.process = subprocess.Popen(command, env=self.environ, stdout=log, stderr=log, text=True, process_group=0)
        log.close()
        until(lambda: "ready in" in self.log or self.ended, 30, "ready")
        assert not self.ended, self.log

    @property
    def log(self) -> str:
        return (self.base / "up.log").read_text()

    @property
    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def run(self, *arguments: str, limit_s: float = 40) -> subprocess.CompletedProcess[str]:
        """Another hedgerow command on the same state."""
        return subprocess.run(
            self.command(*arguments), env=self.environ, capture_output=True, text=True, timeout=limit_s, check=False
        )

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return told

    def pids(self) -> list[int]:
        """Of all that runs: supervisord and its descendants."""
        top = self.supervisord
        return [top, *descendants(top)]

    @property
    def supervisord(self) -> int:
        return int((self.base / "run" / "supervisord.pid").read_text())

    def worker(self, address: int = 0) -> int:
        slots = self.status()["replicas"][0]["addresses"][address]
        pid: int = slots["slots"][slots["active"]]["pid"]
        return pid

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(30)


def descendants(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [found for child in children for found in (int(child), *descendants(int(child)))]


@contextlib.contextmanager
def stack(workers: int = 2, **environ: str) -> Iterator[Stack]:
    """A stack that is not started yet, in a short folder of its own; whatever happens nothing of it is left."""
    base = Path(tempfile.mkdtemp(prefix="hgt-"))
    first = free_port(workers)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HEDGEROW_")}
    more = {
        "HEDGEROW_RUN": str(base / "run"),
        "HEDGEROW_STATE": str(base / "state"),
        "HEDGEROW_APPS": str(base / "apps"),
        "HEDGEROW_FIRST_ADDRESS": str(first),
        "HEDGEROW_REPLICA": "here",
    }
    (base / "apps").mkdir()
    made = Stack(base, workers, free_port(), first, clean | more | environ)
    try:
        yield made
    except BaseException:
        for log in [base / "up.log", *sorted(made.state.glob("logs/*/*.log"))]:
            if log.exists():
                print(f"-- {log.name}\n{complaints(log.read_text(errors='replace'))}")
        raise
    finally:
        if made.process:
            left = made.pids() if (base / "run" / "supervisord.pid").exists() else []
            try:
                made.stop(signal.SIGTERM)
            except subprocess.TimeoutExpired:
                made.process.kill()
                made.process.wait()
            for pid in filter(is_alive, left):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["chmod", "-R", "u+w", str(base)], check=True)
        shutil.rmtree(base)


@contextlib.contextmanager
def ends_well(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Until the end of the block; then it must end well when it is asked to by Ctrl-C. Nothing of it is left."""
    try:
        yield
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


class Neighbour:
    """Who asks an app all the time, in some threads. wrong: what was not the answer that is wanted; longest: what the
    slowest one took, in seconds.
    """

    def __init__(self, ask: Callable[[], object], wanted: object, threads: int = 1) -> None:
        self.wrong, self.longest = list[object](), 0.0
        self._ask, self._wanted, self._end = ask, wanted, threading.Event()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(threads)]

    def __enter__(self) -> Neighbour:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self) -> None:
        while not self._end.is_set():
            began = time.monotonic()
            try:
                if (answer := self._ask()) != self._wanted:
                    self.wrong.append(answer)
            except OSError as error:
                self.wrong.append(error)
            self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(0.01)


@dataclass
class Load:
    """Threads that send GET and POST with ids through the front until told to stop, and what came of it."""

    port: int
    path: str
    sent: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    answers: set[bytes] = field(default_factory=set)
    count: int = 0

    @contextlib.contextmanager
    def running(self, threads: int = 4) -> Iterator[Load]:
        end = threading.Event()
        runners = [threading.Thread(target=self._send, args=(number, end)) for number in range(threads)]
        for runner in runners:
            runner.start()
        try:
            yield self
        finally:
            end.set()
            for runner in runners:
                runner.join()

    def _send(self, thread: int, end: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        number = 0
        while not end.is_set():
            number += 1
            mark = f"{thread}-{number}"
            method = "POST" if number % 2 else "GET"
            try:
                connection.request(method, f"{self.path}?{mark}")
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200:
                    self.failed.append(f"{method} {mark}: {answer.status}")
                self.answers.add(body)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(f"{method} {mark}: {error!r}")
                connection.close()
            if method == "POST":
                self.sent.append(mark)
            self.count += 1
            time.sleep(0.001)
        connection.close()
