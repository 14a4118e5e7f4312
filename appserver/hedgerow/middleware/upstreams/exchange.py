"""One request's way to an upstream, or to several one after the other, and the answer's way back: both at once, block
by block, so that nobody holds more than a block or two, and who is slow slows the other.

It is sent again elsewhere only as `choice.may_go_elsewhere` says. While it waits for the client's next block nothing of
the answer is passed on: WSGI has no way to wait for two things.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import NamedTuple

from ...http.answer import SWITCHING
from .balance import Balance, Lease
from .body import Body
from .choice import IDEMPOTENT, Failure, Tried, may_go_elsewhere
from .outgoing import Outgoing
from .reply import Reply, ReplyError
from .wire import Wire, connect, is_ours

FIRST_FAILING = 500  # behind such an answer a server may close without a word: uvicorn does


class Limits(NamedTuple):
    """The first three in seconds. tries: how often a request is sent at most; statuses: of answers that are failures;
    context: for https.
    """

    connect_s: float
    first_byte_s: float
    idle_s: float
    tries: int
    statuses: frozenset[int]
    context: ssl.SSLContext | None


class Failed(Exception):
    """No upstream has answered. failure: of the last one; None if there was none to ask."""

    def __init__(self, failure: Failure | None, cause: str) -> None:
        super().__init__(cause)
        self.failure = failure


class BrokenAnswerError(Exception):
    """The answer does not come whole: the server has to end the connection, so that the client knows."""


class Exchange:
    """See the module's docstring. An iterator over the answer's blocks, that has to be closed. log: takes a line."""

    def __init__(
        self, balance: Balance, limits: Limits, request: Outgoing, body: Body, log: Callable[[str], object]
    ) -> None:
        self._balance, self._limits, self._request, self._body, self._log = balance, limits, request, body, log
        self._idempotent = request.method in IDEMPOTENT
        self._lease: Lease | None = None
        self.wire: Wire | None = None
        self._kept = False  # the connection is one that was kept
        self._pending = memoryview(b"")
        self._finished = False  # nothing is left to become pending
        self._all_sent = False
        self._deaf = ""  # why the upstream takes no more of the request
        self._until = 0.0
        self.reply = Reply(request.method)

    def begin(self) -> Reply:
        """Send the request; returns when there is the head of an answer to pass on.

        Raises Failed if there is none; else what went wrong with the client.
        """
        tried = Tried(self._idempotent)
        last = Failed(None, "none is up")
        try:
            while (lease := self._balance.take(tried)) is not None:
                self._lease = lease
                try:
                    reply = self._attempt(lease)
                    if reply.status not in self._limits.statuses:
                        self._balance.answered(lease)
                        return reply
                    last = Failed(Failure.STATUS, reply.status_line)
                except Failed as failed:
                    last = failed
                if not self._may_again(lease, last, tried):
                    break
                self.close()
        except BaseException:
            self.close()
            raise
        if last.failure is Failure.STATUS:  # an answer that is no good, but the last one
            return self.reply
        self.close()
        raise last

    def _may_again(self, lease: Lease, failed: Failed, tried: Tried) -> bool:
        failure = failed.failure or Failure.BROKE
        self._failed(lease, failed)
        whole, sent = self._body.whole, self.wire is not None and self.wire.sent
        tried.note(lease.number, failure)
        tried.repeatable = self._idempotent and whole
        return (
            sum(tried.times.values()) < self._limits.tries
            and may_go_elsewhere(failure, sent, self._idempotent, whole)
            and self._balance.is_left(tried)
        )

    def _failed(self, lease: Lease, failed: Failed) -> None:
        failure = failed.failure or Failure.BROKE
        self._balance.failed(lease, failure)
        self._log(f"remote: {lease.address}: {failure.value}: {failed}\n")

    def _attempt(self, lease: Lease) -> Reply:
        self.reply = reply = Reply(self._request.method)
        self._body.restart()
        self._finished = self._all_sent = False
        self._deaf = ""
        head = self._request.head(lease.address, self._body.length)
        self._kept = lease.wire is not None
        wire = self.wire = lease.wire or self._connected(lease)
        wire.sent = False
        self._until = time.monotonic() + self._limits.idle_s
        self._pending = memoryview(head + self._next_piece())
        while not reply.head:
            self._advance(wire, reply)
        if reply.status == SWITCHING and not self._request.upgrade:
            raise Failed(Failure.GARBLED, "it switches to a protocol that nobody has asked for")
        return reply

    def _connected(self, lease: Lease) -> Wire:
        limits = self._limits
        try:
            return connect(lease.address, limits.connect_s, limits.context)
        except TimeoutError:
            raise Failed(Failure.UNREACHED, f"{limits.connect_s:g} s have passed") from None
        except (OSError, UnicodeError) as error:  # a host's name may be none
            raise Failed(Failure.OURS if is_ours(error) else Failure.REFUSED, str(error)) from None

    def _advance(self, wire: Wire, reply: Reply) -> None:
        """One step: take what has come, or send on, or get the next block to be sent, or wait.

        Raises Failed; else what went wrong with the client.
        """
        data = None
        try:
            if self._all_sent:
                wire.wait(self._until)
                data = wire.receive()
            elif wire.sent:
                data = wire.receive()
            if data is None and self._pending and not self._send(wire):
                wire.wait(self._until, sending=True)
        except TimeoutError as error:
            failure = Failure.STALLED if reply.head else Failure.SILENT if self._all_sent else Failure.DEAF
            raise Failed(failure, str(error)) from None
        except OSError as error:
            raise Failed(self._how_broken(reply), self._deaf or str(error)) from None
        if data is not None:
            self._take(data, reply)
        elif not self._pending and not self._all_sent:
            self._fill()

    def _take(self, data: bytes, reply: Reply) -> None:
        try:
            reply.feed(data) if data else reply.end()
        except ReplyError as error:
            failure = Failure.GARBLED if data and not reply.head else self._how_broken(reply)
            raise Failed(failure, self._deaf or str(error)) from None
        if reply.head:
            self._until = time.monotonic() + self._limits.idle_s

    def _how_broken(self, reply: Reply) -> Failure:
        if reply.head:
            return Failure.CUT
        return Failure.STALE if self._kept and not reply.begun else Failure.BROKE

    # The request.

    def _send(self, wire: Wire) -> bool:
        """Whether anything was sent of what is pending, or nothing more will be. Raises OSError."""
        try:
            count = wire.send(self._pending)
        except OSError as error:
            if not wire.sent:
                raise
            self._deaf = str(error)  # it may have answered all the same, before it closed
            self._end_sending()
            return True
        self._pending = self._pending[count:]
        if count:
            self._until = time.monotonic() + self._limits.idle_s
        if not self._pending and self._finished:
            self._end_sending()
        return bool(count)

    def _fill(self) -> None:
        self._pending = memoryview(self._next_piece())
        self._until = time.monotonic() + self._limits.idle_s  # the client took its time
        if not self._pending:
            self._end_sending()

    def _next_piece(self) -> bytes:
        """What goes next of the body, as it is sent; b'' at the end."""
        body = self._body
        block = b"" if self._finished else body.next()
        self._finished = not block or body.at_end
        return block if body.length is not None else b"%x\r\n%b\r\n" % (len(block), block)  # an empty one is the last

    def _end_sending(self) -> None:
        self._all_sent, self._pending = True, memoryview(b"")
        self._until = time.monotonic() + self._limits.first_byte_s

    # The answer.

    def __iter__(self) -> Exchange:
        return self

    def __next__(self) -> bytes:
        reply = self.reply
        while True:
            block = reply.take()
            if reply.complete:
                self.close()
            if block:
                return block
            if reply.complete:
                raise StopIteration
            self._await_more(reply)

    def _await_more(self, reply: Reply) -> None:
        if self.wire is None or self._lease is None:
            raise BrokenAnswerError("the answer was closed")
        try:
            self._advance(self.wire, reply)
        except Failed as failed:
            self._failed(self._lease, failed)
            self.close()
            raise BrokenAnswerError(f"the upstream's answer does not come whole: {failed}") from None

    def close(self) -> None:
        """The request has left its upstream. Its connection is kept if both sides have said all."""
        lease, wire, reply = self._lease, self.wire, self.reply
        self._lease = self.wire = None
        good = reply.complete and reply.keep and self._all_sent and not self._deaf and reply.status < FIRST_FAILING
        if wire is not None and not good:
            wire.close()
        if lease is not None:
            self._balance.done(lease, wire if good else None)
