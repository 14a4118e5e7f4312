"""Sees what an address's slots do: plans, supervisord's word, and each worker's own. It changes nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import client
from .plan import SLOTS, Plan, PlanError, importing_file, plan_path, read_plan, slot_socket
from .supervisor import ProcessInfo
from .views import AddressView, SlotView

SILENT_S = 0.2  # for one that did not answer the last time


@dataclass(frozen=True)
class Seen:
    """One address at one moment: for the policy, and what its workers tell of themselves."""

    view: AddressView
    plan: Plan
    workers: dict[str, dict[str, Any]]


class Observer:
    """Remembers since when each slot has been what it is: the one thing that no file tells."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._since: dict[tuple[str, str], tuple[object, float]] = {}
        self._silent: set[Path] = set()

    def look(self, address: str, processes: dict[str, ProcessInfo]) -> Seen:
        """What the address does now."""
        plan = self.plan(address)
        workers: dict[str, dict[str, Any]] = {}
        slots: dict[str, SlotView] = {}
        for slot in SLOTS:
            info = processes.get(f"{address}:{slot}")
            told = self._asked(slot_socket(self._run, address, slot)) if info and info.pid else None
            if info and told and told.get("pid") == info.pid:
                workers[slot] = told
            slots[slot] = self._slot(plan, slot, info, workers.get(slot))
        keeper = processes.get(f"{address}:c")
        return Seen(AddressView(address, bool(keeper and keeper.is_alive), plan.active, slots), plan, workers)

    def _asked(self, path: Path) -> dict[str, Any] | None:
        """What a worker tells. One that was silent is not waited for so long the next time: several that are busy must
        not keep us from the others, and from our lease.
        """
        silent = path in self._silent
        told = client.status(path, SILENT_S if silent else client.SHORT_S)
        if told is not None:
            self._silent.discard(path)
        elif path.exists():
            self._silent.add(path)
        return told

    def plan(self, address: str) -> Plan:
        """The plan on disk; an empty one if it is missing or broken: then all is made anew."""
        try:
            return read_plan(plan_path(self._run, address))
        except PlanError:
            return Plan(address)

    def _slot(self, plan: Plan, slot: str, info: ProcessInfo | None, told: dict[str, Any] | None) -> SlotView:
        entry = plan.slots.get(slot)
        alive = bool(info and info.is_alive)
        state = str(told["state"]) if told else "loading"
        if info and info.state == "STOPPING":
            state = "leaving"
        generation = entry.generation if entry else 0
        now = time.monotonic()
        what = (alive, state, generation)
        before = self._since.setdefault((plan.address, slot), (what, now))
        if before[0] != what:
            before = self._since[plan.address, slot] = (what, now)
        failing = bool(info and info.state == "BACKOFF")
        content = entry.content if entry else None
        pid = info.pid if info else 0
        importing, importing_s = self._importing(plan, slot)
        if content is not None and content.alone:
            importing_s = float("inf")  # all its tries count as one
            if failing and not importing:  # by what its environment holds it may end before it is named
                importing = next(iter(content.apps), "")
        told = told or {}
        down = frozenset(app["name"] for app in told.get("apps", ()) if app["state"] != "up")
        worn = str(told.get("worn", ""))
        return SlotView(
            alive, failing, state, now - before[1], generation, content, importing, importing_s, pid, worn, down
        )

    def _importing(self, plan: Plan, slot: str) -> tuple[str, float]:
        """The app that the worker in a slot is loading, and for how long; '' if it loads none."""
        file = importing_file(self._run, plan.address, slot)
        try:
            return file.read_text("utf-8", "surrogateescape"), max(0.0, time.time() - file.stat().st_mtime)
        except OSError:
            return "", float("inf")
