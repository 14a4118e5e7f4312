"""The outbound connections of each app: counted, and no more of them than its budget.

A connection is a descriptor that `connect` was called with, for as long as it is open: its number and the inode behind
it. So it is the same one when TLS or asyncio hand it to another object, it ends with whatever closes it, and nothing is
kept alive. Whether it is still open is looked at only when somebody wants to know; what this file must not do is wait.
"""

from __future__ import annotations

import errno
import functools
import os
import resource
import socket
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple

from ..config import Settings
from ..errors import OutboundError
from .manifest import Limits
from .space import Space, current_app

SHARE = 4  # what one app has by default is at most the fourth part of the worker's descriptors
# A look at so many takes 0.1 ms. At more of them it is not made again at once if nothing was free the last
# time: who is refused all the time must not keep the others waiting.
MANY = 100
PAUSE_S = 0.02
TOLD_S = 1.0
TOLD = 20  # remotes of which a line is written in that time
SHOWN = 50  # remotes by name in the status
OTHERS = "others"
LONGEST = 255


class Held(NamedTuple):
    """What is known of a descriptor. identity: inode and device."""

    remote: str
    identity: tuple[int, ...]


def identity(descriptor: int) -> tuple[int, ...]:
    """What is behind a descriptor: no other open one has the same, and no later one; () if it is closed."""
    try:
        return os.fstat(descriptor)[1:3]
    except OSError:
        return ()


class Budget:
    """Of one app. limit, remote_limit: connections open in all, and to one remote; 0: any number. refused: how many
    were not made.
    """

    def __init__(self, app: str, limit: int, remote_limit: int) -> None:
        self.app = app
        self.limit = limit
        self.remote_limit = remote_limit
        self.refused = 0
        self._held: dict[int, Held] = {}
        self._remotes: Counter[str] = Counter()
        self._full_until = 0.0
        self._told: set[str] = set()
        self._told_at = 0.0

    def __repr__(self) -> str:
        return f"<Budget {self.app}: {len(self._held)} of {self.limit} connections, {self.refused} refused>"

    def take(self, descriptor: int, remote: str, now: float) -> str:
        """'': the descriptor may be connected to the remote, and counts from now on. Else why not."""
        behind = identity(descriptor)
        if not behind:
            return ""  # that is not open, and `connect` says so
        self._forget(descriptor)  # it had this number before, or tries another remote
        if self._excess(remote) and self._may_look(now):
            self._look()
            self._full_until = now + PAUSE_S if self._excess(remote) else 0.0
        told = self._excess(remote)
        if told:
            self.refused += 1
        else:
            self._held[descriptor] = Held(remote, behind)
            self._remotes[remote] += 1
        return told

    def is_news(self, remote: str, now: float) -> bool:
        """Whether a refusal is to be told: once a second for each remote."""
        if now - self._told_at >= TOLD_S:
            self._told.clear()
            self._told_at = now
        if remote in self._told or len(self._told) >= TOLD:
            return False
        self._told.add(remote)
        return True

    def status(self) -> dict[str, Any]:
        """What is open, by remote, those with the most by name; and how many were refused."""
        self._look()
        named = dict(self._remotes.most_common(SHOWN))
        others = sum(self._remotes.values()) - sum(named.values())
        return {"open": named | ({OTHERS: others} if others else {}), "refused": self.refused}

    def _excess(self, remote: str) -> str:
        """What speaks against one connection more, as a sentence."""
        there, all_of_them = self._remotes[remote], len(self._held)
        if self.remote_limit and there >= self.remote_limit:
            return _sentence(self.app, remote, f"{there} are open there", "per_remote", self.remote_limit)
        if self.limit and all_of_them >= self.limit:
            return _sentence(self.app, remote, f"{all_of_them} are open in all", "connections", self.limit)
        return ""

    def _may_look(self, now: float) -> bool:
        return len(self._held) <= MANY or now >= self._full_until

    def _look(self) -> None:
        """Forget what has been closed. By way of a copy: native threads may connect meanwhile."""
        for descriptor, held in self._held.copy().items():
            if identity(descriptor) != held.identity:
                self._held.pop(descriptor, None)
        self._remotes = Counter([held.remote for held in self._held.copy().values()])

    def _forget(self, descriptor: int) -> None:
        held = self._held.pop(descriptor, None)
        if held is not None:
            self._remotes[held.remote] -= 1
            if self._remotes[held.remote] <= 0:
                del self._remotes[held.remote]


def _sentence(app: str, remote: str, why: str, key: str, limit: int) -> str:
    return f"{app}: no connection to {remote}: {why}, and `{key}` in [limits] of its app.toml allows {limit}"


# Of each app; None: whose process it is.
budgets: dict[Space | None, Budget] = {}


def give(app: str, space: Space | None, limits: Limits, settings: Settings) -> None:
    """An app its budget, before it is loaded. space: None if it has the process for itself, and starves nobody else:
    then it has the limits that it sets itself.
    """
    share = max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // SHARE)
    limit = min(settings.app_connections, share) if space is not None else 0
    remote_limit = min(settings.app_per_remote, share) if space is not None else 0
    budgets[space] = Budget(app, limits.connections or limit, limits.per_remote or remote_limit)


def status() -> dict[str, dict[str, Any]]:
    """Of all apps here, by name."""
    return {budget.app: budget.status() for budget in budgets.values()}


def name_of(address: Any) -> str:
    """A remote, as it was given to `connect`."""
    if isinstance(address, tuple) and len(address) >= 2:
        host = address[0].decode("ascii", "replace") if isinstance(address[0], bytes) else str(address[0])
        name = f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"
    elif isinstance(address, (str, bytes)):
        name = os.fsdecode(address).replace("\0", "@")  # an abstract one
    else:
        name = repr(address)
    return name[:LONGEST]


def install(tell: Callable[[str, str], object]) -> None:
    """Count from now on: in the class that apps know as `socket.socket`, once a process. tell: takes app and sentence
    of a refusal.
    """
    known: Any = socket.socket
    connect, connect_ex = known.connect, known.connect_ex

    def refusal(sock: Any, address: Any) -> str:
        budget = budgets.get(current_app.get())
        if budget is None or sock.type == socket.SOCK_DGRAM:
            return ""
        now, remote = monotonic(), name_of(address)
        told = budget.take(sock.fileno(), remote, now)
        if told and budget.is_news(remote, now):
            tell(budget.app, told)
        return told

    @functools.wraps(connect)
    def counted_connect(self: Any, address: Any) -> Any:
        if told := refusal(self, address):
            raise OutboundError(errno.EMFILE, told)
        return connect(self, address)

    @functools.wraps(connect_ex)
    def counted_connect_ex(self: Any, address: Any) -> Any:
        return errno.EMFILE if refusal(self, address) else connect_ex(self, address)

    known.connect, known.connect_ex = counted_connect, counted_connect_ex
