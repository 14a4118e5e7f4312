"""`threads`: the calls of an app run in native threads of an unpatched process, for what cannot live under patching.

The hub keeps all that is the engine's. A request has its runner's greenlet there as ever; the app's call, from
`Exchange.run` to `close()`, runs in a thread of the app's pool. A `Crossing` stands between the two. In the thread it
is the client: what it is told to send it leaves to the hub and goes on (PEP 3333 allows it, "Buffering and Streaming"),
what it is asked to read it waits for. In the hub the greenlet acts for it: so connections, time-outs and sockets are
touched by the hub alone, and a descriptor that was closed is never written to. An answer in one piece takes one way
there and one back, and its thread is free before the client has taken it.

A deque is all that both sides write to. What else they share is written by one of them, in single steps that the
interpreter's lock does not divide. A thread cannot be ended: one that hangs is lost to its pool until the worker ends.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any

from gevent import get_hub
from gevent.hub import spawn_raw
from greenlet import getcurrent, greenlet

from ..hosting.gate import Gate
from ..pep3333.bridge import Application
from .connection import Connection
from .transfer import ClientGone

BEHIND_BYTES = 65_536  # what may wait to be sent beside the last block; then the app waits
_BLOCK_COST = 256  # a waiting block's, beside its bytes

_OVER = "the request is over"
_GONE = "the client has gone"


class OneAtATime:
    """Wraps an application whose pool has one thread, and tells it that nobody else calls it meanwhile: some refuse to
    run otherwise.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.multithread"] = False
        return self._application(environ, start_response)


class Pool:
    """The threads of one app, started when they are needed, at most `limit`. What they all are too busy for waits, and
    how much that may be is the app's gate's to say.
    """

    def __init__(self, name: str, limit: int) -> None:
        self.hub = get_hub()
        self.forked = False
        self._name = name
        self._limit = limit
        self._started = 0
        # A mark for each thread that waits for work, exact until all are started; then nobody asks.
        self._free: deque[None] = deque()
        self._work: SimpleQueue[Crossing] = SimpleQueue()
        self._rung: deque[Crossing] = deque()
        self._bell = self.hub.loop.async_()
        self._bell.start(self._on_bell)
        os.register_at_fork(after_in_child=self._on_fork)

    def __repr__(self) -> str:
        return f"<Pool {self._name}: {self._started} of {self._limit} threads, {self._work.qsize()} requests wait>"

    def submit(self, crossing: Crossing) -> None:
        """In the hub: let a thread work on it. Raises RuntimeError where the system allows not even one."""
        if self._started < self._limit:
            try:
                self._free.pop()
            except IndexError:
                self._start()
        self._work.put(crossing)

    def ring(self, crossing: Crossing) -> None:
        """In a thread: the hub is to look at what `crossing` wants."""
        self._rung.append(crossing)
        self._bell.send()

    def _on_bell(self) -> None:
        while self._rung:
            self._rung.popleft().wake()

    def _start(self) -> None:
        name = f"{self._name}-{self._started + 1}"
        try:
            threading.Thread(target=self._serve_forever, name=name, daemon=True).start()
        except RuntimeError:  # no room for one more
            if not self._started:
                raise
        else:
            self._started += 1

    def _serve_forever(self) -> None:
        while True:
            self._work.get().work()
            if self.forked:  # by the app, and the child came back: its hub and its other threads are the parent's
                os._exit(1)
            self._free.append(None)

    def _on_fork(self) -> None:
        self.forked = True


class Reply:
    """What a thread waits for that has asked the hub."""

    __slots__ = ("_lock", "error", "result")

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.result: Any = None
        self._lock = threading.Lock()
        self._lock.acquire()

    def give(self, result: Any, error: BaseException | None) -> None:
        self.result, self.error = result, error
        self._lock.release()

    def wait(self) -> Any:
        self._lock.acquire()
        if self.error is not None:
            raise self.error
        return self.result


class Crossing:
    """One request whose app is called in a thread; the client there (`pep3333.client.Client`).

    broken: a send has failed, so that what the exchange takes for sent is not.
    """

    __slots__ = (
        "_agent", "_connection", "_ended", "_error", "_gate", "_given", "_idle", "_over", "_pool", "_taken", "_task",
        "_wanted", "broken",
    )  # fmt: skip

    def __init__(self, pool: Pool, connection: Connection) -> None:
        self.broken = False
        self._pool = pool
        self._connection = connection
        self._agent: greenlet | None = None
        self._task: Callable[[], object] | None = None
        self._wanted: deque[tuple[Callable[..., None], Reply | None, tuple[Any, ...]]] = deque()
        self._idle = False  # the agent waits for the bell
        self._ended = False  # the thread has done its work, and wants no more
        self._over = False  # the agent looks no more
        self._error: BaseException | None = None  # of the task
        self._gate: Gate | None = None  # that the thread has still a place of
        self._given = self._taken = 0  # bytes to be sent: written by the thread, and by the hub

    # In the hub.

    def run(self, task: Callable[..., object], *arguments: object) -> None:
        """Have a thread call task(*arguments), in a copy of this context, and do meanwhile what it wants done."""
        self._agent = getcurrent()
        self._task = partial(copy_context().run, task, *arguments)
        try:
            self._pool.submit(self)
        except RuntimeError:
            self._ended = True  # no thread has begun
            raise
        try:
            self._act()
        finally:
            self._over = True
            self._agent = None  # it serves another by the time the bell rings again
            self._task = None  # no thread was free for it in time: now it is not to be done any more
            while self._wanted:  # of a thread that the app has left, or that has gone on beyond its deadline
                act, reply, _ = self._wanted.popleft()
                if act == self._send:
                    self.broken = True
                if reply is not None:
                    reply.give(None, ClientGone(_OVER))
        if self._error is not None:
            raise self._error

    def leave(self, gate: Gate) -> None:
        """Behind `run`: let another in, as soon as the thread has done, which may go on beyond the request."""
        ended = self._ended  # once: the thread may end this moment, and then rings
        self._gate = None if ended else gate
        if ended:
            gate.leave()

    def wake(self) -> None:
        """The bell: go on, unless the agent waits for the client, and will look by itself."""
        if self._gate is not None:
            self.leave(self._gate)
        if self._idle and self._agent is not None:
            self._idle = False
            self._agent.switch()

    def _act(self) -> None:
        while True:
            ended = self._ended  # before the look: what was wanted first is there then
            if self._wanted:
                act, reply, arguments = self._wanted.popleft()
                act(reply, *arguments)
            elif ended:
                return
            else:
                self._idle = True
                self._pool.hub.switch()

    def _send(self, reply: Reply | None, size: int, verb: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        try:
            if not self.broken:
                verb(*arguments)
        except ClientGone:
            self.broken = True
        finally:
            self._taken += size
            if reply is not None:
                reply.give(None, None)

    def _read(self, reply: Reply) -> None:
        """Not by the agent: an app may read in one thread while it writes in another."""
        spawn_raw(self._read_now, reply)

    def _read_now(self, reply: Reply) -> None:
        try:
            reply.give(self._connection.read_more(), None)
        except BaseException as error:
            reply.give(None, error)

    def _take_over(self, reply: Reply, farewell: Callable[[], object] | None) -> None:
        try:
            reply.give(self._connection.hand_over(farewell), None)
        except ClientGone as error:
            reply.give(None, error)

    # In the thread.

    def work(self) -> None:
        """Run the task."""
        task, self._task = self._task, None
        try:
            if task is not None:
                task()
        except BaseException as error:
            self._error = error
        del task  # what the request held is let go here, not in the hub
        self._ended = True
        if not self._pool.forked:
            self._pool.ring(self)

    def send(self, data: bytes, interim: bool = False) -> None:
        """See Client."""
        self._leave(len(data), self._connection.send, (data, interim))

    def send_both(self, head: bytes, body: bytes) -> None:
        """See Client."""
        self._leave(len(head) + len(body), self._connection.send_both, (head, body))

    def may_keep(self) -> bool:
        """See Client. Only reads, what does not change while this request is the connection's last."""
        return self._connection.may_keep()

    def gone(self) -> bool:
        """See Client. One poll(2), which the hub may make needless by closing the connection."""
        try:
            return self.broken or self._over or self._connection.gone()
        except (OSError, ValueError):
            return True

    def read_more(self) -> bytes:
        """The next bytes of the body, as Transfer.read_more."""
        reply = Reply()
        self._want(self._read, reply, ())
        data: bytes = reply.wait()
        return data

    def hand_over(self, farewell: Callable[[], object] | None = None) -> tuple[Any, bytes]:
        """See Client."""
        reply = Reply()
        self._want(self._take_over, reply, (farewell,))
        taken: tuple[Any, bytes] = reply.wait()
        return taken

    def _leave(self, size: int, verb: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """Have it sent: by and by, or at once where much is waiting already."""
        if self.broken:
            raise ClientGone(_GONE)
        size += _BLOCK_COST
        waiting = self._given - self._taken
        self._given += size
        reply = None if waiting < BEHIND_BYTES else Reply()
        self._want(self._send, reply, (size, verb, arguments))
        if reply is not None:
            reply.wait()
            if self.broken:
                raise ClientGone(_GONE)

    def _want(self, act: Callable[..., None], reply: Reply | None, arguments: tuple[Any, ...]) -> None:
        if self._pool.forked:
            raise ClientGone("the client is the parent's, not this child's")
        self._wanted.append((act, reply, arguments))
        if self._over:  # looked at behind the append: whichever of the two sides is second sees the other
            raise ClientGone(_OVER)
        self._pool.ring(self)
