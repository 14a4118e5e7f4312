"""A load of GETs and POSTs that loses count of nothing: each POST carries an id, each failure is kept with its reason.

Runs as a process of its own (`python load_client.py --port 8080 …`), so that its speed is not the tests'. It ends when
its standard input is closed, when the time is over, or when it has sent the number it may send; then it prints one JSON
object. `Load` is how a test holds it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

FAILURES_KEPT = 50
REQUESTS_A_CONNECTION = 200  # then a new one, so that both kinds of arrival are tried


@dataclass
class Tally:
    """What one thread saw."""

    requests: int = 0
    answered: list[str] = field(default_factory=list)  # ids of POSTs that came back with 200
    unanswered: list[str] = field(default_factory=list)  # ids of POSTs that did not
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What all threads saw."""

    requests: int
    answered: list[str]
    unanswered: list[str]
    failed: int
    failures: list[str]
    longest_s: float


class Client(threading.Thread):
    """Sends one request after the other: all GET, all POST, or in turns."""

    def __init__(self, name: str, port: int, path: str, methods: list[str], pause_s: float, budget: int) -> None:
        super().__init__(daemon=True)
        self.tally = Tally()
        self.longest_s = 0.0
        self.stopping = False
        self._name, self._port, self._path, self._methods = name, port, path, methods
        self._pause_s, self._budget = pause_s, budget
        self._connection = self._fresh()

    def run(self) -> None:
        while not self.stopping and self.tally.requests < self._budget:
            n = self.tally.requests
            self.tally.requests += 1
            if n % REQUESTS_A_CONNECTION == 0:
                self._connection.close()
                self._connection = self._fresh()
            self._one(self._methods[n % len(self._methods)], f"{self._name}-{n}")
            if self._pause_s:
                time.sleep(self._pause_s)
        self._connection.close()

    def _one(self, method: str, identity: str) -> None:
        body = identity.encode() if method == "POST" else None
        began = time.monotonic()
        try:
            self._connection.request(method, self._path, body)
            answer = self._connection.getresponse()
            content = answer.read()
            fault = "" if answer.status == 200 and content == (body or b"ok") else f"{answer.status} {content[:80]!r}"
        except (OSError, http.client.HTTPException) as error:
            fault = repr(error)
            self._connection.close()
            self._connection = self._fresh()
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        if fault:
            self.tally.failures.append(f"{time.strftime('%H:%M:%S')} {method} {identity}: {fault}")
        if method == "POST":
            (self.tally.unanswered if fault else self.tally.answered).append(identity)

    def _fresh(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)


class Load:
    """The load while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def stop(self) -> Outcome:
        """Ends the load and tells what it saw. It must still be running: else it proves nothing of what came last."""
        if self._process.poll() is not None:
            raise AssertionError("the load had ended by itself: give it more requests or seconds")
        printed, _ = self._process.communicate(timeout=60)
        return Outcome(**json.loads(printed))


@contextmanager
def load(port: int, path: str, **options: Any) -> Iterator[Load]:
    """Starts a load on 127.0.0.1; the options are those of the command line."""
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, __file__, f"--port={port}", f"--path={path}", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Load(process)
        finally:
            if process.poll() is None:
                process.kill()


def main() -> None:
    options = parsed()
    methods = options.methods.split(",")
    budget = options.requests // options.clients
    names = [f"{options.prefix}-{n}" for n in range(options.clients)]
    clients = [Client(name, options.port, options.path, methods, options.pause_s, budget) for name in names]

    def stop() -> None:
        for client in clients:
            client.stopping = True

    def stop_when_asked() -> None:
        sys.stdin.read()
        stop()

    threading.Thread(target=stop_when_asked, daemon=True).start()
    timer = threading.Timer(options.seconds, stop)
    timer.daemon = True
    timer.start()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    print(json.dumps(summed(clients)))


def summed(clients: list[Client]) -> dict[str, Any]:
    tallies = [client.tally for client in clients]
    failures = [line for tally in tallies for line in tally.failures]
    return {
        "requests": sum(tally.requests for tally in tallies),
        "answered": [identity for tally in tallies for identity in tally.answered],
        "unanswered": [identity for tally in tallies for identity in tally.unanswered],
        "failed": len(failures),
        "failures": sorted(failures)[:FAILURES_KEPT],
        "longest_s": max(client.longest_s for client in clients),
    }


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--prefix", required=True, help="begins each id; another one for each load on one app")
    parser.add_argument("--methods", default="GET,POST", help="sent in turns")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=20_000, help="at most so many in all")
    parser.add_argument("--seconds", type=float, default=60, help="at most so long")
    parser.add_argument("--pause-s", type=float, default=0, help="after each request of a client")
    return parser.parse_args()


if __name__ == "__main__":
    main()
