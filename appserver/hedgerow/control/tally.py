"""What both sides of each canary got at one replica: the sums of its workers, also of those that are no more."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from . import canary, pools
from .canary import Sides
from .observe import Seen
from .pools import Wanted


class Tally:
    """In memory only: a deployer that is started again counts anew what the workers tell that live then."""

    def __init__(self) -> None:
        self._workers: dict[tuple[str, int], dict[int, Sides]] = {}
        self._pools: dict[tuple[str, int], str] = {}
        self._troubles: dict[tuple[str, int], str] = {}

    def look(self, addresses: Iterable[Seen], wanted: Wanted | None) -> None:
        """At what the workers of addresses tell. What is no canary any more is forgotten."""
        apps = wanted.apps.items() if wanted else ()
        self._pools = {
            (name, app.canary.number): pools.canary_name(name, app.canary.run) for name, app in apps if app.canary
        }
        for seen in addresses:
            for worker in seen.workers.values():
                for name, told in worker.get("canaries", {}).items():
                    self._workers.setdefault((name, told["number"]), {})[worker["pid"]] = canary.read(told)
        self._workers = {key: found for key, found in self._workers.items() if key in self._pools}
        self._troubles = {key: found for key, found in self._troubles.items() if key in self._pools}

    def blame(self, pool: str, app: str, trouble: str) -> bool:
        """A pool cannot serve what it is to load. Whether that is a canary."""
        for key, found in self._pools.items():
            if found == pool and key[0] == app:
                self._troubles[key] = trouble
                return True
        return False

    @property
    def sides(self) -> Mapping[str, Sides]:
        """Of each app that has a canary."""
        return {
            name: dataclasses.replace(
                canary.total(number, self._workers.get((name, number), {}).values()),
                trouble=self._troubles.get((name, number), ""),
            )
            for name, number in self._pools
        }

    @property
    def told(self) -> dict[str, Any]:
        """The same, for the replica's record."""
        return {name: dataclasses.asdict(sides) for name, sides in self.sides.items()}
