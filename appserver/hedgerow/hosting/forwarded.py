"""An app that runs in a pool, as a worker knows it that sends its requests on: where it is mounted, and to whom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import LoadError
from .cache_table import NOTHING, CacheTable
from .findings import Finding
from .gate import Gate
from .mounts import Mount


@dataclass(frozen=True)
class CanaryApp:
    """Another release of an app, in a pool, for a part of its clients: share, in percent. number: which canary."""

    app: ForwardedApp
    share: float
    number: int
    release: str


@dataclass(eq=False)
class ForwardedApp:
    """sockets: those of the pool's processes; gate: at our door; error: why it cannot be mounted here; ours: they are
    workers of ours; cache: what the front keeps of it.
    """

    name: str
    mount: Mount
    gate: Gate
    sockets: tuple[str, ...]
    error: LoadError | None = None
    findings: tuple[Finding, ...] = ()  # its pool's are nobody's business
    folder: Path = Path()  # none here
    ours: bool = True
    cache: CacheTable = NOTHING

    def fail(self, error: LoadError) -> None:
        """From now on the app is down."""
        self.error = error

    @property
    def state(self) -> str:
        return "up" if self.error is None else "down"

    def __repr__(self) -> str:
        told = f"{self.gate.running} running" if self.error is None else self.error.sentence
        return f"<ForwardedApp {self.name} at {self.mount}: {self.state}, {told}, to {', '.join(self.sockets)}>"
