"""All rows of smuggling.py at once, over the connections that the front shares among its clients.

Meanwhile ordinary clients ask over kept connections and look whether each answer is their own.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import wire_corpus
from front_support import Client

from .engine import Stack, wait_for
from .smuggling import rows

SENDERS = 64
ORDINARY = 4
ASKED_AT_LEAST = 50
PAUSE_S = 0.005
SILENCE_S = 1.0  # how long a sender waits for more; its connection often stays open, and nothing is left to come

# In the head, which an answer to HTTP/0.9 has not got, or in the body, which one to HEAD has not got.
ANSWERED = re.compile(rb"HTTP/1\.1 200 OK\r\n(?:[^\r\n]+\r\n)*?X-Request-Id: ([0-9a-f]{32})\r|answered ([0-9a-f]{32}) ")


@dataclass
class Run:
    """records: what the app wrote down; log: the front's; heard: by row or case, ids of the app's answers."""

    records: list[dict[str, Any]]
    log: list[dict[str, Any]]
    heard: dict[str, list[str]]
    ordinary: Counter[str]


class Ordinary(threading.Thread):
    """A client on a kept connection that counts whether it was answered its own."""

    def __init__(self, port: int, name: str, end: threading.Event) -> None:
        super().__init__(daemon=True)
        self.found: Counter[str] = Counter()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self._name, self._end = name, end

    def run(self) -> None:
        number = 0
        while number < ASKED_AT_LEAST or not self._end.is_set():
            target = f"/ordinary/{self._name}-{number}"
            self._end.wait(PAUSE_S)
            self._connection.request("POST" if number % 2 else "GET", target, b"x" if number % 2 else None)
            answer = self._connection.getresponse()
            words = answer.read().decode().split()
            right = (answer.status, words[0], words[-1]) == (200, "answered", target)
            self.found["right" if right else f"{target} got {answer.status} {words[:4]}"] += 1
            number += 1
        self._connection.close()


@contextmanager
def ordinary_clients(port: int) -> Iterator[Counter[str]]:
    """They ask as long as the block runs; then the counter has what they found."""
    end, found = threading.Event(), Counter[str]()
    clients = [Ordinary(port, str(number), end) for number in range(ORDINARY)]
    for client in clients:
        client.start()
    try:
        yield found
    finally:
        end.set()
        for client in clients:
            client.join()
            found.update(client.found)


def send(port: int, data: bytes) -> list[str]:
    """The ids of the app's answers, in their order."""
    heard = b""
    with Client(port) as client, suppress(ConnectionError, TimeoutError):
        client.socket.settimeout(SILENCE_S)
        with suppress(ConnectionError):  # who is refused early cannot send the rest
            client.send(data)
        while piece := client.socket.recv(65_536):
            heard += piece
    return list(dict.fromkeys((in_head or in_body).decode() for in_head, in_body in ANSWERED.findall(heard)))


def perform(stack: Stack) -> Run:
    """Sends all rows and the corpus, whose cases have a request behind them; the stack must be a fresh one."""
    sent = {row.name: row.data for row in rows()}
    sent |= {f"corpus {case.name}": case.data + wire_corpus.SMUGGLED for case in wire_corpus.rejects()}
    with ordinary_clients(stack.port) as ordinary, ThreadPoolExecutor(SENDERS) as pool:
        heard = dict(zip(sent, pool.map(lambda data: send(stack.port, data), sent.values()), strict=True))
    last = stack.get("/last").headers["x-request-id"]
    wait_for(lambda: last in stack.logs("front"), "the last line of the front's log")
    log = [json.loads(line) for line in stack.logs("front").splitlines() if line.startswith("{")]
    told = [json.loads(line) for line in stack.get("/records").body.splitlines()]
    by_the_front = {one["id"] for one in told if one.get("environ", {}).get("hedgerow.front")}  # and by no trial
    return Run([one for one in told if one["id"] in by_the_front], log, heard, ordinary)
