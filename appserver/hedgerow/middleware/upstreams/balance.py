"""The upstreams of one `Remote`, as all its requests know them: how busy each is, what has failed, which connections
are kept. One object, one lock, which is never held while anybody waits; safe for threads and greenlets.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .address import Address
from .choice import MEANINGS, Failure, Seen, Tried, behind_the_others, choose
from .wire import Wire

MAX_DOUBLED = 32  # more is beyond any limit
HARMLESS = (Failure.REFUSED, Failure.UNREACHED)  # it costs a request nothing but time to meet these again


class Patience(NamedTuple):
    """failures: within window_s put an upstream out, for out_s at first, twice as long each time, at most out_max_s."""

    failures: int
    window_s: float
    out_s: float
    out_max_s: float


class Keeping(NamedTuple):
    """Connections that are kept: their number for each upstream, and how long they may be idle."""

    number: int
    idle_s: float


@dataclass
class _State:
    busy: int = 0
    spent: float = 0.0
    failed_at: deque[float] = field(default_factory=deque)
    times_out: int = 0
    out_since: float = 0.0
    out_until: float = 0.0
    hesitate_s: float = 0.0
    down: bool = False
    idle: deque[Wire] = field(default_factory=deque)


class Lease(NamedTuple):
    """One request at one upstream. wire: a kept connection, if there is one; began: when."""

    number: int
    address: Address
    wire: Wire | None
    began: float


class Balance:
    """See the module's docstring."""

    def __init__(self, addresses: Sequence[Address], patience: Patience, keeping: Keeping) -> None:
        self.addresses = addresses
        self._patience = patience
        self._keeping = keeping
        self._states = [_State() for _ in addresses]
        self._lock = threading.Lock()
        forget = weakref.WeakMethod(self._in_child)
        os.register_at_fork(after_in_child=lambda: (method := forget()) and method())

    def __repr__(self) -> str:
        return "<Balance " + ", ".join(map(_told, self.addresses, self._states)) + ">"

    def take(self, tried: Tried) -> Lease | None:
        """A place for a request, which has to be given back by `done`. None if no upstream is left for it."""
        now = time.monotonic()
        with self._lock:
            number = choose(self._seen(), now, tried)
            if number is None:
                return None
            state, address = self._states[number], self.addresses[number]
            state.busy += 1
            state.spent += 1 / address.weight
            old = [wire for each in self._states for wire in self._outdated(each, now)]
            wire = None if tried.anew or not state.idle else state.idle.pop()
        _close(old)
        if wire is not None and not wire.is_quiet():
            wire.close()
            wire = None
        return Lease(number, address, wire, now)

    def is_left(self, tried: Tried) -> bool:
        """Whether there is a place for it."""
        with self._lock:
            return choose(self._seen(), time.monotonic(), tried) is not None

    def done(self, lease: Lease, wire: Wire | None) -> None:
        """The request has left it. wire: good for another one."""
        now = time.monotonic()
        with self._lock:
            state = self._states[lease.number]
            state.busy -= 1
            old = self._outdated(state, now)
            if wire is not None:
                wire.idle_since = now
                state.idle.append(wire)
                old += [state.idle.popleft()] if len(state.idle) > self._keeping.number else []
        _close(old)

    def answered(self, lease: Lease) -> None:
        """It works."""
        with self._lock:
            if self._states[lease.number].out_until:
                self._let_in(lease.number)

    def failed(self, lease: Lease, failure: Failure) -> None:
        """Count it, and put the upstream out if that is enough."""
        if not MEANINGS[failure].counts:
            return
        now, patience = time.monotonic(), self._patience
        with self._lock:
            state = self._states[lease.number]
            if state.out_until and lease.began < state.out_since:
                return  # it was on its way already, and tells nothing new
            state.failed_at.append(now)
            while state.failed_at[0] < now - patience.window_s:
                state.failed_at.popleft()
            if not state.times_out and len(state.failed_at) < patience.failures:
                return
            out_s = min(patience.out_s * 2.0**state.times_out, patience.out_max_s)
            state.times_out = min(state.times_out + 1, MAX_DOUBLED)
            state.out_since, state.out_until = now, now + out_s
            state.hesitate_s = 0.0 if failure in HARMLESS else out_s
            old = [*state.idle]
            state.idle.clear()
        _close(old)

    def checked(self, number: int, works: bool) -> bool:
        """What who asks regularly has found. Whether that is new."""
        with self._lock:
            state = self._states[number]
            changed = state.down == works
            state.down = not works
            if works and (changed or state.out_until):
                self._let_in(number)
        return changed

    def close(self) -> None:
        """The kept connections."""
        with self._lock:
            wires = [wire for state in self._states for wire in state.idle]
            for state in self._states:
                state.idle.clear()
        _close(wires)

    # With the lock.

    def _seen(self) -> list[Seen]:
        pairs = zip(self.addresses, self._states, strict=True)
        return [
            Seen(address.weight, state.busy, state.spent, state.out_until, state.hesitate_s, state.down)
            for address, state in pairs
        ]

    def _let_in(self, number: int) -> None:
        state = self._states[number]
        state.failed_at.clear()
        state.times_out, state.out_until = 0, 0.0
        others = (one.spent for one in self._states if one is not state and not one.out_until and not one.down)
        state.spent = behind_the_others(state.spent, others)

    def _outdated(self, state: _State, now: float) -> list[Wire]:
        old = []
        while state.idle and state.idle[0].idle_since < now - self._keeping.idle_s:
            old.append(state.idle.popleft())
        return old

    def _in_child(self) -> None:
        """After a fork: the requests and the connections are the parent's."""
        self._lock = threading.Lock()
        for state in self._states:
            state.busy = 0
            old = [*state.idle]
            state.idle.clear()
            _close(old)


def _close(wires: Sequence[Wire]) -> None:
    for wire in wires:
        wire.close()


def _told(address: Address, state: _State) -> str:
    how = "down" if state.down else "out" if state.out_until else "in"
    return f"{address} {how} busy={state.busy} idle={len(state.idle)}"
