"""What an app gets in `environ["wsgi.websocket"]`: a conversation with the socket that it is led on.

The socket never blocks; what waits is poll(2), gevent's where that has patched. So it is the same in greenlets and in
native threads, and both may use one WebSocket at once: one receives, any number send.

`_state` is held while the conversation is touched, and never while anybody waits; `_writer` by whoever writes, so that
frames leave whole and in order. The worker's farewell comes from outside and waits for neither: where somebody is
writing, that one writes it too.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from ..upstreams.tunnel import Offer
from ..upstreams.wire import Wire
from .conversation import GOING_AWAY, NORMAL, Closed, Conversation, GoingAway, check_close
from .handshake import Wish

WRITE_S = 60.0  # a client that takes nothing for so long has gone
BLOCK_BYTES = 65_536
TAKE_BYTES = 16_384  # at once: thousands of small frames, while nobody else of the worker has a turn
TURN_S = 0.01  # who always finds something to take in gives the others a turn this often
LOOK_S = 5.0  # a farewell wakes nobody: who waits looks this often whether there was one


class WebSocket:
    """A client that asks for WebSocket. It is accepted by the first use, or by `accept`; until then the app may answer
    as any other request.

    offered: subprotocols that the client would speak; subprotocol: which one is spoken, '' for none; accepted: the
    client has its 101; ended: the `Closed` that says how it ended or is about to, None before.
    """

    def __init__(self, offer: Offer, wish: Wish, subprotocol: str, talk: Conversation) -> None:
        self.offered = wish.offered
        self.subprotocol = subprotocol
        self.accepted = False
        self._offer = offer
        self._wish = wish
        self._talk = talk
        self._state = threading.Lock()
        self._writer = threading.Lock()
        self._reader = threading.Lock()
        self._turn = 0.0  # when the others had one

    def __repr__(self) -> str:
        return f"<WebSocket {self._talk if self.accepted else 'not accepted'}>"

    @property
    def ended(self) -> Closed | None:
        """See the class's docstring."""
        return self._talk.outcome

    # For the app.

    def accept(self, subprotocol: str | None = None) -> None:
        """Begin. subprotocol: one of `offered`, instead of the one that the app's options lead to."""
        if self.accepted:
            raise RuntimeError("it is accepted already")
        if subprotocol:
            if subprotocol not in self.offered:
                raise ValueError(f"the client does not offer {subprotocol!r}")
            self.subprotocol = subprotocol
        sock, early = self._offer.take(self.say_farewell)
        self._wire = Wire(sock)
        with self._state:
            self._talk.outgoing[:0] = self._wish.answer(self.subprotocol)  # in front of an early farewell
            self.accepted = True
            if early:
                self._talk.feed(early, time.monotonic())
        self._flush()

    def receive(self, timeout_s: float | None = None) -> str | bytes:
        """The next message: str or bytes, as it was sent. Raises Closed behind the last one, TimeoutError, and
        RuntimeError for a second one at a time.
        """
        self._begin()
        if not self._reader.acquire(blocking=False):
            raise RuntimeError("two receive from one WebSocket at once")
        try:
            until = None if timeout_s is None else time.monotonic() + timeout_s
            while True:
                with self._state:
                    message = self._talk.take()
                if message is not None:
                    return message
                if self._talk.ended is not None:
                    raise self._talk.ended.afresh()
                self._wait_to_receive(until)
        finally:
            self._reader.release()

    def __iter__(self) -> Iterator[str | bytes]:
        """Messages until it is over, however it ends: `ended` tells."""
        while True:
            try:
                message = self.receive()
            except Closed:
                return
            yield message

    def send(self, message: str | bytes) -> None:
        """Send text as str, or bytes. Returns when the kernel has it. Raises Closed."""
        self._begin()
        with self._state:
            self._talk.send(message)
        self._flush()
        self._look()

    def ping(self, payload: bytes = b"") -> None:
        """Ask the client whether it is there, of which nothing is told unless it is not. Raises Closed."""
        self._begin()
        with self._state:
            self._talk.ping(payload)
        self._flush()

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """End it, and wait a while for the client to have heard. It may be over already."""
        check_close(code, reason)
        self._begin()
        with self._state:
            self._talk.close(Closed(code, reason), time.monotonic())
        with contextlib.suppress(Closed):
            self._flush()
        if not self._reader.acquire(blocking=False):
            return  # who receives hears the answer
        try:
            while self._talk.ended is None:
                self._wait_to_receive(None)
        finally:
            self._reader.release()

    # For the server.

    def say_farewell(self) -> None:
        """The worker is about to end: tell the client that it should come again. It does not wait."""
        with self._state:
            self._talk.close(GoingAway(GOING_AWAY), time.monotonic())
        if self.accepted:
            with contextlib.suppress(Closed):  # who has gone needs no telling
                self._flush(waits=False)

    def end(self) -> None:
        """The app's call is over, and what it has kept of this is of no use any more."""
        with self._state:
            self._talk.feed(b"", time.monotonic())
        self._wire.close()

    # Steps.

    def _begin(self) -> None:
        if not self.accepted:
            self.accept()

    def _wait_to_receive(self, until: float | None) -> None:
        """Until something has come, or there is something to do. Only with `_reader`. Raises TimeoutError."""
        now = time.monotonic()
        if until is not None and now >= until:
            raise TimeoutError("no message has come in time")
        wake = min(self._talk.look_at, now + LOOK_S, now + LOOK_S if until is None else until)
        with contextlib.suppress(TimeoutError):
            self._wire.wait(wake)
        self._turn = time.monotonic()
        self._take_in()
        with self._state:
            self._talk.tick(time.monotonic())
        with contextlib.suppress(Closed):  # messages that have come are still the app's
            self._flush()

    def _look(self) -> None:
        """For an app that only sends: take in some of what has come, so pings are answered and an end is noticed."""
        if self._talk.is_full or not self._reader.acquire(blocking=False):
            return
        try:
            if self._talk.ended is None and self._take_in():
                with contextlib.suppress(Closed):
                    self._flush()
                self._give_turn()
        finally:
            self._reader.release()

    def _give_turn(self) -> None:
        """In greenlets nobody else runs before we wait, which a client that floods us could put off for ever."""
        if time.monotonic() - self._turn > TURN_S:
            time.sleep(TURN_S / 10)  # not 0: gevent would look at its callbacks, but at no socket
            self._turn = time.monotonic()

    def _take_in(self) -> bool:
        """What has come, if anything has. Only with `_reader`."""
        try:
            data = self._wire.receive(TAKE_BYTES)
        except OSError:
            data = b""
        if data is None:
            return False
        with self._state:
            self._talk.feed(data, time.monotonic())
        return True

    # Writing.

    def _flush(self, waits: bool = True) -> None:
        """Write what the conversation wants sent; where another is writing, that one does. Raises Closed."""
        while self._talk.outgoing and self._writer.acquire(blocking=waits):
            try:
                all_sent = self._write(waits)
            finally:
                self._writer.release()
            if not all_sent:
                return

    def _write(self, waits: bool) -> bool:
        """False: the client takes no more, and we do not wait. Only with `_writer`. Raises Closed."""
        until = time.monotonic() + WRITE_S
        try:
            while block := self._next_block():
                count = self._wire.send(memoryview(block))
                if count:
                    with self._state:
                        self._talk.sent(count)
                    until = time.monotonic() + WRITE_S
                elif not waits:
                    return False
                else:
                    self._wait_to_write(until)
        except OSError as error:
            with self._state:
                self._talk.outgoing.clear()
                self._talk.feed(b"", time.monotonic())
            ended = self._talk.ended
            raise error if ended is None else ended.afresh() from error
        return True

    def _next_block(self) -> bytes:
        with self._state:
            return bytes(memoryview(self._talk.outgoing)[:BLOCK_BYTES])

    def _wait_to_write(self, until: float) -> None:
        """Reads meanwhile: a client that sends before it reads would wait for us as we wait for it."""
        reads = not self._talk.is_full and self._talk.ended is None and self._reader.acquire(blocking=False)
        try:
            self._wire.wait(until, sending=True, receiving=reads)
            if reads:
                self._take_in()
        finally:
            if reads:
                self._reader.release()
