"""Whether the addresses are a gateway: workers without apps, with the shared pool behind unix sockets like any other,
so that what ends a shared worker does not end the requests of own pools.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from ..config import Settings
from . import pools, serving
from .observe import Seen
from .pools import Wanted

LOST_WITHIN_S = 600.0
LOST_TIMES = 2


def is_wanted(setting: str, wanted: Wanted, lost: int, is_so: bool) -> bool:
    """The decision. lost: how many shared workers have ended by themselves of late; is_so: it is one already, and what
    led to that may come again.
    """
    if setting != "auto":
        return setting == "true"
    strict = any(app.strict for app in wanted.apps.values())
    return is_so or strict or lost >= LOST_TIMES


class Gateway:
    """That of one replica: it remembers the workers that were lost."""

    def __init__(self, settings: Settings) -> None:
        self._setting = settings.gateway
        self._names = pools.shared_names(settings.workers)
        self._known: dict[tuple[str, str, int], int] = {}
        self._lost: list[float] = []

    def groups(self, wanted: Wanted, addresses: Sequence[Seen], own: Mapping[str, Seen]) -> Sequence[str]:
        """The groups of the shared pool, if they are behind a gateway."""
        self._count([*addresses, *(one for name, one in own.items() if pools.is_shared(name))])
        served = [one.view.served for one in addresses]
        is_so = any(name in serving.sent_to(content) for content in served if content for name in self._names)
        return self._names if is_wanted(self._setting, wanted, len(self._lost), is_so) else ()

    def _count(self, seen: Sequence[Seen]) -> None:
        """A worker has ended by itself if there is another process in its slot for the same entry of the plan."""
        now = time.monotonic()
        known, self._known = self._known, {}
        for one in seen:
            for slot, view in one.view.slots.items():
                if view.content is None or not view.content.apps or not view.pid:
                    continue
                key = (one.view.address, slot, view.generation)
                self._known[key] = view.pid
                if known.get(key, view.pid) != view.pid:
                    self._lost.append(now)
        self._lost = [then for then in self._lost if now - then < LOST_WITHIN_S]
