"""What a replica's record tells of its groups of processes: the addresses, and the pools. It decides nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from ..hosting.findings import Finding
from .observe import Seen
from .plan import SLOTS
from .pools import canary_name, has_neighbours
from .supervisor import ProcessInfo

COUNTED = ("bounds", "counts", "gates", "canaries")  # for metrics.py and tally.py, and too much for a record


def states(addresses: Iterable[Seen], own: Mapping[str, Seen], found: Mapping[str, Finding]) -> list[str]:
    """Another list when something has happened of which others should hear at once."""
    views = [one.view for one in (*addresses, *own.values())]
    told = [(one.state, one.active, one.current.ready, one.current.worn, one.other.state) for one in views]
    return [*map(str, told), *found]


def groups(
    addresses: list[Seen], own: Mapping[str, Seen], processes: Mapping[str, ProcessInfo], found: Mapping[str, Finding]
) -> dict[str, Any]:
    """This part of the record."""
    entries = [entry for one in (*addresses, *own.values()) for entry in one.plan.slots.values() if entry]
    return {
        "found": {name: dataclasses.asdict(finding) for name, finding in found.items()},
        "addresses": [_group(one, processes) for one in addresses],
        "pools": [_group(one, processes) | _content(one) for one in own.values()],
        "releases": sorted({code for entry in entries for code in entry.content.apps.values()}),
        "environments": sorted({entry.content.environment for entry in entries}),
    }


def found(addresses: Iterable[Seen], own: Mapping[str, Seen]) -> dict[str, Finding]:
    """What the workers that serve have found of apps that share them."""
    sharing = [*addresses, *(one for name, one in own.items() if has_neighbours(name))]
    workers = [one.workers.get(one.view.active, {}) for one in sharing]
    apps = [app for worker in workers for app in worker.get("apps", ()) if app.get("findings")]
    return {app["name"]: Finding(**app["findings"][0]) for app in apps}


def _content(group: Seen) -> dict[str, Any]:
    """Which pool it is, and the apps that it is to load."""
    content = group.plan.newest
    canaries = (canary_name(name, content.run) for name in content.apps)
    told = {"pool": content.pool if content.apps else "", "apps": sorted(content.apps)}
    return told | {"canary": group.view.address in canaries}


def _group(seen: Seen, processes: Mapping[str, ProcessInfo]) -> dict[str, Any]:
    slots = {}
    for slot in SLOTS:
        info = processes.get(f"{seen.view.address}:{slot}")
        if info and info.is_alive:
            trouble = info.trouble if info.state == "BACKOFF" else ""
            entry = seen.plan.slots.get(slot)
            worker = {key: one for key, one in seen.workers.get(slot, {}).items() if key not in COUNTED}
            known = {"process": info.state, "pid": info.pid, "trouble": trouble}
            slots[slot] = known | {"replaced": entry.worn if entry else ""} | worker
    return {
        "address": seen.view.address,
        "active": seen.view.active,
        "state": seen.view.state,
        "ready": seen.view.current.ready or seen.view.other.ready,
        "asleep": seen.view.asleep,
        "slots": slots,
    }
