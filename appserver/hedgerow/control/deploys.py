"""What a replica does for deploys: it looks at the apps folder, and while it holds the lease it has releases made and
tried, and begins and ends rounds. What the ledger wants is what it tells the deployer.

`rounds.py` decides what becomes of a deploy. It knows no slots and no supervisord.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from typing import Any

from ..config import Settings
from ..errors import HedgerowError
from . import canaries, layout, packages, pools, references, rounds
from .attempts import Attempt
from .candidates import FIRST_JOIN_S, Candidates, Log
from .desk import Desk
from .entries import LEASE_S, LIVE, REVERTING, ROLLING, Deploy, Round, State, Version
from .ledger import Ledger, OutdatedError
from .moves import Moves
from .orders import Order, Orders
from .packages import Passed
from .pools import App, Wanted
from .rounds import ReplicaView
from .step import Outcome
from .upgrades import Upgrades

CLEAN_S = 3600.0
AGAIN_S = 60.0  # until content is tried again that was not at fault


class Deploys:
    """See the module's docstring. state: what the ledger told last."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._ledger = Ledger(settings.state)
        self._candidates = Candidates(settings, log)
        self._moves = Moves(self._candidates, log)
        self._orders = Orders(settings.state)
        self._upgrades = Upgrades(settings, self._candidates, self._orders, log)
        self._desk = Desk(settings, self._candidates, self._orders)
        self._open: list[Order] = []
        self._apps: dict[str, App] = {}
        self._elsewhere: set[str] = set()  # apps whose folders other replicas see
        self._round = (0, 0.0)  # which one is under way, and since when by our clock
        self._began = time.monotonic()
        self.state = self._ledger.read()

    # What the deployer asks.

    @property
    def wanted(self) -> Wanted | None:
        """What all workers of this replica are to run; None until something can be served."""
        found = packages.wanted(self.state)
        if not found and self._is_first_start():
            return None
        return Wanted({name: self._app(name, version) for name, version in sorted(found.items())})

    def _app(self, name: str, version: Version) -> App:
        """A release never changes, so its manifest is read once."""
        code = layout.code(self._settings.state, name, version.release)
        known = self._apps.get(name)
        if known is None or (known.code, known.placement) != (str(code), version.placement):
            known = self._apps[name] = pools.app(name, code, version.placement)
        canary = pools.canary(name, self._settings.state, version.canary) if version.canary else None
        return dataclasses.replace(known, ordered=self.state.app(name).ordered, canary=canary)

    @property
    def troubles(self) -> dict[str, str]:
        """Why apps have no release that is wanted."""
        apps = sorted(self.state.apps.items())
        return {name: app.trouble.reason for name, app in apps if app.trouble and not app.release}

    @property
    def folders(self) -> list[str]:
        """The apps whose folders are there."""
        return sorted(self._candidates.folders)

    def brings(self, app: str = "") -> bool:
        """Whether a round is bringing another release of this app, or of any."""
        round = self.state.round
        return round is not None and round.state == ROLLING and (not app or app in round.changes)

    @property
    def busy(self) -> bool:
        """Whether something is under way, here or at who holds the lease, that wants a quick next step."""
        ours = self._candidates.under_way or self._candidates.moving or self._open or self._upgrades.under_way
        return bool(ours or self.state.round or self.state.lease)

    @property
    def _waiting(self) -> list[Passed]:
        return [one.passed for one in self._candidates.waiting.values()]

    def tidy(self, told: list[dict[str, Any]]) -> None:
        """Remove releases and environments that nobody needs, and what killed writers of the ledger have left. told:
        the replicas' records. May raise OSError.
        """
        self._ledger.clean(time.time() - CLEAN_S)
        references.prune(self._settings, self.state, self._waiting, told, self._log)
        used = references.environments(self.state, self._waiting, told)
        self._upgrades.in_turn(references.tidy(self._settings, used, self._log))

    def look_soon(self) -> None:
        """Something in the apps folder may have changed. Called from any thread."""
        self._candidates.look_soon()

    def close(self) -> None:
        """End what runs."""
        self._upgrades.close()
        self._candidates.close()

    def _is_first_start(self) -> bool:
        """Nothing was ever served, and something soon will be."""
        return time.monotonic() - self._began <= FIRST_JOIN_S and self._candidates.come(self.state)

    # One step.

    def step(self, replicas: Iterable[ReplicaView]) -> None:
        """Look, and do what is ours to do. replicas: the live ones, this one among them. Raises LedgerError."""
        views = list(replicas)
        self._elsewhere = {name for view in views for name in view.folders if view.name != self._settings.replica}
        self._moves.hear(views)
        self._candidates.look()
        self.state = self._ledger.read()
        self._open = self._orders.open()
        try:
            if self._take_lease(views):
                self._work(views)
        except OutdatedError:  # somebody was faster, or has the lease by now: the next step sees it
            self.state = self._ledger.read()

    def _has_work(self, replicas: list[ReplicaView]) -> bool:
        here, state = self._candidates, self.state
        busy = self._open or state.round or here.under_way or here.news(state) or here.promoted(state) or self._gone()
        judged = canaries.verdicts(state, replicas)
        return bool(busy or judged) or self._moves.are_pending(state) or self._upgrades.are_pending(state)

    def _take_lease(self, replicas: list[ReplicaView]) -> bool:
        """Whether we hold it: it is taken when there is something to do, kept while there is, and then given back."""
        me, now, state = self._settings.replica, time.time(), self.state
        mine = state.holds(me, now)
        if not self._has_work(replicas):
            if mine:
                self._write(dataclasses.replace(state, lease=None))
            return False
        if not mine:
            if state.lease is None or state.lease.holder != me:  # another had it: what was begun is his, or begins anew
                self._candidates.drop()
                self._upgrades.forget()
            if not state.is_free(now):
                return False
        if not mine or (state.lease is not None and state.lease.until - now < LEASE_S / 2):
            self._write(state.with_lease(me, now))
        return True

    def _work(self, replicas: list[ReplicaView]) -> None:
        here = self._candidates
        here.keep_what_is_back()
        for order in self._open:
            self._write(self._desk.prepared(order, self.state))
            self._desk.carry_out(order, self.state, replicas)
        self._write(self._moves.note(self.state))
        here.start(self.state)
        self._moves.start(self.state)
        self._write(canaries.judge(self.state, replicas, self._log))
        self._write(self._upgrades.settle(self.state, self._open))
        self._upgrades.start(self.state, self._open)
        for name in self._gone():
            self._remove(name)
        for attempt in here.ended():
            self._take(attempt)
        if self.state.round is not None:
            self._advance(self.state.round, replicas)
        elif here.waiting and here.are_complete(self.state, first=not packages.wanted(self.state)):
            self._begin_round()

    def _write(self, state: State) -> None:
        if state is not self.state:
            self.state = self._ledger.write(state)

    def _change_app(self, name: str, **changes: object) -> None:
        self._write(self.state.with_app(name, dataclasses.replace(self.state.app(name), **changes)))  # type: ignore[arg-type]

    # What has come of folders.

    def _gone(self) -> list[str]:
        return self._candidates.gone(self.state, self._elsewhere)

    def _remove(self, name: str) -> None:
        if self.state.app(name).release:
            self._candidates.wait(Passed(name, Deploy("", cause="removed", began=time.time())))
        else:  # it never lived
            self._write(self.state.without_app(name))

    def _take(self, attempt: Attempt) -> None:
        """What has come of an attempt, into the ledger or among what waits."""
        name, here = attempt.app, self._candidates
        if attempt.hooked:
            self._write(self.state.with_app(name, self.state.app(name).with_hook(attempt.release, attempt.outcome.ok)))
        elif attempt.void and attempt.hook:
            self._change_app(name, hooking="")
        if attempt.moves:
            self._write(self._moves.settle(attempt, self.state))
        elif attempt.void:
            here.look_soon()
        elif not here.has_changed(attempt, self.state.app(name)):
            here.note(attempt)
            try:
                self._settle(attempt)
            except HedgerowError:  # the ledger does not know of it: it has to come again
                here.forget(name)
                raise

    def _settle(self, attempt: Attempt) -> None:
        if not attempt.outcome.ok:
            self._fail(attempt)
        elif not self._candidates.is_gone_back_from(attempt, self.state.app(attempt.app)):
            self._go_on(attempt)

    def _go_on(self, attempt: Attempt) -> None:
        """Behind a trial, or a hook, that was passed."""
        name = attempt.app
        if attempt.hook and attempt.release not in self.state.app(name).hooked:
            self._begin_hook(attempt)
        elif attempt.unchanged:
            app = self.state.app(name)
            if attempt.release not in (app.release, app.refused, app.on_trial):
                self._candidates.forget(name)  # somebody has asked for it meanwhile
            if attempt.release == app.release and app.canary is not None:  # the folder holds again what most have
                back = dataclasses.replace(attempt.deploy(), placement=app.placement)
                passed = Passed(name, back, beneath=app.placement.environment, known=app.placed)
                self._candidates.wait(passed, attempt.fingerprint)
            if attempt.release == app.release and app.share is not None:  # there is nothing of which it could be
                self._change_app(name, share=None)
            self._forget_trouble(attempt)
        elif taken := self._candidates.conflict(self.state, name, attempt.release):
            self._fail(attempt.after(Outcome("mount", taken)))
        else:
            where, why = attempt.placement.where, attempt.placement.reason
            self._log(
                "info", f"{name}: the release {attempt.release} may be served in {where}{why and ': '}{why}", app=name
            )
            app = self.state.app(name)
            deploy = canaries.begun(self._settings.state, name, app, attempt.deploy())
            refused = "" if attempt.fingerprint or app.refused == attempt.release else app.refused
            passed = Passed(
                name, deploy, refused, beneath=attempt.beneath, replaces=attempt.replaces, known=attempt.known
            )
            self._candidates.wait(passed, attempt.fingerprint)

    def _forget_trouble(self, attempt: Attempt) -> None:
        """The folder holds again what is live."""
        app = self.state.app(attempt.app)
        if app.trouble and attempt.release == app.release:
            back = dataclasses.replace(attempt.deploy(), before=app.release, outcome=LIVE, number=self.state.number + 1)
            self._write(self.state.with_app(attempt.app, app.with_deploy(back, refused="", again=0.0)))

    def _fail(self, attempt: Attempt) -> None:
        deploy, app = attempt.deploy(), self.state.app(attempt.app)
        if attempt.passing:
            deploy = dataclasses.replace(deploy, reason=f"{deploy.reason}; this is tried again every {AGAIN_S:.0f} s")
        self._log("error", deploy.reason, app=attempt.app, step=deploy.step, traceback=deploy.traceback)
        asked = any(order.app == attempt.app for order in self._open)
        told = app.trouble is not None and (app.trouble.release, app.trouble.reason) == (deploy.release, deploy.reason)
        if asked or app.again or not told or deploy.release not in ("", app.refused):
            self._write(rounds.fail(self.state, attempt.app, deploy, time.time() + AGAIN_S if attempt.passing else 0.0))

    def _begin_hook(self, attempt: Attempt) -> None:
        """Once a release: that it begins is written first; one that was begun and never ended has failed."""
        if self.state.app(attempt.app).hooking == attempt.release:
            reason = f"{attempt.app}: deploy.before was begun and not ended, and nobody knows what it did"
            self._change_app(attempt.app, hooking="")
            self._fail(attempt.after(Outcome("hook", reason)))
            return
        self._change_app(attempt.app, hooking=attempt.release)
        me, ledger = self._settings.replica, Ledger(self._settings.state)
        self._candidates.run_hook(attempt, lambda: ledger.read().holds(me, time.time()))

    # Rounds.

    def _begin_round(self) -> None:
        waiting = self._candidates.waiting
        self._candidates.drop_outdated(self.state)
        for name, one in list(waiting.items()):  # what it has passed with may have gone since
            deploy = one.passed.deploy
            if deploy.release and (taken := self._candidates.conflict(self.state, name, deploy.release)):
                del waiting[name]
                self._write(rounds.fail(self.state, name, dataclasses.replace(deploy, step="mount", reason=taken)))
        state = rounds.begin(self.state, self._waiting)
        self._write(state)
        waiting.clear()
        if state.round is not None:
            changes = {name: new.key for name, (_, new) in state.round.changes.items()}
            self._log("info", f"round {state.round.number} begins", apps=changes)

    def _advance(self, round: Round, replicas: list[ReplicaView]) -> None:
        if self._round[0] != round.number:
            self._round = round.number, time.monotonic()
        overdue = time.monotonic() - self._round[1] > rounds.ROUND_S
        now = time.time()
        state = rounds.advance(self.state, replicas, overdue, now + AGAIN_S, now)
        if state is None:
            return
        self._write(state)
        if state.round is not None:
            reasons = sorted({state.apps[name].deploys[0].reason for name in round.changes} - {""})
            does = "turns back" if state.round.state == REVERTING else "goes on without one"
            self._log("error", f"round {round.number} {does}: {'; '.join(reasons)}")
        else:
            ended = "all old" if round.state == REVERTING else "all new"
            self._log("info", f"round {round.number} has ended: {ended}")
