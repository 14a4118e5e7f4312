"""Clients that check every answer of `apps/tells_its_release`: whole, of exactly one release, and to what was sent.

Runs as a process of its own (`python deploy_client.py PORT PATH KIND=CLIENTS …`) until its standard input is closed;
then it prints one JSON object. `clients` is how a test holds it. Times are of the monotonic clock, which all processes
share.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

FAILURES_KEPT = 50
BUFFERED_BYTES = 999_999  # the largest that the front holds whole, so that it can send it elsewhere
STREAMED_BYTES = 1 << 20
PIECES = 10
TIMEOUT_S = 60


@dataclass(frozen=True)
class Kind:
    """One kind of request. slow_s: over how long the body is sent, in chunks; pause_s: after each request."""

    methods: tuple[str, ...]
    query: str = "parts=3"
    body_bytes: int = 0
    slow_s: float = 0.0
    pause_s: float = 0.01

    @property
    def parts(self) -> int:
        return int(self.query.partition("parts=")[2].partition("&")[0])


KINDS = {
    "get": Kind(("GET",)),
    "small": Kind(("POST", "PUT", "PATCH", "DELETE"), body_bytes=100),
    "buffered": Kind(("POST",), body_bytes=BUFFERED_BYTES, pause_s=0.1),
    "streamed": Kind(("POST", "PUT"), body_bytes=STREAMED_BYTES, pause_s=0.1),
    "slow-answer": Kind(("GET", "POST"), "parts=5&pause=0.3", 100),
    "slow-body": Kind(("POST",), body_bytes=10_000, slow_s=1.0),
    "late-answer": Kind(("POST",), "parts=3&wait=1", 100),
    "long": Kind(("GET", "POST"), "parts=2&wait=20", 100),
}


@dataclass
class Heard:
    """What one client heard. seen: by version, when the first request that it answered ended, and the last."""

    ended: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seen: dict[str, list[float]] = field(default_factory=dict)
    longest_s: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What all clients heard: see Heard."""

    ended: dict[str, int]
    failed: int
    failures: list[str]
    seen: dict[str, list[float]]
    longest_s: float

    @property
    def requests(self) -> int:
        return sum(self.ended.values()) + self.failed


class Client(threading.Thread):
    """Sends one request after the other and checks what comes."""

    def __init__(self, port: int, path: str, name: str, first: int) -> None:
        super().__init__(daemon=True)
        self.heard = Heard()
        self.stopping = False
        self._number = first  # so that not all clients of a kind begin with the same method
        self._port, self._path, self._name, self._kind = port, path, name, KINDS[name]
        self._connection = self._fresh()

    def run(self) -> None:
        while not self.stopping:
            self._one(self._kind.methods[self._number % len(self._kind.methods)])
            self._number += 1
            time.sleep(self._kind.pause_s)
        self._connection.close()

    def _one(self, method: str) -> None:
        body = b"" if method == "GET" else os.urandom(self._kind.body_bytes)
        began = time.monotonic()
        try:
            version = self._ask(method, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            what = f"{time.strftime('%H:%M:%S')} {self._name} {method} after {time.monotonic() - began:.2f} s"
            self.heard.failures.append(f"{what}: {error!r}")
            self._connection.close()
            self._connection = self._fresh()
            return
        now = time.monotonic()
        self.heard.longest_s = max(self.heard.longest_s, now - began)
        self.heard.ended[f"{self._name} {method}"] += 1
        self.heard.seen.setdefault(version, [now, now])[1] = now

    def _ask(self, method: str, body: bytes) -> str:
        """The version that answered. Raises what http.client raises, ValueError for an answer that is not right."""
        target = f"{self._path}?{self._kind.query}"
        if self._kind.slow_s:
            self._connection.request(method, target, self._slowly(body), encode_chunked=True)
        else:
            self._connection.request(method, target, body if method != "GET" else None)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise ValueError(f"{answer.status} {content[:60]!r}")
        version = answer.headers["X-Version"]
        wanted = f"{version} {version} {version}\n" * self._kind.parts + hashlib.sha256(body).hexdigest()
        if content != wanted.encode():
            raise ValueError(f"not an answer of {version} to what was sent: {content[:200]!r}")
        return version

    def _slowly(self, body: bytes) -> Iterator[bytes]:
        size = len(body) // PIECES
        for place in range(0, len(body), size):
            time.sleep(self._kind.slow_s / PIECES)
            yield body[place : place + size]

    def _fresh(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)


class Clients:
    """The clients while they run."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def stop(self) -> Outcome:
        """What was heard, when all that was begun has been answered."""
        assert self._process.poll() is None, "the clients had ended by themselves"
        printed, _ = self._process.communicate(timeout=TIMEOUT_S + 20)
        return Outcome(**json.loads(printed))


def told(outcome: Outcome) -> str:
    """For who reads the figures of a run."""
    return f"{outcome.requests} requests, {outcome.failed} failed, the longest took {outcome.longest_s:.2f} s"


@contextmanager
def clients(port: int, path: str, **kinds: int) -> Iterator[Clients]:
    """So many clients of each kind; `slow_answer=2` are two of `slow-answer`."""
    arguments = [f"{name.replace('_', '-')}={number}" for name, number in kinds.items()]
    command = [sys.executable, __file__, str(port), path, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Clients(process)
        finally:
            if process.poll() is None:
                process.kill()


def main(port: int, path: str, kinds: list[str]) -> None:
    pairs = [kind.split("=") for kind in kinds]
    crowd = [Client(port, path, name, n) for name, number in pairs for n in range(int(number))]
    for client in crowd:
        client.start()
    sys.stdin.read()
    for client in crowd:
        client.stopping = True
    for client in crowd:
        client.join()
    print(json.dumps(summed([client.heard for client in crowd])))


def summed(crowd: list[Heard]) -> dict[str, Any]:
    seen: dict[str, list[float]] = {}
    for heard in crowd:
        for version, (first, last) in heard.seen.items():
            before = seen.get(version, [first, last])
            seen[version] = [min(first, before[0]), max(last, before[1])]
    failures = sorted(line for heard in crowd for line in heard.failures)
    return {
        "ended": sum((heard.ended for heard in crowd), Counter()),
        "failed": len(failures),
        "failures": failures[:FAILURES_KEPT],
        "seen": seen,
        "longest_s": max((heard.longest_s for heard in crowd), default=0.0),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
