"""Carries out what was decided about groups of processes: by supervisord, by plans, by a word to a worker."""

from __future__ import annotations

from ..config import Settings
from . import client, policy
from .idle import Idle
from .observe import Observer
from .plan import importing_file, plan_path, slot_socket, write_plan
from .supervisor import Supervisor, pool_file, write_pool


class Acts:
    """Those of one replica."""

    def __init__(self, settings: Settings, supervisor: Supervisor, observer: Observer, idle: Idle) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._observer = observer
        self._idle = idle

    def do(self, action: policy.Action) -> None:
        """Raises ControlError: the next round sees how things are, and decides again."""
        run = self._settings.run
        match action:
            case policy.Add(pool):
                write_pool(self._settings, pool)
                self._supervisor.add(pool)
            case policy.Remove(pool):
                pool_file(run, pool).unlink(missing_ok=True)
                self._supervisor.remove(pool)
                for left in (plan_path(run, pool), *run.glob(f"{pool}.*"), *run.glob(f"{pool}-*")):
                    left.unlink(missing_ok=True)
            case policy.Sleep(pool):
                self._idle.sleep(pool)
            case policy.Wake(pool):
                self._idle.wake(pool)
            case policy.StartKeeper(address):
                self._supervisor.start(f"{address}:c")
            case policy.Start(address, slot, content, worn):
                if content is not None:
                    write_plan(plan_path(run, address), self._observer.plan(address).with_entry(slot, content, worn))
                self._supervisor.start(f"{address}:{slot}")
            case policy.Activate(address, slot):
                write_plan(plan_path(run, address), self._observer.plan(address).with_active(slot))
            case policy.Drain(address, slot):
                client.post(slot_socket(run, address, slot), "/drain")
            case policy.Stop(address, slot):
                # One that is told to drain leaves the listener alone when supervisord's SIGTERM comes.
                client.post(slot_socket(run, address, slot), "/drain")
                self._supervisor.stop(f"{address}:{slot}")
                importing_file(run, address, slot).unlink(missing_ok=True)  # the next try begins anew
