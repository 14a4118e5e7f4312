"""Many clients in one process, for the soak test: each is a generator that says what it does next, and a loop drives
them all over epoll. The generators are the mix of requests, polite and rude.

What a client yields: bytes, to be sent; a step, to be waited for. What it gets back is what has arrived since. A client
that gets something else than it waits for ends the run with an error.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

RESET = b"\x01\0\0\0\0\0\0\0"  # SO_LINGER with no time: close() resets
DEADLINE_S = 30.0
RECV_BYTES = 262_144


@dataclass(frozen=True)
class Until:
    """Wait until this has come so often."""

    mark: bytes
    times: int = 1


@dataclass(frozen=True)
class End:
    """Wait until the server has closed, orderly or by a reset."""


@dataclass(frozen=True)
class HalfClose:
    """Close our side."""


@dataclass(frozen=True)
class Pause:
    """Do nothing for a while."""

    seconds: float


@dataclass(frozen=True)
class Reset:
    """Close so that the server sees a reset."""


Step = bytes | Until | End | HalfClose | Pause | Reset
Client = Generator[Step, bytes, int]  # returns how many requests it has made, or begun

HOST = b" HTTP/1.1\r\nHost: a\r\n"
GET = b"GET /engine/hello" + HOST + b"\r\n"
CHUNKED = (
    b"POST /engine/echo"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nT: z\r\n\r\n"
)
OK = b"HTTP/1.1 200 OK\r\n"
LAST_CHUNK = b"\r\n0\r\n\r\n"


def post(path: bytes, body: bytes, fields: bytes = b"") -> bytes:
    return b"POST /engine/%b%bContent-Length: %d\r\n%b\r\n%b" % (path, HOST, len(body), fields, body)


def keep_alive(number: int) -> Client:
    for _ in range(20):
        yield GET
        answer = yield Until(b"hello")
        assert answer.startswith(OK)
    return 20


def pipelined(number: int) -> Client:
    yield GET * 16
    answer = yield Until(b"hello", 16)
    assert answer.count(OK) == 16
    return 16


def chunked(number: int) -> Client:
    for _ in range(4):
        yield CHUNKED
        answer = yield Until(LAST_CHUNK)
        assert b"hello world" in answer, answer
    return 4


def with_length(number: int) -> Client:
    body = bytes([97 + number % 26]) * (number % 3000)
    yield post(b"digest", body)
    answer = yield Until(b"\r\n\r\n%d " % len(body))
    assert answer.startswith(OK)
    return 1


def unread(number: int) -> Client:
    """The app reads nothing of it, and the connection goes on."""
    yield post(b"ignore", b"x" * 20_000)
    yield Until(b"not read")
    yield GET
    yield Until(b"hello")
    return 2


def head_method(number: int) -> Client:
    yield GET.replace(b"GET", b"HEAD", 1) + GET
    answer = yield Until(b"hello")
    assert answer.count(OK) == 2
    return 2


def http10(number: int) -> Client:
    yield b"GET /engine/hello HTTP/1.0\r\n\r\n"
    answer = yield End()
    assert answer.endswith(b"hello")
    return 1


WRONG = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
]


def wrong(number: int) -> Client:
    yield GET + WRONG[number % len(WRONG)]
    answer = yield End()
    assert answer.startswith(OK)
    assert b"hello" in answer
    assert b"Connection: close" in answer, answer
    return 2


def wrong_body(number: int) -> Client:
    yield b"POST /engine/echo" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n"
    answer = yield End()
    assert LAST_CHUNK not in answer
    return 1


def app_raises(number: int) -> Client:
    yield GET.replace(b"hello", b"raise") + GET
    answer = yield Until(b"hello")
    assert answer.startswith(b"HTTP/1.1 500 ")
    return 2


def answer_breaks(number: int) -> Client:
    yield GET.replace(b"hello", (b"midway", b"short")[number % 2])
    yield End()
    return 1


def aborted(number: int) -> Client:
    """Gone after any number of bytes of a request, one more each time; by a reset, or by closing."""
    request = (GET, CHUNKED)[number % 2]
    yield request[: number // 2 % len(request)]
    if number // 4 % 2:
        yield Reset()
    return 1


def aborted_in_a_sleep(number: int) -> Client:
    yield GET.replace(b"hello", b"sleep?0.01")
    yield Reset()
    return 1


def aborted_in_the_answer(number: int) -> Client:
    yield GET.replace(b"hello", b"count?2")
    yield Until(OK)
    if number % 2:
        yield Reset()
    return 1


def half_closed(number: int) -> Client:
    yield (GET + CHUNKED) if number % 2 else GET
    yield HalfClose()
    answer = yield End()
    assert b"hello" in answer
    return 1 + number % 2


def half_closed_early(number: int) -> Client:
    """Closed after any number of bytes but all: what is answered is never a success."""
    yield CHUNKED[: number % len(CHUNKED)]
    yield HalfClose()
    answer = yield End()
    assert LAST_CHUNK not in answer
    return 1


def slow(number: int) -> Client:
    """A request in five pieces, cut elsewhere each time."""
    cuts = sorted(random.Random(number).sample(range(1, len(CHUNKED)), 4))
    for start, end in zip([0, *cuts], [*cuts, len(CHUNKED)], strict=True):
        yield CHUNKED[start:end]
        yield Pause(0.005)
    yield Until(LAST_CHUNK)
    return 1


def expecting(number: int) -> Client:
    request = post(b"echo", b"hello", b"Expect: 100-continue\r\n")
    yield request[:-5]
    yield Until(b"100 Continue\r\n\r\n")
    yield request[-5:]
    yield Until(LAST_CHUNK)
    return 1


def sleeping(number: int) -> Client:
    yield GET.replace(b"hello", b"sleep?0.005")
    yield Until(b"slept")
    return 1


MIX: dict[Callable[[int], Client], int] = {
    keep_alive: 10, pipelined: 6, chunked: 8, with_length: 6, unread: 3, head_method: 5, http10: 3, wrong: 8,
    wrong_body: 3, app_raises: 2, answer_breaks: 3, aborted: 24, aborted_in_a_sleep: 2, aborted_in_the_answer: 2,
    half_closed: 5, half_closed_early: 8, slow: 3, expecting: 3, sleeping: 3,
}  # fmt: skip


@dataclass
class Life:
    """One client on its connection."""

    name: str
    client: Client
    sock: socket.socket
    until: float
    waits_for: Step = b""
    arrived: bytearray = field(default_factory=bytearray)
    ended: bool = False


class Crowd:
    """So many clients at once, one after the other, from MIX; always the same ones in the same order."""

    def __init__(self, address: tuple[str, int], at_once: int = 64) -> None:
        self.requests = 0
        self.clients: Counter[str] = Counter()
        self._address = address
        self._at_once = at_once
        self._choices = random.Random(1)
        self._numbers = {kind: itertools.count() for kind in MIX}
        self._poll = select.epoll()
        self._lives: dict[int, Life] = {}
        self._pauses: list[tuple[float, int, Life]] = []
        self._order = itertools.count()

    def run(self, requests: int) -> None:
        """Go on until so many requests have been made in all, and every client has ended."""
        kinds = self._kinds()
        while self.requests < requests or self._lives:
            while self.requests < requests and len(self._lives) < self._at_once:
                self._begin(next(kinds))
            for descriptor, _ in self._poll.poll(self._next_pause_s()):
                self._receive(self._lives[descriptor])
            now = time.monotonic()
            while self._pauses and self._pauses[0][0] <= now:
                self._go_on(heapq.heappop(self._pauses)[2], b"")
            self._check_deadlines(now)

    def _kinds(self) -> Iterator[Callable[[int], Client]]:
        while True:
            yield from self._choices.choices(list(MIX), list(MIX.values()), k=1000)

    def _begin(self, kind: Callable[[int], Client]) -> None:
        sock = socket.create_connection(self._address, DEADLINE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        life = Life(kind.__name__, kind(next(self._numbers[kind])), sock, time.monotonic() + DEADLINE_S)
        self._lives[sock.fileno()] = life
        self._poll.register(sock.fileno(), select.EPOLLIN)
        self._go_on(life, None)

    def _next_pause_s(self) -> float:
        return max(0.0, self._pauses[0][0] - time.monotonic()) if self._pauses else 1.0

    def _check_deadlines(self, now: float) -> None:
        for life in self._lives.values() if self.requests % 100 == 0 else ():
            assert now < life.until, f"{life.name} waits for {life.waits_for!r} and has {bytes(life.arrived[-300:])!r}"

    def _receive(self, life: Life) -> None:
        try:
            data = life.sock.recv(RECV_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        life.arrived += data
        if not data:
            life.ended = True
            self._poll.unregister(life.sock.fileno())
        self._look(life)

    def _look(self, life: Life) -> None:
        """Whether what the client waits for is there."""
        step = life.waits_for
        if isinstance(step, Until):
            if life.arrived.count(step.mark) < step.times:
                assert not life.ended, f"{life.name} has no {step}, but {bytes(life.arrived[-300:])!r} and the end"
                return
        elif not (isinstance(step, End) and life.ended):
            return
        data = bytes(life.arrived)
        life.arrived.clear()
        self._go_on(life, data)

    def _go_on(self, life: Life, answer: bytes | None) -> None:
        """Let the client act until it waits again."""
        while True:
            try:
                step = next(life.client) if answer is None else life.client.send(answer)
            except StopIteration as stop:
                self._end(life, int(stop.value))
                return
            answer = b""
            life.waits_for = step
            if isinstance(step, bytes):
                self._send(life, step)
            elif isinstance(step, HalfClose):
                life.sock.shutdown(socket.SHUT_WR)
            elif isinstance(step, Reset):
                life.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            elif isinstance(step, Pause):
                heapq.heappush(self._pauses, (time.monotonic() + step.seconds, next(self._order), life))
                return
            else:
                self._look(life)
                return

    def _send(self, life: Life, data: bytes) -> None:
        # Where the server has closed already, the client will see that when it waits.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            life.sock.sendall(data)

    def _end(self, life: Life, requests: int) -> None:
        del self._lives[life.sock.fileno()]
        life.sock.close()
        self.requests += requests
        self.clients[life.name] += 1
