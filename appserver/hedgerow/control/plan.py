"""Plans: the file that says which releases each slot of an address loads.

Written by rename before a slot is started, so that a restart by supervisord brings back what ran. It knows no
processes.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import HedgerowError
from ..hosting.cache_table import NOTHING, CacheTable
from .placement import OWN, SHARED

SLOTS = ("a", "b")


class PlanError(HedgerowError):
    """A plan file that is missing or broken; the sentence names it."""


@dataclass(frozen=True)
class Forward:
    """An app that runs in a pool: where it is mounted, and the unix sockets of the pool's processes. ours: they are
    workers of ours; else a server that the app brings; cache: what the front keeps of it.
    """

    path: str
    host: str
    sockets: tuple[str, ...]
    ours: bool = True
    cache: CacheTable = NOTHING


@dataclass(frozen=True)
class CanaryForward:
    """A part of an app's clients that is sent to another pool. share: percent; number: which canary it is."""

    to: Forward
    share: float
    number: int
    release: str


@dataclass(frozen=True)
class Content:
    """What a slot loads: app name → its release's code, and app name → why it has none; forwards: apps that it sends
    on to their pools; canaries: those of which some clients are sent to another. Or one callable (`serve`).

    behind: of a pool, whose requests come from workers of addresses, which have decided app and mount; pool: which one
    the apps are in; in `own` its one app is loaded without a space; concurrency: `threads`, or '' for greenlets;
    environment: the name of one, '' for ours; run: a command that is the server.
    """

    apps: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    callable: str = ""
    path: str = ""
    forwards: Mapping[str, Forward] = field(default_factory=dict)
    behind: bool = False
    pool: str = SHARED
    concurrency: str = ""
    environment: str = ""
    run: str = ""
    canaries: Mapping[str, CanaryForward] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether its one app is the only one."""
        return self.pool == OWN

    @property
    def shared(self) -> bool:
        """Whether it is of the shared pool, wherever that stands."""
        return self.pool == SHARED


@dataclass(frozen=True)
class Entry:
    """A slot's part of a plan. The newer of two has the higher generation. worn: why it replaces one that served the
    same.
    """

    generation: int
    content: Content
    worn: str = ""

    def to_json(self) -> dict[str, Any]:
        usual = dataclasses.asdict(Content())
        told = {name: value for name, value in dataclasses.asdict(self.content).items() if value != usual[name]}
        if not self.content.callable:
            told = {"apps": {}, "broken": {}} | told
        return {"generation": self.generation} | ({"worn": self.worn} if self.worn else {}) | told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Entry:
        known = {f.name for f in dataclasses.fields(Content)} | {"generation", "worn"}
        if strange := set(told) - known:
            raise ValueError(f"unknown key {sorted(strange)[0]!r}")
        content: dict[str, Any] = {"apps": {}, "broken": {}, "forwards": {}, "canaries": {}, **told}
        if not isinstance(content.pop("generation"), int):
            raise ValueError("generation is no number")
        if not all(isinstance(content[key], dict) for key in ("apps", "broken", "forwards", "canaries")):
            raise ValueError("apps, broken, forwards or canaries is no table")
        content["forwards"] = {name: _forward(one) for name, one in content["forwards"].items()}
        content["canaries"] = {
            name: CanaryForward(**(one | {"to": _forward(one["to"])})) for name, one in content["canaries"].items()
        }
        worn = str(content.pop("worn", ""))
        return cls(told["generation"], Content(**content), worn)


def _forward(told: Mapping[str, Any]) -> Forward:
    cache = CacheTable(**told.get("cache", {}))
    return Forward(**{**told, "sockets": tuple(told["sockets"]), "cache": cache})


@dataclass(frozen=True)
class Plan:
    """The plan of one address."""

    address: str
    active: str = "a"
    slots: Mapping[str, Entry | None] = field(default_factory=lambda: {"a": None, "b": None})

    @property
    def other(self) -> str:
        return other_slot(self.active)

    @property
    def next_generation(self) -> int:
        return 1 + max((entry.generation for entry in self.slots.values() if entry), default=0)

    @property
    def newest(self) -> Content:
        """What was written last."""
        entries = [entry for entry in self.slots.values() if entry]
        return max(entries, key=lambda entry: entry.generation).content if entries else Content()

    def is_superseded(self, slot: str) -> bool:
        """Whether the other slot has taken over from this one."""
        mine, newer = self.slots.get(slot), self.slots.get(self.active)
        return self.active != slot and mine is not None and newer is not None and newer.generation > mine.generation

    def with_entry(self, slot: str, content: Content, worn: str = "") -> Plan:
        entries = dict(self.slots) | {slot: Entry(self.next_generation, content, worn)}
        return dataclasses.replace(self, slots=entries)

    def with_active(self, slot: str) -> Plan:
        return dataclasses.replace(self, active=slot)


def other_slot(slot: str) -> str:
    return "b" if slot == "a" else "a"


def plan_path(run: Path, address: str) -> Path:
    return run / "plans" / f"{address}.json"


def slot_socket(run: Path, address: str, slot: str) -> Path:
    """The control socket of the worker in a slot."""
    return run / f"{address}-{slot}.sock"


def beat_file(run: Path, address: str, slot: str) -> Path:
    """Where the worker in a slot says that its hub turns (beats.py)."""
    return run / f"{address}-{slot}.beat"


def fault_file(run: Path, address: str, slot: str) -> Path:
    """Where it writes, in its last moment, where it stands."""
    return run / f"{address}-{slot}.fault"


def died_file(run: Path, address: str, slot: str, number: object) -> Path:
    """What one before it has written there; with `*` for a number the pattern of all."""
    return run / f"{address}-{slot}.died-{number}"


def final_counts(run: Path, worker: str) -> Path:
    """What a worker has counted when it ended; with `*` for its name the pattern of all."""
    return run / "ended" / f"{worker}.json"


def pool_listener(run: Path, pool: str) -> Path:
    """Where a pool's processes hear what the addresses' workers send on."""
    return run / f"{pool}.http"


def pool_link(run: Path, pool: str) -> Path:
    """The same for a server that is not ours: it leads to the socket of the slot that was ready last."""
    return run / f"{pool}.run"


def asleep_file(run: Path, pool: str) -> Path:
    """There while a pool has no worker until somebody asks; who asks tells the deployer."""
    return run / f"{pool}.asleep"


def importing_file(run: Path, address: str, slot: str) -> Path:
    """Where the worker in a slot names the app that it is loading; gone once it is ready."""
    return run / f"{address}-{slot}.importing"


def read_plan(path: Path) -> Plan:
    """Raises PlanError, with the file's name and what is wrong with it."""
    try:
        told = json.loads(path.read_text("utf-8"))
        slots = {slot: Entry.from_json(told["slots"][slot]) if told["slots"][slot] else None for slot in SLOTS}
        if told["active"] not in SLOTS:
            raise ValueError(f"active is {told['active']!r}")
        return Plan(str(told["address"]), told["active"], slots)
    except FileNotFoundError as error:
        raise PlanError(f"{path}: there is no such plan") from error
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError(f"{path}: not a plan: {error!r}") from error


def write_plan(path: Path, plan: Plan) -> None:
    slots = {slot: entry.to_json() if entry else None for slot, entry in plan.slots.items()}
    write_json(path, {"address": plan.address, "active": plan.active, "slots": slots})


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all, also for who reads meanwhile and after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(beside, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
