"""Answers read by h11 as a strict client: what it does not accept, what is left over and what is missing raises."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

import h11
from worker_support import Worker

# What a client sees of an answer that was cut off.
CUT = (h11.RemoteProtocolError, ConnectionResetError)


@dataclass
class Answer:
    """interim: the 1xx answers in front of it; closed: whether no further request may follow."""

    status: int = 0
    reason: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    closed: bool = False
    interim: list[tuple[int, list[tuple[str, str]]]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The values of a field, by its lower-case name."""
        return [value for key, value in self.headers if key == name]


def pairs(event: h11.Response | h11.InformationalResponse) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode("latin-1")) for name, value in event.headers]


def read_answer(sock: socket.socket, method: str = "GET") -> Answer:
    """The answer to one request, to its end and not beyond."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    answer = Answer()
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(sock.recv(65_536))
        elif isinstance(event, h11.InformationalResponse):
            answer.interim.append((event.status_code, pairs(event)))
        elif isinstance(event, h11.Response):
            answer.status, answer.reason = event.status_code, event.reason.decode("latin-1")
            answer.headers = pairs(event)
        elif isinstance(event, h11.Data):
            answer.body += bytes(event.data)
        else:
            assert isinstance(event, h11.EndOfMessage), event
            answer.closed = client.their_state in (h11.MUST_CLOSE, h11.CLOSED)
            assert client.trailing_data[0] == b"", "bytes behind the answer"
            return answer


def request_bytes(
    target: str, method: str = "GET", headers: Iterable[str] = (), body: bytes | None = None, version: str = "1.1"
) -> bytes:
    """A request; target as it is sent, in latin-1; body with a length."""
    lines = [f"{method} {target} HTTP/{version}", "Host: a", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def ask(
    worker: Worker,
    target: str,
    method: str = "GET",
    headers: Iterable[str] = (),
    body: bytes | None = None,
    version: str = "1.1",
) -> Answer:
    """One request on a connection of its own."""
    with worker.connect() as sock:
        sock.sendall(request_bytes(target, method, headers, body, version))
        answer = read_answer(sock, method)
        if answer.closed:
            assert sock.recv(1) == b"", "the connection goes on behind an answer that ends it"
        return answer
