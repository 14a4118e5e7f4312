"""Commands to whoever holds the lease: `state/orders/<id>.json`, written by the command line, answered in place.

    given → accepted (under which number of the ledger) → answered (whether it was done, and one sentence)

An order outlives who accepted it: what became of it is read from the ledger, by whoever holds the lease then. It knows
no releases and no processes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from .entries import CANARY, LIVE, MOVE, ROLLBACK, AppState, Deploy
from .placement import AUTO, OWN
from .plan import write_json

DEPLOY, POOL, UPGRADE = "deploy", "pool", "upgrade"
FORGOTTEN_S = 24 * 3600.0


@dataclass(frozen=True)
class Order:
    """One command. app: '' for the shared pool; release: of a rollback, '' for the previous one; pool: that the app is
    to run in; share: the percentage of its clients that a deploy is for first, None for what the manifest says;
    accepted: the ledger's number then, 0 before; done: whether what was asked for is so, None before the answer;
    answer: a sentence.
    """

    number: str
    what: str
    app: str
    release: str = ""
    pool: str = ""
    share: float | None = None
    given: float = 0.0
    accepted: int = 0
    done: bool | None = None
    answer: str = ""

    def answered(self, done: bool, answer: str) -> Order:
        return dataclasses.replace(self, done=done, answer=answer)


class Orders:
    """The orders of a state folder."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "orders"
        self._closed: dict[str, float] = {}  # files that have nothing more to say, and when the orders were given

    def give(self, what: str, app: str, release: str = "", pool: str = "", share: float | None = None) -> Order:
        """A new order. May raise OSError."""
        now = time.time()
        order = Order(f"{time.time_ns():x}-{os.getpid()}", what, app, release, pool, share, now)
        self.put(order)
        return order

    def put(self, order: Order) -> None:
        """Write how it stands."""
        write_json(self._path(order.number), dataclasses.asdict(order))

    def get(self, number: str) -> Order | None:
        """How an order stands; None if there is none, or nothing to be understood."""
        try:
            return Order(**json.loads(self._path(number).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def open(self) -> list[Order]:
        """Those without an answer, the oldest first. Old ones with an answer are removed."""
        try:
            names = sorted(name for name in os.listdir(self._folder) if name.endswith(".json") and name[0] != ".")
        except OSError:
            return []
        found = []
        closed, self._closed = self._closed, {}
        for name in names:
            if name not in closed:
                order = self.get(name.removesuffix(".json"))
                if order is not None and order.done is None:
                    found.append(order)
                    continue
                closed[name] = 0.0 if order is None else order.given
            if closed[name] < time.time() - FORGOTTEN_S:
                self.remove(name.removesuffix(".json"))
            else:
                self._closed[name] = closed[name]
        return found

    def remove(self, number: str) -> None:
        with contextlib.suppress(OSError):
            self._path(number).unlink()

    def _path(self, number: str) -> Path:
        return self._folder / f"{number}.json"


def has(order: Order, app: AppState) -> bool:
    """Whether an app runs where the order wants it."""
    return order.pool == AUTO or (order.pool == OWN) == app.placement.is_own


def where(name: str, app: AppState) -> str:
    """In one sentence, where an app runs."""
    placement = app.placement
    why = f": {placement.reason}" if placement.reason else ""
    return f"{name} runs in {placement.where}{why}"


def canary(name: str, deploy: Deploy) -> str:
    """In one sentence, who has a release that not all have."""
    terms = deploy.canary
    share = f"{terms.share:g} % of the clients have it, for {terms.window_s:.0f} s at least" if terms else ""
    return f"{name}: {deploy.release} is a canary: {share}"


def outcome(order: Order, app: AppState) -> Order | None:
    """The order with its answer, if a deploy that was begun after it was accepted has ended; else None."""
    for deploy in reversed(app.deploys):
        if deploy.number <= order.accepted or not deploy.outcome:
            continue
        if order.what == ROLLBACK and (deploy.cause, deploy.release) != (ROLLBACK, order.release):
            continue
        if order.what == POOL:
            if app.is_unplaced or deploy.cause != MOVE:
                continue  # another order's, which was under way, or of the folder
            if deploy.outcome == LIVE:
                return order.answered(has(order, app), where(order.app, app))
        if deploy.outcome == LIVE:
            return order.answered(True, f"{order.app}: {deploy.release} is live")
        if deploy.outcome == CANARY:
            return order.answered(True, canary(order.app, deploy))
        return order.answered(False, f"{order.app}: {deploy.outcome} at {deploy.step}: {deploy.reason}")
    return None
