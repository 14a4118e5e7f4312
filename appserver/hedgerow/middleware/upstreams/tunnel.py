"""Bytes both ways between a client and an upstream that have agreed to speak another protocol than HTTP."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .wire import Wire

IDLE_S = 3600.0  # nothing either way; a front in between has its own, shorter limit
BLOCKS_A_TURN = 4  # then the other way has its turn, and the worker's other requests

# Where servers put the client's socket, or what gives it with what has come on it; and what a call has to raise there
# when the connection is used up.
OFFERS: dict[str, type[Exception]] = {
    "hedgerow.take_socket": StopIteration, "gunicorn.socket": StopIteration, "werkzeug.socket": ConnectionError,
}  # fmt: skip


@dataclass(frozen=True)
class Offer:
    """What a server lets an application do with the connection. done: see OFFERS."""

    given: Any
    done: type[Exception]

    def take(self, farewell: Callable[[], object] | None = None) -> tuple[socket.socket, bytes]:
        """The client's socket, and what it has sent behind the request. Raises OSError if it has gone. farewell: called
        when the server is about to end, by one that can.
        """
        if isinstance(self.given, socket.socket):
            return self.given, b""
        taken: tuple[socket.socket, bytes] = self.given() if farewell is None else self.given(farewell)
        return taken


def offered(environ: dict[str, object]) -> Offer | None:
    """None where the server gives no socket."""
    for key, done in OFFERS.items():
        given = environ.get(key)
        if isinstance(given, socket.socket) or callable(given):
            return Offer(given, done)
    return None


def switching(status_line: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The head of the 101 that the client gets."""
    lines = [f"HTTP/1.1 {status_line}", "Connection: Upgrade", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join((*lines, "\r\n")).encode("latin-1")


class _Way:
    """One direction. pending: what target has not taken yet. Nothing is read meanwhile, and nobody is waited for: the
    other way has to go on, or two who both write before they read would wait for each other.
    """

    def __init__(self, source: Wire, target: Wire, first: bytes) -> None:
        self._source, self._target = source, target
        self.pending = memoryview(first)

    def go(self) -> bool:
        """Pass on what can be passed on now. False when source has ended and target has got all of it."""
        for _ in range(BLOCKS_A_TURN):
            if not self.pending:
                data = self._source.receive()
                if data is None:
                    break
                if not data:
                    return False
                self.pending = memoryview(data)
            count = self._target.send(self.pending)
            if not count:
                break
            self.pending = self.pending[count:]
        return True


def run(sock: socket.socket, upstream: Wire, first: bytes, early: bytes) -> None:
    """Until one of them has ended, or nobody has said anything for IDLE_S. first: what the client gets first; early:
    what it has sent already.

    Raises OSError when one of them breaks off.
    """
    client = Wire(sock)
    back, there = _Way(upstream, client, first), _Way(client, upstream, early)
    ends = (client, back, there), (upstream, there, back)
    while True:
        poll = select.poll()
        for wire, coming, going in ends:
            if events := wire.events(sending=bool(coming.pending), receiving=not going.pending):
                poll.register(wire.fileno(), events)  # without any it would still tell of an end, again and again
        if not poll.poll(IDLE_S * 1000) or not back.go() or not there.go():
            return
