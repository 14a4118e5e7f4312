"""What a replica does for deploys: it looks at the apps folder, and while it holds the lease it has releases made and
tried, and begins and ends rounds. What the ledger wants is what it tells the deployer.

`rounds.py` decides what becomes of a deploy. It knows no slots and no supervisord.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ..config import Settings
from ..errors import UserError
from ..hosting.claims import claim, conflict
from . import layout, orders, rounds
from .attempts import Attempt, Attempts
from .folders import Folders
from .ledger import LEASE_S, LIVE, AppState, Deploy, Ledger, OutdatedError, Round, State
from .orders import Order, Orders
from .plan import Content
from .rounds import Passed, ReplicaView
from .step import Outcome

LOOK_S = 2.0
MOVING_S = 0.5  # what has changed is looked at again so soon
JOIN_S = 1.0  # deploys that are nearly ready go with the first one
CLEAN_S = 3600.0
ROUND_S = 180.0  # above what a swap of two addresses may take; then it waits no more for who is not ready
FIRST_JOIN_S = 20.0  # while nothing is served at all, no app is served before the others can be, too

Log = Callable[..., None]


@dataclasses.dataclass(frozen=True)
class Waiting:
    """A deploy that has passed and waits for its round. fingerprint: of the folder that it was made from, or ''."""

    passed: Passed
    since: float
    fingerprint: str = ""


class Deploys:
    """See the module's docstring. state: what the ledger told last."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._ledger = Ledger(settings.state)
        self._folders = Folders(settings.apps)
        self._attempts = Attempts(settings)
        self._orders = Orders(settings.state)
        self._open: list[Order] = []
        self._round = (0, 0.0)  # which one is under way, and since when by our clock
        self._made: dict[str, tuple[str, str]] = {}  # app → a fingerprint, and the release that it is; '' for none
        self._waiting: dict[str, Waiting] = {}
        self._looked = float("-inf")
        self._hinted = False
        self._began = time.monotonic()
        self._told = ""
        self.state = self._ledger.read()

    # What the deployer asks.

    @property
    def wanted(self) -> Content | None:
        """What all workers of this replica are to run; None until something can be served."""
        found = rounds.wanted(self.state)
        if not found and self._is_first_start():
            return None
        apps = {name: str(layout.code(self._settings.state, name, release)) for name, release in sorted(found.items())}
        return Content(apps, {name: reason for name, reason in self._troubles().items() if name not in apps})

    def brings(self, app: str = "") -> bool:
        """Whether a round is bringing another release of this app, or of any."""
        round = self.state.round
        return round is not None and round.state == rounds.ROLLING and (not app or app in round.changes)

    @property
    def busy(self) -> bool:
        """Whether something is under way, here or at who holds the lease, that wants a quick next step."""
        ours = len(self._attempts) or self._waiting or self._open or self._folders.moving
        return bool(ours or self.state.round or self.state.lease)

    def used(self) -> set[Path]:
        """The releases that the ledger refers to, and those that wait for a round."""
        found = {(name, one.passed.deploy.release) for name, one in self._waiting.items()}
        for name, app in self.state.apps.items():
            found |= {(name, app.release), (name, app.previous)}
        for name, change in (self.state.round.changes if self.state.round else {}).items():
            found |= {(name, release) for release in change}
        return {layout.code(self._settings.state, name, release) for name, release in found if release}

    def look_soon(self) -> None:
        """Something in the apps folder may have changed. Called from any thread."""
        self._hinted = True

    def clean(self) -> None:
        """Remove what killed writers of the ledger have left."""
        self._ledger.clean(time.time() - CLEAN_S)

    def close(self) -> None:
        """End what runs."""
        self._attempts.close()

    def _troubles(self) -> dict[str, str]:
        return {name: app.trouble.reason for name, app in sorted(self.state.apps.items()) if app.trouble}

    def _is_first_start(self) -> bool:
        """Nothing was ever served, and something soon will be."""
        if time.monotonic() - self._began > FIRST_JOIN_S:
            return False
        return self._looked == float("-inf") or bool(self._news() or len(self._attempts) or self._waiting)

    # One step.

    def step(self, replicas: Iterable[ReplicaView]) -> None:
        """Look, and do what is ours to do. replicas: the live ones, this one among them. Raises LedgerError."""
        self._look()
        self.state = self._ledger.read()
        self._open = self._orders.open()
        try:
            if self._take_lease():
                self._work(list(replicas))
        except OutdatedError:  # somebody was faster, or has the lease by now: the next step sees it
            self.state = self._ledger.read()

    def _look(self) -> None:
        now = time.monotonic()
        hinted = self._hinted and not self._folders.moving  # what moves is looked at soon enough
        if not hinted and now - self._looked < (MOVING_S if self._folders.moving else LOOK_S):
            return
        self._looked, self._hinted = now, False
        try:
            self._folders.look()
            self._told = ""
        except UserError as error:
            if self._told != str(error):
                self._log("error", str(error))
            self._told = str(error)

    def _take_lease(self) -> bool:
        """Whether we hold it: it is taken when there is something to do, kept while there is, and then given back."""
        me, now, state = self._settings.replica, time.time(), self.state
        mine = state.holds(me, now)
        if not (self._news() or self._gone() or self._open or len(self._attempts) or self._waiting or state.round):
            if mine:
                self._write(dataclasses.replace(state, lease=None))
            return False
        if not mine:
            if state.lease is None or state.lease.holder != me:  # another had it: what was begun is his, or begins anew
                self._attempts.forget()
                self._waiting.clear()
            if not state.is_free(now):
                return False
        if not mine or (state.lease is not None and state.lease.until - now < LEASE_S / 2):
            self._write(state.with_lease(me, now))
        return True

    def _work(self, replicas: list[ReplicaView]) -> None:
        for name in [name for name, one in self._waiting.items() if not one.passed.deploy.release]:
            if not self._folders.lacks(name):  # its folder is back
                del self._waiting[name]
        for order in self._open:
            self._carry_out(order, any(view.draining for view in replicas))
        for name, fingerprint in self._news().items():
            if self._attempts.fingerprint(name) is None:  # else this is begun when that has come, and was dropped
                self._waiting.pop(name, None)
                known = self._app(name)
                self._attempts.start(name, fingerprint, (known.release, known.refused))
        for name in self._gone():
            self._remove(name)
        for attempt in self._attempts.ended():
            self._take(attempt)
        if self.state.round is not None:
            self._advance(self.state.round, replicas)
        elif self._waiting and not self._others_come():
            self._begin_round()

    def _write(self, state: State) -> None:
        self.state = self._ledger.write(state)

    def _app(self, name: str) -> AppState:
        return self.state.apps.get(name, AppState())

    def _change_app(self, name: str, **changes: str) -> None:
        self._write(self.state.with_app(name, dataclasses.replace(self._app(name), **changes)))  # type: ignore[arg-type]

    # Folders.

    def _news(self) -> dict[str, str]:
        """Folders that hold still, and hold what is neither wanted nor refused, or what nobody has made anything of."""
        return {
            name: mark
            for name, mark in self._folders.settled.items()
            if not self._folders.moves(name) and self._is_new(name, mark)
        }

    def _is_new(self, name: str, fingerprint: str) -> bool:
        if self._attempts.fingerprint(name) == fingerprint:
            return False
        if name in self._waiting and self._waiting[name].fingerprint in (fingerprint, ""):
            return False
        made, release = self._made.get(name, ("", ""))
        return made != fingerprint or release not in ("", self._app(name).release, self._app(name).refused)

    def _gone(self) -> list[str]:
        """Apps of the ledger whose folders are no more. Those of a round are its business until it ends. All of
        several at once are a folder that is not mounted rather than a wish: none is removed while it is empty.
        """
        rolls = self.state.round.changes if self.state.round else {}
        known = [
            name for name, app in sorted(self.state.apps.items()) if (app.release or app.trouble) and name not in rolls
        ]
        if len(known) > 1 and not self._folders.settled:
            return []
        return [name for name in known if name not in self._waiting and self._folders.lacks(name)]

    def _remove(self, name: str) -> None:
        self._made.pop(name, None)
        if self._app(name).release:
            self._wait(Passed(name, Deploy("", cause="removed", began=time.time())))
        else:  # it never lived
            self._write(self.state.without_app(name))

    def _take(self, attempt: Attempt) -> None:
        """What has come of an attempt, into the ledger or among what waits."""
        name = attempt.app
        if attempt.void:
            if attempt.hook:
                self._change_app(name, hooking="")
            self._hinted = True
            return
        if attempt.hooked:
            done = attempt.release if attempt.outcome.ok else self._app(name).hooked
            self._change_app(name, hooking="", hooked=done)
        if self._folders.settled.get(name) != attempt.fingerprint:
            return  # it has changed meanwhile
        if not attempt.outcome.ok:
            self._fail(attempt)
        self._made[name] = attempt.fingerprint, attempt.release
        if attempt.outcome.ok:
            self._go_on(attempt)

    def _go_on(self, attempt: Attempt) -> None:
        """Behind a trial, or a hook, that was passed."""
        name = attempt.app
        if attempt.hook and self._app(name).hooked != attempt.release:
            self._begin_hook(attempt)
        elif attempt.unchanged:
            self._forget_trouble(attempt)
        elif taken := self._conflict(name, attempt.release):
            self._fail(attempt.after(Outcome("mount", taken)))
        else:
            self._log("info", f"{name}: the release {attempt.release} may be served", app=name)
            self._wait(Passed(name, attempt.deploy()), attempt.fingerprint)

    def _conflict(self, name: str, release: str) -> str:
        """Why its mount is not to be had: it belongs to an app that is wanted, or that waits for its round."""
        wanted = rounds.wanted(self.state) | {one: w.passed.deploy.release for one, w in self._waiting.items()}
        claims = [claim(one, layout.code(self._settings.state, one, of)) for one, of in wanted.items() if of]
        new = claim(name, layout.code(self._settings.state, name, release))
        return conflict(new, filter(None, claims)) if new else ""

    def _forget_trouble(self, attempt: Attempt) -> None:
        """The folder holds again what is live."""
        app = self._app(attempt.app)
        if app.trouble and attempt.release == app.release:
            back = dataclasses.replace(attempt.deploy(), before=app.release, outcome=LIVE, number=self.state.number + 1)
            self._write(self.state.with_app(attempt.app, app.with_deploy(back, refused="")))

    def _fail(self, attempt: Attempt) -> None:
        deploy, last = attempt.deploy(), self._app(attempt.app).trouble
        self._log("error", deploy.reason, app=attempt.app, step=deploy.step, traceback=deploy.traceback)
        asked = any(order.app == attempt.app for order in self._open)
        if asked or last is None or (last.release, last.reason) != (deploy.release, deploy.reason):
            self._write(rounds.fail(self.state, attempt.app, deploy))

    def _begin_hook(self, attempt: Attempt) -> None:
        """Once a release: that it begins is written first; one that was begun and never ended has failed."""
        if self._app(attempt.app).hooking == attempt.release:
            reason = f"{attempt.app}: deploy.before was begun and not ended, and nobody knows what it did"
            self._change_app(attempt.app, hooking="")
            self._fail(attempt.after(Outcome("hook", reason)))
            return
        self._change_app(attempt.app, hooking=attempt.release)
        me, ledger = self._settings.replica, Ledger(self._settings.state)
        self._attempts.run_hook(attempt, lambda: ledger.read().holds(me, time.time()))

    # Orders.

    def _carry_out(self, order: Order, draining: bool) -> None:
        """Accept it, or answer it: when the ledger tells what became of it, and no earlier worker answers any more."""
        if not order.accepted:
            self._orders.put(self._accept(order))
            return
        answer = orders.outcome(order, self._app(order.app)) or self._settled(order)
        if answer is not None and not (answer.done and draining):
            self._orders.put(answer)

    def _accept(self, order: Order) -> Order:
        name, app = order.app, self._app(order.app)
        accepted = dataclasses.replace(order, accepted=max(1, self.state.number))
        if order.what == orders.DEPLOY:
            if name not in self._folders.settled:
                return order.answered(False, f"{name}: no such app in {self._settings.apps}, or it does not hold still")
            if app.refused or app.hooking:
                self._change_app(name, refused="", hooking="")
            self._made.pop(name, None)
            return accepted
        release = order.release or app.previous
        if not release:
            return order.answered(False, f"{name}: there is no earlier release to go back to")
        accepted = dataclasses.replace(accepted, release=release)
        return self._roll_back(accepted) or accepted

    def _roll_back(self, order: Order) -> Order | None:
        """Let it wait for its round; or what there is to answer instead."""
        name, release, app = order.app, order.release, self._app(order.app)
        if release == app.release:
            return order.answered(True, f"{name}: {release} runs already")
        if not layout.code(self._settings.state, name, release).is_dir():
            return order.answered(False, f"{name}: there is no release {release}")
        if not any(one.release == release and one.outcome == LIVE for one in app.deploys):
            return order.answered(False, f"{name}: {release} was never live, so nobody knows whether it works")
        refused = self._made.get(name, ("", ""))[1] or app.release
        deploy = Deploy(release, cause=orders.ROLLBACK, began=time.time())
        self._wait(Passed(name, deploy, "" if refused == release else refused))
        return None

    def _settled(self, order: Order) -> Order | None:
        """The answer when nothing is under way of which it could come: no order is left open, since it keeps the lease.
        A rollback that waited in a deployer that is no more waits again.
        """
        name, app = order.app, self._app(order.app)
        if self.state.round is not None or name in self._waiting or self._attempts.fingerprint(name) is not None:
            return None
        if order.what == orders.ROLLBACK:
            return self._roll_back(order)
        if self._folders.lacks(name):
            return order.answered(False, f"{name}: its folder is gone")
        made, release = self._made.get(name, ("", ""))
        if not made or made != self._folders.settled.get(name) or name in self._news():
            return None
        if release == app.release:
            return order.answered(True, f"{name}: {release} runs already")
        return order.answered(False, app.trouble.reason if app.trouble else f"{name}: {release} is refused")

    # Rounds.

    def _wait(self, passed: Passed, fingerprint: str = "") -> None:
        self._waiting[passed.app] = Waiting(passed, time.monotonic(), fingerprint)

    def _others_come(self) -> bool:
        """Whether what is still tried may go with what waits."""
        first = min(one.since for one in self._waiting.values())
        limit_s = JOIN_S if rounds.wanted(self.state) else FIRST_JOIN_S
        return bool(len(self._attempts)) and time.monotonic() - first < limit_s

    def _begin_round(self) -> None:
        state = rounds.begin(self.state, [one.passed for one in self._waiting.values()])
        self._write(state)
        self._waiting.clear()
        if state.round is not None:
            changes = {name: new for name, (_, new) in state.round.changes.items()}
            self._log("info", f"round {state.round.number} begins", apps=changes)

    def _advance(self, round: Round, replicas: list[ReplicaView]) -> None:
        if self._round[0] != round.number:
            self._round = round.number, time.monotonic()
        state = rounds.advance(self.state, replicas, time.monotonic() - self._round[1] > ROUND_S)
        if state is None:
            return
        self._write(state)
        if state.round is not None:
            reasons = sorted({state.apps[name].deploys[0].reason for name in round.changes})
            self._log("error", f"round {round.number} turns back: {'; '.join(reasons)}")
        else:
            ended = "all old" if round.state == rounds.REVERTING else "all new"
            self._log("info", f"round {round.number} has ended: {ended}")
