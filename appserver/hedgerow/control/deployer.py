"""The deployer: observe → decide → act, every two seconds, and ten times a second while something changes.

It is supervisord's event listener, so that all workers leave together when supervisord stops. It keeps nothing that a
restart of it would need: ledger, plans, supervisord and the workers tell. Which releases are wanted is for deploys.py,
what is done next with the slots is decided in policy.py.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import sys
import threading
import time
from io import FileIO
from typing import Any

from ..config import Settings
from ..errors import HedgerowError
from ..hosting.findings import Finding
from . import events, exposition, logs, metrics, policy, pools, records, serving, situation, told
from .acts import Acts
from .agreement import Agreement
from .client import ControlError
from .deploys import Deploys
from .environments import builds
from .faults import Faults
from .gateway import Gateway
from .hearts import Hearts
from .idle import Idle
from .leave import leave
from .notify import Notify
from .observe import Observer, Seen
from .offences import Offences
from .pace import Pace
from .plan import importing_file
from .pools import Wanted
from .rounds import Releases, ReplicaView
from .situation import Situation
from .supervisor import ProcessInfo, Supervisor
from .tally import Tally
from .views import SWAP_LIMIT_S

PRUNE_S = 600.0
NUDGE_S = 0.02


class Deployer:
    """One replica's. `step` does one round; `run` does them until supervisord stops."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._supervisor = Supervisor(settings.run)
        self._observer = Observer(settings.run)
        self._deploys = Deploys(settings, log)
        self._wanted: Wanted | None = None
        self._faults = Faults()
        self._offences = Offences()
        self._found: dict[str, Finding] = {}
        self._tally = Tally()
        self._idle = Idle(settings.run, settings.pool_idle_s)
        self._acts = Acts(settings, self._supervisor, self._observer, self._idle)
        self._gateway = Gateway(settings)
        self._pruned = self._recorded = float("-inf")
        self._pace = Pace()
        self._states: list[str] = []
        self._record: dict[str, Any] = {"replica": settings.replica, "addresses": [], "apps": {}, "broken": {}}
        self._front_pid = 0
        self._agreement = Agreement(settings)
        self._metrics = metrics.Metrics(settings.state, settings.run, settings.replica)
        self._bell, self._ring = os.pipe()  # not an Event: its lock is no good in a signal handler
        self.stopping = self.ended = False

    def run(self) -> None:
        """Serves the status, listens to supervisord, and does rounds until told to end."""
        Hearts(self.settings.run, self.settings.hub_limit_s, lambda told: log("error", told)).start()
        exposition.serve(self.settings, lambda: self._record, self._hear, log)
        # Unbuffered: a thread that waits in a buffered reader holds a lock which the end of Python wants.
        source, answers = FileIO(0, "rb"), FileIO(1, "wb")
        hear = functools.partial(events.listen, source, answers, self._stop, self._end)
        threading.Thread(target=hear, name="events", daemon=True).start()
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        try:
            with Notify(self.settings.apps, self._hint, lambda told: log("warning", told)):
                while not self.stopping and not self.ended:
                    self._wait(self._pause(self.step()))
            if self.stopping and not self.ended:
                leave(self.settings, self._front_pid)
                log("info", "all workers are told to leave")
            while not self.ended:  # supervisord ends group after group, and may sleep a second between two unless asked
                with contextlib.suppress(ControlError):
                    self._supervisor.processes()
                self._wait(NUDGE_S)
        finally:
            self._deploys.close()  # or Python would wait for a hook
            self._metrics.close(log)
        records.record_path(self.settings.state, self.settings.replica).unlink(missing_ok=True)

    def step(self) -> bool:
        """One round. Returns whether something is under way."""
        now = time.monotonic()
        if sentence := self._agreement.look(now):
            log("error", f"{sentence}; this replica ends")
            self._supervisor.shutdown()
        try:
            processes = self._supervisor.processes()
        except ControlError as error:
            log("error", str(error))
            return False
        seen = [self._observer.look(address, processes) for address in self.settings.addresses]
        own = self._idle.look({name: self._observer.look(name, processes) for name in pools.groups(processes)})
        self._offences.look(self.settings.run, [*seen, *own.values()], now, log)
        self._found = self._offences.found | told.found(seen, own)
        self._tally.look(seen, self._wanted)
        self._metrics.step([*seen, *own.values()], processes.values(), (self._wanted or Wanted()).keys, now, log)
        self._follow(seen, own)
        actions = situation.decide(self._situation(seen, own))
        for action in actions:
            self._act(action)
        self._tell(seen, own, processes, now)
        if now - self._pruned >= PRUNE_S:
            self._prune()
            self._pruned = now
        views = [one.view for one in (*seen, *own.values())]
        swaps = any(view.state != "single" or not view.current.ready for view in views if not view.asleep)
        return bool(actions) or swaps or self._deploys.busy

    def _situation(self, seen: list[Seen], own: dict[str, Seen]) -> Situation:
        wanted = self._wanted
        addresses, views = [one.view for one in seen], {name: one.view for name, one in own.items()}
        gateway = self._gateway.groups(wanted, seen, own) if wanted else ()
        content = pools.of_addresses(wanted, self.settings.run, gateway) if wanted else None
        idle, rejected, drain_s = self._idle.of(own), self._faults.rejected, self.settings.swap_drain_s
        return Situation(wanted, addresses, views, content, gateway, idle, rejected, drain_s)

    def _follow(self, seen: list[Seen], own: dict[str, Seen]) -> None:
        """What the ledger wants now, after this replica's part in it."""
        draining = any(one.view.state == "draining" for one in (*seen, *own.values()))
        runs = tuple(self._runs(one, own) for one in seen)
        left_out = self._faults.left_out
        told, canaries = self._faults.told, self._tally.sides
        mine = ReplicaView(
            self.settings.replica, runs, *told, draining, found=self._found, left_out=left_out, canaries=canaries
        )
        others = [
            records.replica_view(record)
            for record in records.read_records(self.settings.state)
            if not record["stale"] and record["replica"] != self.settings.replica
        ]
        try:
            self._deploys.step([mine, *others])
        except (HedgerowError, OSError) as error:  # a full disk: what is wanted stays as it was
            log("error", str(error))
        wanted = self._deploys.wanted
        for sentence in self._faults.mind(wanted, functools.partial(builds.trouble, self.settings.state)):
            log("error", sentence)
        wanted = self._faults.without(wanted)
        if wanted != self._wanted:
            self._wanted = wanted
            self._faults.forget_rejection()
            if wanted is not None:
                log("info", "these releases are wanted", apps=wanted.keys, broken=dict(wanted.broken))

    def _runs(self, seen: Seen, own: dict[str, Seen]) -> Releases:
        """What an address serves; none that any round could want while it is not ready."""
        return self._faults.as_told(serving.runs(seen.view, {name: one.view for name, one in own.items()}))

    def _act(self, action: policy.Action) -> None:
        words = {key: word for key, word in vars(action).items() if word and isinstance(word, str)}
        log("info", type(action).__name__, **words)
        try:
            self._do(action)
        except ControlError as error:  # the next round sees how things are, and decides again
            log("error", str(error))

    def _do(self, action: policy.Action) -> None:
        match action:
            case policy.Reject(content):
                reason = f"a worker did not get ready in {SWAP_LIMIT_S:.0f} s"
                blamed = next(iter(content.apps), "") if content.alone else ""  # a pool's app is nobody else's fault
                self._faults.reject(self._wanted or Wanted(), content, reason, blamed)
            case policy.Blame(address, slot, app, instead):
                importing_file(self.settings.run, address, slot).unlink(missing_ok=True)
                self._blame(address, app, instead)
            case _:
                self._acts.do(action)

    def _blame(self, group: str, app: str, instead: str | None) -> None:
        """Its release is at fault: a round that brings it, or could take it from those that it still serves, goes back;
        else it is left out here, since going back would not help.
        """
        trouble = f"{app}: loading it does not end, or ends the worker"
        log("error", trouble, app=app)
        wanted = self._wanted or Wanted()
        if not self._deploys.brings(app) and self._tally.blame(group, app, trouble):
            return
        served = app in wanted.apps and instead == wanted.apps[app].code
        if self._deploys.brings(app) or (self._deploys.brings() and served):
            content = self._observer.plan(group).newest
            self._faults.reject(wanted, content, trouble, app)
        elif self._faults.leave_out(wanted, app, instead, f"{trouble}; `hedgerow deploy {app}` tries it again"):
            log("error", f"{app}: it is left out until another release of it is wanted, or it is ordered", app=app)

    def _tell(self, seen: list[Seen], own: dict[str, Seen], processes: dict[str, ProcessInfo], now: float) -> None:
        """The replica's record: at each change of state, and every two seconds."""
        front = processes.get("nginx")
        self._front_pid = front.pid if front else 0
        wanted = self._wanted or Wanted()
        folders, broken = self._deploys.folders, self._deploys.troubles | dict(wanted.broken)
        # Who holds the lease may wait for us to miss a folder.
        states = [*told.states(seen, own, self._found), *folders, *broken]
        if states == self._states and now - self._recorded < records.WRITTEN_EVERY_S:
            return
        self._states, self._recorded = states, now
        self._record = {
            "replica": self.settings.replica,
            "time": time.time(),
            "pid": os.getpid(),
            "front": {"port": self.settings.port, "state": front.state, "pid": front.pid} if front else None,
            "apps": {name: app.code for name, app in wanted.apps.items()},
            "broken": broken,
            "folders": folders,
            "troubles": self._faults.troubles,
            "ordered": {name: ordered for name, (ordered, _) in self._faults.left_out.items()},
            "canaries": self._tally.told,
            "runs": [self._runs(one, own) for one in seen],
            **dict(zip(("refuses", "blamed", "reason"), self._faults.told, strict=True)),
            **told.groups(seen, own, processes, self._found),
        }
        try:
            records.write_record(self.settings.state, self._record)
        except OSError as error:
            log("error", f"the record cannot be written: {error}")

    def _prune(self) -> None:
        try:
            metrics.tidy(self.settings.state, time.time())
            self._deploys.tidy([self._record | {"age_s": 0.0}, *records.read_records(self.settings.state)])
        except OSError as error:
            log("error", f"old releases cannot be removed: {error}")

    def _pause(self, busy: bool) -> float:
        state = self._deploys.state
        reached = self._states, state.round, state.apps  # no lease: who waits renews it all the same
        return self._pace.pause_s(time.monotonic(), busy, reached)

    def _hear(self, target: str) -> bool:
        """What is told by POST: that a pool is asked."""
        verb, _, pool = target.lstrip("/").partition("/")
        if verb == "wake":
            self._idle.wake(pool)
            os.write(self._ring, b".")
        return verb == "wake"

    def _hint(self) -> None:
        self._deploys.look_soon()
        os.write(self._ring, b".")

    def _stop(self) -> None:
        self.stopping = True
        os.write(self._ring, b".")

    def _end(self) -> None:
        self.ended = True
        os.write(self._ring, b".")

    def _wait(self, seconds: float | None) -> None:
        if select.select([self._bell], [], [], seconds)[0]:
            os.read(self._bell, 64)


def log(level: str, message: str, **more: Any) -> None:
    """A JSON line; to stderr, since stdout is supervisord's."""
    print(logs.written("deployer", level, message, **more), file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        Deployer(Settings.from_env()).run()
    except HedgerowError as error:
        sys.exit(f"hedgerow deployer: {error}")
