"""Orders, carried out by whoever holds the lease: accepted, which may let something wait for its round, and answered as
soon as the ledger tells what became of them. It writes no ledger.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

from ..config import Settings
from . import layout, orders, packages, renewals, rounds
from .candidates import Candidates
from .entries import CANARY, LIVE, ROLLBACK, AppState, Canary, Deploy, State
from .environments import builds
from .orders import Order, Orders
from .packages import Passed
from .placement import AUTO
from .rounds import ReplicaView

ASKED = "asked"  # instead of the mark of what was known when an app was placed
STILL_S = 60.0  # for so long a folder may go on changing


class Desk:
    """That of one replica."""

    def __init__(self, settings: Settings, candidates: Candidates, orders: Orders) -> None:
        self._settings = settings
        self._candidates = candidates
        self._orders = orders

    def prepared(self, order: Order, state: State) -> State:
        """What the ledger has to tell before it is carried out: who asks for a deploy wants what was refused, or left
        out.
        """
        app = state.app(order.app)
        if order.what == orders.POOL and not order.accepted and app.release:
            found = () if order.pool == AUTO else app.found
            return state.with_app(order.app, dataclasses.replace(app, wish=order.pool, found=found, placed=ASKED))
        if order.accepted or order.app not in state.apps:
            return state
        if order.what == ROLLBACK and (canary := _ended(order, app)):
            return state.with_app(order.app, dataclasses.replace(app, refused=canary.release, again=0.0, promoted=""))
        if order.what != orders.DEPLOY or not self._candidates.has_settled(order.app):
            return state
        promoted = app.canary.release if app.canary is not None and order.share is None else ""
        anew = dataclasses.replace(app, refused="", again=0.0, hooking="", ordered=state.number + 1)
        return state.with_app(order.app, dataclasses.replace(anew, share=order.share, promoted=promoted))

    def carry_out(self, order: Order, state: State, replicas: Sequence[ReplicaView]) -> None:
        """Accept it, or answer it: when it is known what became of it, and no earlier worker answers any more."""
        if not order.accepted:
            here = self._candidates
            if order.what == ROLLBACK and (here.tried_release(order.app) == "" or order.app in here.news(state)):
                return  # it is known in a moment what is not to come back
            self._orders.put(self._accept(order, state))
            return
        if order.what == orders.UPGRADE:
            answer = renewals.answer(state, order) or self._without_apps(order, state)
        else:
            answer = orders.outcome(order, state.app(order.app)) or self._settled(order, state, replicas)
        draining = any(view.draining for view in replicas)
        if answer is not None and not (answer.done and draining):
            self._orders.put(answer)

    def _accept(self, order: Order, state: State) -> Order:
        name, app = order.app, state.app(order.app)
        accepted = dataclasses.replace(order, accepted=max(1, state.number))
        if order.what == orders.DEPLOY:
            if not self._candidates.has_settled(name):
                return order.answered(False, f"{name}: no such app in {self._settings.apps}, or it does not hold still")
            self._candidates.forget(name)
            return accepted
        if order.what == orders.POOL:
            return accepted if app.release else order.answered(False, f"{name}: no release of it is served")
        if order.what == orders.UPGRADE:
            return self._without_apps(order, state) or accepted
        if canary := _ended(order, app):
            self._candidates.forgo(name, canary.release)
            return order.answered(True, f"{name}: {canary.release} is taken back, and all have {app.release}")
        release = order.release or app.previous
        if not release:
            return order.answered(False, f"{name}: there is no earlier release to go back to")
        accepted = dataclasses.replace(accepted, release=release)
        return self._roll_back(accepted, state) or accepted

    def _without_apps(self, order: Order, state: State) -> Order | None:
        """The answer if nothing runs whose environment it could be."""
        if renewals.of_order(state, order) is not None:
            return None
        return order.answered(False, f"{order.app or 'the shared pool'}: no release is served there")

    def _roll_back(self, order: Order, state: State) -> Order | None:
        """Let it wait for its round; or what there is to answer instead."""
        name, release, here = order.app, order.release, self._candidates
        app = state.app(name)
        if release == app.release:
            return order.answered(True, f"{name}: {release} runs already")
        if not layout.code(self._settings.state, name, release).is_dir():
            return order.answered(False, f"{name}: there is no release {release}")
        lived = next((one for one in app.deploys if one.release == release and one.outcome == LIVE), None)
        if lived is None:
            return order.answered(False, f"{name}: {release} was never live, so nobody knows whether it works")
        refused = here.tried_release(name) or here.made(name) or app.release
        present = packages.environment(state, lived.placement.pool)
        lacks = builds.missing(self._settings.state, lived.placement.environment, present)
        placement = renewals.back(lived.placement, release, name, lacks)
        deploy = Deploy(release, cause=ROLLBACK, began=time.time(), placement=placement)
        here.wait(Passed(name, deploy, "" if refused == release else refused))
        return None

    def _settled(self, order: Order, state: State, replicas: Sequence[ReplicaView]) -> Order | None:
        """The answer when nothing is under way of which it could come: no order is left open, since it keeps the lease.
        A rollback that waited in a deployer that is no more waits again.
        """
        name, app, here = order.app, state.app(order.app), self._candidates
        if state.round is not None or name in here.waiting or here.is_tried(name):
            return None
        if order.what == ROLLBACK:
            return self._roll_back(order, state)
        if order.what == orders.POOL:
            return None if app.is_unplaced else order.answered(orders.has(order, app), orders.where(name, app))
        if here.lacks(name):
            return order.answered(False, f"{name}: its folder is gone")
        if here.moves(name) and time.time() - order.given > STILL_S:
            return order.answered(False, f"{name}: its folder does not hold still")
        release = here.made(name)
        if release is None or name in here.news(state):
            return None
        if release == app.release:
            return _served(order, app, replicas)
        if app.canary is not None and release == app.canary.release and release != app.promoted:
            served = next((one for one in app.deploys if one.outcome == CANARY), Deploy(release))
            return order.answered(True, orders.canary(name, served))
        return order.answered(False, app.trouble.reason if app.trouble else f"{name}: {release} is refused")


def _ended(order: Order, app: AppState) -> Canary | None:
    """The canary that a rollback is about."""
    return app.canary if order.release in ("", app.release) else None


def _served(order: Order, app: AppState, replicas: Sequence[ReplicaView]) -> Order | None:
    """The answer when every replica runs what is wanted of the app, or one has tried it since the order, in vain."""
    name = order.app
    left_out = [view.left_out[name] for view in replicas if name in view.left_out]
    if again := [trouble for ordered, trouble in left_out if ordered == app.ordered]:
        return order.answered(False, again[0])
    runs = [runs.get(name) for view in replicas for runs in view.runs]
    if not left_out and all(one == app.version.key for one in runs):
        return order.answered(True, f"{name}: {app.release} is live")
    late = time.time() - order.given > rounds.ROUND_S
    return order.answered(False, f"{name}: {app.release} does not get ready everywhere") if late else None
