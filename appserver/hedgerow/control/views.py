"""One slot, and one address with its two, as they are seen from outside: what policy.py decides by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .plan import Content, other_slot

SWAP_LIMIT_S = 60.0
# A worker that dies again and again while it loads the same app: long enough for supervisord's second try.
CRASH_LIMIT_S = 3.0


@dataclass(frozen=True)
class SlotView:
    """One slot as seen from outside.

    alive: it runs or supervisord will start it again. failing: supervisord waits before the next try. state: what the
    worker says of itself (`ready`, `draining`, `leaving`), or `loading` while nobody answers. for_s: how long so.
    importing: the app that it is loading, or was when it ended; importing_s: for how long; pid: 0 for no process;
    worn: why another is to take over from it (wear.py); down: the apps that it could not load.
    """

    alive: bool = False
    failing: bool = False
    state: str = "loading"
    for_s: float = 0.0
    generation: int = 0
    content: Content | None = None
    importing: str = ""
    importing_s: float = float("inf")
    pid: int = 0
    worn: str = ""
    down: frozenset[str] = frozenset()

    @property
    def still_s(self) -> float:
        """For how long it has made no progress: the limit is one app's, not that of all together."""
        return min(self.for_s, self.importing_s)

    @property
    def stuck(self) -> bool:
        """It will not get ready, because of the app that it is importing."""
        if not self.importing or self.ready or self.going:
            return False
        return not self.alive or (self.for_s >= CRASH_LIMIT_S if self.failing else self.still_s >= SWAP_LIMIT_S)

    @property
    def ready(self) -> bool:
        return self.alive and self.state == "ready"

    @property
    def going(self) -> bool:
        return self.alive and self.state in ("draining", "leaving")

    @property
    def serves(self) -> bool:
        """Also one that is too busy to say so."""
        return self.alive and not (self.failing or self.going or self.importing)


@dataclass(frozen=True)
class AddressView:
    """One address, or a pool: its keeper, its two slots, and which of them the plan calls active. asleep: it is a pool
    whose worker is started when somebody asks.
    """

    address: str
    keeper: bool = False
    active: str = "a"
    slots: Mapping[str, SlotView] = field(default_factory=dict)
    asleep: bool = False

    def slot(self, name: str) -> SlotView:
        return self.slots.get(name, SlotView())

    @property
    def current(self) -> SlotView:
        return self.slot(self.active)

    @property
    def other(self) -> SlotView:
        return self.slot(other_slot(self.active))

    @property
    def served(self) -> Content | None:
        """What it serves, or will as soon as somebody asks."""
        return self.current.content if self.current.ready or self.asleep else None

    @property
    def recycles(self) -> bool:
        """Whether the other slot has, or is to have, the same as the one that serves: nobody waits for it."""
        return self.current.serves and self.other.content == self.current.content

    @property
    def state(self) -> str:
        """The word of the table above; shown by `hedgerow status`, asserted by tests."""
        current, other = self.current, self.other
        if not (current.alive or other.alive):
            return "cold"
        if not other.alive:
            return "single"
        if other.generation > current.generation or not current.alive:
            return "turning" if other.ready else "swapping"
        return "draining"
