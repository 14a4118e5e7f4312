"""Many small requests at once, and who answered them."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Answers:
    """What a crowd of clients heard. longest_s: the slowest answer."""

    by: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    seconds: float = 0.0

    @property
    def number(self) -> int:
        return sum(self.by.values())


class Asker(threading.Thread):
    """One client: asks, reads, asks again, on one connection or on a new one each time."""

    def __init__(self, port: int, path: str, number: int, keep_alive: bool) -> None:
        super().__init__(daemon=True)
        self.heard: list[str] = []
        self.longest_s = 0.0
        self._path, self._number = path, number
        self._headers = {} if keep_alive else {"Connection": "close"}  # http.client then connects anew by itself
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def run(self) -> None:
        for _ in range(self._number):
            began = time.monotonic()
            self.heard.append(self._ask())
            self.longest_s = max(self.longest_s, time.monotonic() - began)
        self._connection.close()

    def _ask(self) -> str:
        try:
            self._connection.request("GET", self._path, headers=self._headers)
            answer = self._connection.getresponse()
            body = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return f"failed: {error!r}"
        return body if answer.status == 200 else f"failed: {answer.status}"


def ask(port: int, path: str, *, clients: int, requests: int, keep_alive: bool) -> Answers:
    """Sends so many requests over so many clients at once. A body is taken as the name of who answered."""
    askers = [Asker(port, path, requests // clients, keep_alive) for _ in range(clients)]
    began = time.monotonic()
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    by = Counter(name for asker in askers for name in asker.heard)
    return Answers(by, max(asker.longest_s for asker in askers), time.monotonic() - began)


@contextmanager
def held(port: int, path: str) -> Iterator[str]:
    """A request that is being served while the block runs: yields the first line of its unfinished answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        yield connection.getresponse().readline().decode().strip()
    finally:
        connection.close()
