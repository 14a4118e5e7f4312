"""A closed-loop load client: a fixed number of connections, each with one request under way.

It knows the size of an answer after the first one and only counts bytes, which it lets the kernel drop, so that it is
cheaper than what it measures. It does the same for every server; only what a server closes it must open again.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

BROWSER_HEADERS = {
    "Host": "127.0.0.1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "http://127.0.0.1/",
    "Connection": "keep-alive",
    "Cookie": "session=eyJ1c2VyX2lkIjoxfQ.aR3k5w.kZpN0v8mJt1y; theme=dark",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Priority": "u=0, i",
}
PATIENCE_S = 10.0
RECEIVE_BYTES = 2**20
LAST_CHUNK = b"0\r\n\r\n"
NEARLY = 64  # bytes by which an answer may be shorter or longer: `Connection: close` instead of `keep-alive`


class LoadError(Exception):
    """A server did not answer as it did the first time."""


@dataclass(frozen=True)
class Shape:
    """What is asked, over how many connections. closes: each request asks for its connection to be closed."""

    name: str
    path: str = "/"
    body_bytes: int = 0
    connections: int = 64
    closes: bool = False

    def request(self) -> bytes:
        """The bytes of a request with 13 headers, as a browser sends it, and those of its body."""
        fields = BROWSER_HEADERS | ({"Connection": "close"} if self.closes else {})
        if self.body_bytes:
            fields |= {"Content-Type": "application/octet-stream", "Content-Length": str(self.body_bytes)}
        method = "POST" if self.body_bytes else "GET"
        lines = [f"{method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode() + b"y" * self.body_bytes


@dataclass(frozen=True)
class Answer:
    """A whole answer as bytes, and how it was framed."""

    raw: bytes
    chunked: bool
    closes: bool

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])


def first_answer(address: tuple[str, int], shape: Shape) -> Answer:
    """One whole answer on a connection of its own: shows that the server is right, and how long its answers are."""
    with socket.create_connection(address, PATIENCE_S) as sock:
        sock.sendall(shape.request())
        data = bytearray()
        while b"\r\n\r\n" not in data:
            _receive_more(sock, data)
        head, _, _ = bytes(data).partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
        chunked = b"chunked" in fields.get(b"transfer-encoding", b"")
        if chunked:
            while not data.endswith(b"\r\n" + LAST_CHUNK):
                _receive_more(sock, data)
        elif b"content-length" in fields:
            while len(data) < len(head) + 4 + int(fields[b"content-length"]):
                _receive_more(sock, data)
        else:
            while _receive_more(sock, data, end_is_fine=True):
                pass
        closes = b"close" in fields.get(b"connection", b"") or not (chunked or b"content-length" in fields)
    return Answer(bytes(data), chunked, closes)


def _receive_more(sock: socket.socket, data: bytearray, end_is_fine: bool = False) -> int:
    block = sock.recv(RECEIVE_BYTES)
    if not block and not end_is_fine:
        raise LoadError(f"the connection ended after {len(data)} bytes: {bytes(data[:200])!r}")
    data += block
    return len(block)


class _Connection:
    """One connection. left: bytes of the answer that are still to come; unsent: what of the request is."""

    __slots__ = ("left", "sock", "tail", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.left = 0
        self.unsent = memoryview(b"")
        self.tail = b""


class Load:
    """A running load. answers, reopened (connections the server closed): so far; took_s: of the last `run`."""

    def __init__(self, address: tuple[str, int], shape: Shape) -> None:
        self._address = address
        self._request = shape.request()
        first = first_answer(address, shape)
        if first.status != 200:
            raise LoadError(f"{shape.name}: {first.raw[:300]!r}")
        self.answer = first
        self._size = len(first.raw)
        self._closes = first.closes
        self._poll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._sink = bytearray(RECEIVE_BYTES)
        self.answers = 0
        self.reopened = 0
        self.took_s = 0.0
        self._uneven = 0
        for _ in range(shape.connections):
            self._open()

    def close(self) -> None:
        """End all connections."""
        for connection in self._connections.values():
            connection.sock.close()
        self._connections.clear()
        self._poll.close()

    def run(self, seconds: float) -> None:
        """Load for some seconds. Raises LoadError when the answers are not as the first one, or stay out."""
        before = self.answers
        begin = now = time.monotonic()
        end = now + seconds
        while now < end:
            events = self._poll.poll(PATIENCE_S)
            if not events:
                raise LoadError(f"no byte for {PATIENCE_S} s after {self.answers} answers")
            for descriptor, event in events:
                connection = self._connections[descriptor]
                if event & select.EPOLLOUT:
                    self._send(connection)
                if event & ~select.EPOLLOUT:
                    self._receive(connection)
            now = time.monotonic()
        self.took_s = now - begin
        if self._uneven > 8 + (self.answers - before) // 50:
            raise LoadError(f"{self._uneven} of {self.answers} answers were not {self._size} bytes long")

    def _receive(self, connection: _Connection) -> None:
        if self.answer.chunked:
            self._receive_chunked(connection)
            return
        try:
            received = connection.sock.recv_into(self._sink, RECEIVE_BYTES, socket.MSG_TRUNC)
        except ConnectionResetError:
            received = 0
        if not received:
            self._reopen(connection)
            return
        connection.left -= received
        if connection.left <= 0 and not self._closes:
            self._answered(connection)

    def _receive_chunked(self, connection: _Connection) -> None:
        """How a server cuts its chunks may vary, so the end is looked for."""
        try:
            data = connection.sock.recv(RECEIVE_BYTES)
        except ConnectionResetError:
            data = b""
        if not data:
            self._reopen(connection)
            return
        connection.tail = (connection.tail + data)[-len(LAST_CHUNK) :]
        connection.left -= len(data)
        if connection.tail == LAST_CHUNK:
            connection.left = 0
            if not self._closes:
                self._answered(connection)

    def _answered(self, connection: _Connection) -> None:
        self.answers += 1
        if connection.left:
            self._uneven += 1
        self._ask(connection)

    def _reopen(self, connection: _Connection) -> None:
        """The server has closed the connection: after the answer, before the next one, or too early."""
        arrived = self._size - connection.left
        if self._closes or connection.left <= NEARLY:
            if abs(connection.left) > NEARLY:
                raise LoadError(f"the server closed a connection {connection.left} bytes before the answer's end")
            self.answers += 1
        elif arrived:
            raise LoadError(f"the server closed a connection after {arrived} of {self._size} bytes")
        self.reopened += 1
        del self._connections[connection.sock.fileno()]
        connection.sock.close()
        self._open()

    def _open(self) -> None:
        sock = socket.create_connection(self._address, PATIENCE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        connection = self._connections[sock.fileno()] = _Connection(sock)
        self._poll.register(sock.fileno(), select.EPOLLIN)
        self._ask(connection)

    def _ask(self, connection: _Connection) -> None:
        connection.left = self._size
        connection.tail = b""
        try:
            sent = connection.sock.send(self._request)
        except OSError:  # closed by the server since its last answer: reading tells
            return
        if sent < len(self._request):
            connection.unsent = memoryview(self._request)[sent:]
            self._poll.modify(connection.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _send(self, connection: _Connection) -> None:
        with suppress(OSError):  # reading tells
            connection.unsent = connection.unsent[connection.sock.send(connection.unsent) :]
        if not connection.unsent:
            self._poll.modify(connection.sock.fileno(), select.EPOLLIN)


@contextmanager
def load(address: tuple[str, int], shape: Shape) -> Iterator[Load]:
    """A load, its connections closed afterwards."""
    running = Load(address, shape)
    try:
        yield running
    finally:
        running.close()
