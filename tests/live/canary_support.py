"""An app whose releases differ in errors and speed, clients that remember which of them answered, and a canary from its
deploy to its end, with what is true of each.
"""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from control_support import drop, until

from hedgerow.control import records
from hedgerow.control.entries import AppState, Deploy
from hedgerow.control.ledger import Ledger

APP = """
import itertools
import time

numbers = itertools.count()


def application(environ, start_response):
    time.sleep({seconds})
    bad = next(numbers) % 100 > 99 - {errors}
    start_response("500 Bad" if bad else "200 OK", [("Content-Type", "text/plain")])
    return [b"{name}"]
"""
MANIFEST = "[canary]\nshare = {share}\nwindow_s = {window_s}\nrequests = 100\n"
KINDS: dict[str, dict[str, Any]] = {"errors": {"errors": 5}, "slow": {"seconds": 0.03}, "good": {}}
TELLS = {"errors": "of its answers are errors", "slow": "of its answers take more than", "good": ""}
LOOK_S = 0.5  # so soon every worker knows what the ledger tells


class Client:
    """got: the releases that answered it, in their order, and when each did first; last: when it asked last; keeps: its
    cookies.
    """

    def __init__(self, keeps: bool = True) -> None:
        self.keeps = keeps
        self.cookie = ""
        self.got: list[tuple[str, float]] = []
        self.last = 0.0

    def ask(self, connection: http.client.HTTPConnection) -> tuple[int, bool]:
        """The status, and whether it was told where it belongs. Raises OSError or HTTPException without an answer."""
        began = time.monotonic()
        connection.request("GET", "/shop/", headers={"Cookie": self.cookie} if self.cookie else {})
        answer = connection.getresponse()
        body = answer.read().decode()
        told = answer.headers.get_all("Set-Cookie") or []
        assert [one.partition("=")[0] for one in told] in ([], ["hedgerow-canary-shop"])
        if told and self.keeps:
            self.cookie = told[0].partition(";")[0]
        if [name for name, _ in self.got[-1:]] != [body]:
            self.got.append((body, time.monotonic()))
        self.last = began
        return answer.status, bool(told)

    def until(self, end: float) -> list[str]:
        """The releases that it met."""
        return [name for name, when in self.got if when < end]


class Crowd:
    """Clients that ask in turns until the end of the block. strangers: those that keep no cookies; failed: what no app
    has answered; statuses: of what was; sent: to which release those were that came for the first time.
    """

    def __init__(self, port: int, clients: int, strangers: int = 0) -> None:
        self.clients = [Client() for _ in range(clients)]
        self.strangers = [Client(keeps=False) for _ in range(strangers)]
        self.failed: list[object] = []
        self.statuses: Counter[int] = Counter()
        self.sent: Counter[str] = Counter()
        self._port, self._end = port, threading.Event()

    @contextmanager
    def asking(self, threads: int = 4) -> Iterator[Crowd]:
        everybody = [*self.clients, *self.strangers]
        runners = [threading.Thread(target=self._ask, args=(everybody[at::threads],)) for at in range(threads)]
        for runner in runners:
            runner.start()
        try:
            yield self
        finally:
            self._end.set()
            for runner in runners:
                runner.join()

    def _ask(self, clients: list[Client]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        for client in itertools.cycle(clients):
            if self._end.is_set():
                break
            try:
                status, told = client.ask(connection)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failed.append(error)
                connection.close()
                continue
            self.statuses[status] += 1
            if status not in (200, 500):
                self.failed.append(status)
            if told:
                self.sent[client.got[-1][0]] += 1
        connection.close()


def lay(apps: Path, name: str, seconds: float = 0.01, errors: int = 0, window_s: float = 5, share: float = 20) -> None:
    """A release of `shop`."""
    drop(apps, "shop", MANIFEST.format(window_s=window_s, share=share), "app.toml")
    drop(apps, "shop", APP.format(name=name, seconds=seconds, errors=errors))


def judged(
    crowd: Crowd, apps: Path, state: Path, kind: str, old: str, new: str, window_s: float = 5, share: float = 20
) -> Deploy:
    """What became of a release of that kind while the crowd asks, all of whom have had the old one before. Asserts that
    nobody failed, that nobody changed sides, and that all ended where they should.
    """
    ledger = Ledger(state)

    def app() -> AppState:
        return ledger.read().app("shop")

    def is_over() -> bool:
        return app().canary is None and ledger.read().round is None

    with crowd.asking():
        until(lambda: all(client.got for client in crowd.clients), 30, "all have asked")
        lay(apps, new, window_s=window_s, share=share, **KINDS[kind])
        until(lambda: app().deploys[0].outcome == "canary", 60, "it is a canary")
        ended = _when(lambda: app().deploys[0].outcome != "canary", window_s + 60, "it is judged")
        _when(is_over, 60, "what was judged is so")
        time.sleep(LOOK_S)
        settled = _when(lambda: not _drains(state), 60, "no earlier worker is left to answer what the front had kept")
        until(lambda: all(client.last > settled for client in crowd.clients), 30, "all have asked again")
    deploy = app().deploys[0]
    met = [client.until(ended - LOOK_S) for client in crowd.clients]
    print(
        f"{kind}: {deploy.outcome}: {deploy.reason}: {deploy.figures}; sent {dict(crowd.sent)}, {dict(crowd.statuses)}"
    )
    assert crowd.failed == []
    assert all(one in ([old], [old, new]) for one in met), "nobody changes sides"
    assert {client.got[-1][0] for client in crowd.clients} == {new if kind == "good" else old}
    assert deploy.outcome == ("live" if kind == "good" else "failed")
    assert TELLS[kind] in deploy.reason
    return deploy


def _drains(state: Path) -> bool:
    return any(records.replica_view(record).draining for record in records.read_records(state))


def _when(what: Callable[[], bool], limit_s: float, why: str) -> float:
    until(what, limit_s, why)
    return time.monotonic()
