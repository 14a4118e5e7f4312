"""Thousands of clients that are slow on purpose, and one that is not: it notes how long its answers take.

Called with the options below, from a container of the stack's network. Rounds without and with the slow ones take
turns, and it prints what the one client saw in each, as JSON. A slow client begins a request, sends a little more of it
now and then, and never ends; one that the front lets go of begins another. It needs nothing but Python.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import selectors
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

AT_ONCE = 100  # connections that are begun together; more would only fill the listener's queue

# What is sent first, and then from time to time.
KINDS = {
    "head": (b"GET {path} HTTP/1.1\r\nHost: front\r\n", b"X-More: 1\r\n"),
    "body": (b"POST {path} HTTP/1.1\r\nHost: front\r\nContent-Length: 900000\r\n\r\n", b"x"),
    "stream": (b"POST {path} HTTP/1.1\r\nHost: front\r\nContent-Length: 1900000\r\n\r\n", b"x"),
}


class Crowd:
    """The slow clients. held: those whose connection is open; let_go: how often the front has ended one."""

    def __init__(self, address: tuple[str, int], kind: str, path: str, number: int, every_s: float) -> None:
        head, self._more = KINDS[kind]
        self._head = head.replace(b"{path}", path.encode())
        self._address, self._number, self._every_s = address, number, every_s
        self._waiting = selectors.DefaultSelector()
        self._due: dict[socket.socket, float] = {}
        self.let_go = 0

    @property
    def held(self) -> int:
        return len(self._due)

    def fill(self) -> None:
        """Begins what is missing, a batch at a time, each with its first words sent."""
        while self.held < self._number:
            batch = [socket.create_connection(self._address) for _ in range(min(AT_ONCE, self._number - self.held))]
            for client in batch:
                client.setblocking(False)
                client.sendall(self._head)
                self._waiting.register(client, selectors.EVENT_READ)
                self._due[client] = time.monotonic() + random.uniform(0, self._every_s)

    def tick(self) -> None:
        """Sends what is due, and replaces those that were let go of."""
        for key, _ in self._waiting.select(0.05):
            self._end(key.fileobj)  # type: ignore[arg-type]
            self.let_go += 1
        now = time.monotonic()
        for client in [one for one, due in self._due.items() if due <= now]:
            with suppress(OSError):
                client.sendall(self._more)
            self._due[client] = now + self._every_s
        self.fill()

    def close(self) -> None:
        for client in list(self._due):
            self._end(client)

    def _end(self, client: socket.socket) -> None:
        self._waiting.unregister(client)
        del self._due[client]
        client.close()


def ordinary(host: str, port: int, path: str, requests: int) -> None:
    """The client that is not slow, in a process of its own: prints its statuses and times."""
    connection = http.client.HTTPConnection(host, port, timeout=30)
    statuses: Counter[str] = Counter()
    took_ms = []
    for _ in range(requests):
        began = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        took_ms.append((time.perf_counter() - began) * 1000)
        statuses[str(answer.status)] += 1
    took_ms.sort()
    middle, late = took_ms[requests // 2], took_ms[requests * 99 // 100]
    print(json.dumps({"statuses": statuses, "median_ms": middle, "p99_ms": late, "worst_ms": took_ms[-1]}))


def rounds(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    address = (options.host, options.port)
    asks = [sys.executable, __file__, "--ordinary", *sys.argv[1:]]
    for number in range(2 * options.rounds):
        slow = number % 2 == 1
        crowd = Crowd(address, options.kind, options.path, options.clients if slow else 0, options.every_s)
        crowd.fill()
        with subprocess.Popen(asks, stdout=subprocess.PIPE) as client:
            while client.poll() is None:
                crowd.tick()
            assert client.stdout is not None
            told = json.loads(client.stdout.read())
        yield {"slow": slow, "held": crowd.held, "let_go": crowd.let_go, **told}
        crowd.close()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ordinary", action="store_true", help="be the client that is not slow")
    parser.add_argument("--host", default="front")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--path", required=True, help="what the slow clients ask for")
    parser.add_argument("--ordinary-path", required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--every-s", type=float, default=3, help="between two pieces of a slow client")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--requests", type=int, default=500, help="of the ordinary client, in a round")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    if options.ordinary:
        ordinary(options.host, options.port, options.ordinary_path, options.requests)
    else:
        print(json.dumps(list(rounds(options))))


if __name__ == "__main__":
    main()
