"""An address's worker with an app in a pool behind it: each worker a process, on sockets that the test holds."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker_support import APPS, DEADLINE_S, Worker, listening, listening_at

POOLED = APPS / "pooled"
FRONT = {"X-Request-Id": "f" * 32, "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}


def until(true: Callable[[], object]) -> None:
    """Wait for what must become true."""
    end = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@dataclass
class Stack:
    """front: the worker of the address; pool: the workers behind it, one a socket; listeners: their sockets."""

    front: Worker
    pool: list[Worker]
    listeners: list[socket.socket]
    run: Path

    def another(self, slot: str, **options: Any) -> Worker:
        """A worker in the other slot of the first socket."""
        return pool_worker(self.run, self.listeners[0], slot, **options)


def pool_worker(run: Path, listener: socket.socket, slot: str = "a", app: Path = POOLED, **options: Any) -> Worker:
    content = {"behind": True, "pool": "own"} | options.pop("content", {})
    return Worker(
        run, {"pooled": app}, listener, slot, name=Path(listener.getsockname()).stem, content=content, **options
    )


@contextmanager
def forwarding(*, sockets: int = 1, mount: str = "/pooled", started: bool = True, **settings: Any) -> Iterator[Stack]:
    """The address has `engine` itself, and `pooled` in a pool. The paths of unix sockets must be short."""
    with tempfile.TemporaryDirectory(prefix="hedgerow-") as place, ExitStack() as stack:
        run = Path(place)
        listeners = [stack.enter_context(listening_at(run / f"pool{n}.sock")) for n in range(sockets)]
        pool = [pool_worker(run, one, settings=settings) for one in listeners] if started else []
        forward = {"path": mount, "host": "", "sockets": [one.getsockname() for one in listeners]}
        listener = stack.enter_context(listening())
        content = {"forwards": {"pooled": forward}}
        apps = {"engine": APPS / "engine", "same": POOLED}
        yield Stack(Worker(run, apps, listener, "a", content=content, settings=settings), pool, listeners, run)
