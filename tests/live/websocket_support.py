"""A WebSocket client on a raw socket, with wsproto for the frames: any bytes can be sent between two of them."""

from __future__ import annotations

import base64
import os
import socket
from collections import deque
from types import TracebackType

from front_backends import PATIENCE_S
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, TextMessage
from wsproto.utilities import generate_accept_token

Head = tuple[int, dict[str, str]]


class Talker:
    """One connection, whose handshake is sent. status, fields: of the answer's head; opened: whether it is a 101."""

    def __init__(self, port: int, path: str, *lines: str, host: str = "site.example:8080", early: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        key = base64.b64encode(os.urandom(16)).decode()
        head = [
            f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket",
            f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *lines, "\r\n",
        ]  # fmt: skip
        self.send_bytes("\r\n".join(head).encode() + early)
        self.status, self.fields, rest = read_head(self.socket)
        self.opened = self.status == 101
        if self.opened:
            assert self.fields["sec-websocket-accept"] == generate_accept_token(key.encode()).decode()
        self.frames = Connection(ConnectionType.CLIENT, trailing_data=rest)
        self._events: deque[Event] = deque()
        self.rest = rest

    def __enter__(self) -> Talker:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send(self, message: str | bytes) -> None:
        event: Event = TextMessage(message) if isinstance(message, str) else BytesMessage(message)
        self.send_bytes(self.frames.send(event))

    def ping(self, payload: bytes) -> None:
        self.send_bytes(self.frames.send(Ping(payload)))

    def close(self, code: int = 1000) -> None:
        self.send_bytes(self.frames.send(CloseConnection(code)))

    def event(self) -> Event | None:
        """The next one, None at the end of the connection. Pings and closes are answered."""
        while not self._events:
            self._events += self.frames.events()
            if self._events:
                break
            try:
                data = self.socket.recv(65_536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.frames.receive_data(data)
        event = self._events.popleft()
        if (isinstance(event, Ping) and self.frames.state is ConnectionState.OPEN) or (
            isinstance(event, CloseConnection) and self.frames.state is ConnectionState.REMOTE_CLOSING
        ):
            self.send_bytes(self.frames.send(event.response()))
        return event

    def receive(self) -> str | bytes:
        """The next message, whole. Pings and pongs are passed over."""
        parts: list[str | bytes] = []
        while True:
            event = self.event()
            assert event is not None, "the connection ended"
            assert not isinstance(event, CloseConnection), event
            if isinstance(event, Message):
                parts.append(bytes(event.data) if isinstance(event, BytesMessage) else event.data)
                if event.message_finished:
                    return parts[0][:0].join(parts)  # type: ignore[arg-type]

    def closed(self) -> CloseConnection | None:
        """How the server ends it, None for without a word; what it says before is passed over."""
        while (event := self.event()) is not None:
            if isinstance(event, CloseConnection):
                return event
        return None

    def code(self) -> int | None:
        event = self.closed()
        return None if event is None else int(event.code)


def read_head(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        block = sock.recv(65_536)
        assert block, f"the connection ended: {data!r}"
        data += block
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), fields, rest
