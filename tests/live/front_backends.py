"""Small real backends for the front's tests: raw sockets, since bytes matter.

They keep the request target as it came, count what was executed, and can refuse, break off, stall or stream. Nothing
here imports the worker.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PATIENCE_S = 10.0


@dataclass
class Exchange:
    """One request at a backend. The body is read only when the handler asks, so that a handler sees it arrive."""

    connection: socket.socket
    method: str
    target: str
    headers: list[tuple[str, str]]
    early: bytes
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    keep: bool = True

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def read_body(self) -> bytes:
        """The whole body, decoded, whichever way it is framed."""
        if self.header("transfer-encoding"):
            self._read_chunked()
        else:
            length = int((self.header("content-length") or ["0"])[0])
            while len(self.body) < length:
                self.body += self._some(length - len(self.body))
        self.complete = True
        return bytes(self.body)

    def reply(self, status: int = 200, body: bytes = b"fine", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def refuse(self, **headers: str) -> None:
        """As a worker that must refuse before entry: to be sent elsewhere in round 1, its own 503 in round 2."""
        if self.header("x-hedgerow-round") == ["1"]:
            self.reply(503, b"", X_Accel_Redirect="@refused", **headers)
        else:
            self.reply(503, b"refused by the worker", Retry_After="7", **headers)

    def drop(self) -> None:
        """Close without a word, as a worker that is killed."""
        self.keep = False

    def _some(self, most: int = 65536) -> bytes:
        if self.early:
            piece, self.early = self.early[:most], self.early[most:]
            return piece
        piece = self.connection.recv(most)
        if not piece:
            raise ConnectionError("the front closed in the middle of a body")
        return piece

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._some(1)
        return line[:-2]

    def _read_chunked(self) -> None:
        while size := int(self._line().split(b";")[0], 16):
            end = len(self.body) + size
            while len(self.body) < end:
                self.body += self._some(end - len(self.body))
            self._line()
        while self._line():
            pass


Handler = Callable[[Exchange], None]


def executes(exchange: Exchange) -> None:
    """The plain backend: reads everything, answers 200."""
    exchange.read_body()
    exchange.reply()


class Backend:
    """An address. `seen` holds every request in the order in which its head arrived."""

    def __init__(self, listener: socket.socket, handler: Handler = executes) -> None:
        self.handler = handler
        self.seen: list[Exchange] = []
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name=f"backend {self.port}")]

    def start(self) -> None:
        self._listener.listen(128)
        self._threads[0].start()

    def close_listener(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def stop(self) -> None:
        self.close_listener()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), name=f"connection of {self.port}")
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        rest = b""
        with connection, suppress(OSError):
            while True:
                while b"\r\n\r\n" not in rest:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    rest += piece
                head, _, rest = rest.partition(b"\r\n\r\n")
                exchange = _parse(connection, head, rest)
                self.seen.append(exchange)
                self.handler(exchange)
                if not exchange.keep:
                    return
                rest = exchange.early


def _parse(connection: socket.socket, head: bytes, rest: bytes) -> Exchange:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Exchange(connection, method, target, headers, rest)


def _reusable() -> socket.socket:
    """For a port whose connections of a while ago the kernel still remembers, too."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def consecutive_ports(count: int) -> list[socket.socket]:
    """Sockets bound to ports that follow each other, not yet listening: a connect to one is refused."""
    for _ in range(50):
        held = [_reusable()]
        held[0].bind(("127.0.0.1", 0))
        first = held[0].getsockname()[1]
        try:
            for port in range(first + 1, first + count):
                held.append(_reusable())
                held[-1].bind(("127.0.0.1", port))
        except OSError:
            for one in held:
                one.close()
        else:
            return held
    raise AssertionError(f"no {count} free ports in a row")


@contextmanager
def backends(*handlers: Handler | None) -> Iterator[list[Backend]]:
    """Backends on consecutive ports; None is a dead address, whose port is held but refuses connects."""
    listeners = consecutive_ports(len(handlers))
    made = [Backend(listener, handler or executes) for listener, handler in zip(listeners, handlers, strict=True)]
    for backend, handler in zip(made, handlers, strict=True):
        if handler is not None:
            backend.start()
    try:
        yield made
    finally:
        for backend, handler in zip(made, handlers, strict=True):
            if handler is not None:
                backend.stop()
            else:
                backend.close_listener()


def refuses(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.refuse()


def reads_and_drops(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.drop()


def reads_and_resets(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.drop()
    reset(exchange.connection)


def executed(*addresses: Backend) -> list[Exchange]:
    """What an app would have run: requests that arrived whole and were not refused."""
    return [seen for address in addresses if address.handler is not refuses for seen in address.seen if seen.complete]


@contextmanager
def silent_address() -> Iterator[socket.socket]:
    """A listener whose queue is full: the kernel answers no further connect, as a machine that is gone."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        try:
            for _ in range(4):
                filler = socket.socket()
                fillers.append(filler)
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            yield listener
        finally:
            for filler in fillers:
                filler.close()


def reset(connection: socket.socket) -> None:
    """Close so that the other side gets a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
