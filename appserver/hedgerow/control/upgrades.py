"""Environments of what is served are made anew: because somebody orders it, or because they are not current any more
when this deployer starts. One at a time, in a thread; what has passed waits for a round with the others.

It writes no ledger: it returns the next state to who holds the lease. Its thread prunes, too: both run uv for long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from ..config import Settings
from . import renewals
from .candidates import Candidates, Log
from .entries import State
from .environments import builds
from .orders import UPGRADE, Order, Orders
from .renewals import Renewal, Renewed
from .renewing import renew
from .step import Outcome

AGAIN_S = 60.0  # until one is tried again that failed by the machine's fault


class Upgrades:
    """Those of one replica."""

    def __init__(self, settings: Settings, candidates: Candidates, orders: Orders, log: Log) -> None:
        self._settings = settings
        self._candidates = candidates
        self._orders = orders
        self._log = log
        self._thread = ThreadPoolExecutor(1, "renewal")
        self._cancel = threading.Event()
        self._running: Future[Renewed] | None = None
        self._stale: dict[str, float] | None = None  # environments, and when they are tried; None before the first look
        self._chore: Future[None] | None = None

    @property
    def under_way(self) -> bool:
        return self._running is not None

    def are_pending(self, state: State) -> bool:
        """Whether there is something to be done."""
        return self.under_way or bool(self._due(state))

    def start(self, state: State, orders: Iterable[Order]) -> None:
        """Begin what is ordered or due, if nothing else is under way."""
        if self._running is not None:
            return
        given = [one for one in orders if one.what == UPGRADE and one.accepted and not renewals.answer(state, one)]
        ordered = [renewals.of_order(state, one) for one in given]
        for renewal in [*filter(None, ordered), *self._due(state)]:
            if renewals.may_begin(state, renewal, self._candidates.waiting):
                self._log("info", f"{renewal.who}: its environment is made anew", apps=sorted(renewal.apps))
                self._running = self._thread.submit(self._renew, renewal)
                return

    def settle(self, state: State, orders: Iterable[Order]) -> State:
        """What has come of it."""
        if self._running is None or not self._running.done():
            return state
        renewed, self._running = self._running.result(), None
        renewal = renewed.renewal
        if not renewals.holds(state, renewal, self._candidates.waiting):
            return state  # something else runs by now, and if this is wanted still, it begins anew
        if renewed.outcome.ok:
            self._take(state, renewed, orders)
            return state
        self._log("error", renewed.outcome.reason, app=renewed.app, traceback=renewed.outcome.traceback)
        self._put_off(renewal.environment, renewed.passing)
        return renewals.failed(state, renewed)

    def _take(self, state: State, renewed: Renewed, orders: Iterable[Order]) -> None:
        """It waits for its round; or nothing is to be done."""
        self._put_off(renewed.renewal.environment, passing=False)
        for one in renewals.passed(renewed) if renewed.changes else ():
            self._candidates.wait(one)
        for order in renewals.concerned(state, renewed.renewal, orders) if not renewed.changes else ():
            self._orders.put(order.answered(True, f"{renewed.renewal.who}: there are no other packages to be had"))

    def _put_off(self, environment: str, passing: bool) -> None:
        """What is not current is tried once, unless that failed by the machine's fault."""
        stale = self._stale or {}
        if stale.pop(environment, None) is not None and passing:
            stale[environment] = time.monotonic() + AGAIN_S

    def _due(self, state: State) -> list[Renewal]:
        if self._stale is None:
            used = sorted(renewals.in_use(state))
            self._stale = {name: 0.0 for name in used if not builds.is_current(self._settings.state, name)}
        now = time.monotonic()
        return renewals.of_stale(state, [name for name, at in self._stale.items() if at <= now])

    def _renew(self, renewal: Renewal) -> Renewed:
        try:
            return renew(renewal, self._settings, self._cancel)
        except Exception as error:  # whatever it is, what runs goes on
            return Renewed(renewal, Outcome("environment", f"{renewal.who}: {error!r}"), began=time.time())

    def in_turn(self, chore: Callable[[threading.Event], None]) -> None:
        """Something else that takes long, when nothing is renewed; one that waits already is enough."""
        if self._chore is None or self._chore.done():
            self._chore = self._thread.submit(chore, self._cancel)

    def forget(self) -> None:
        """Nobody wants to know what comes of what runs."""
        self._running = None

    def close(self) -> None:
        """End what runs, within about a second."""
        self._cancel.set()
        self._thread.shutdown(wait=True, cancel_futures=True)
