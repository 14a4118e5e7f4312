"""Replicas behind a name: they come and go while the front runs, and no request notices."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from front_backends import Backend, Exchange, Handler, backends
from front_support import binaries, running, wait_for

from hedgerow.control.front import NginxBinary


@pytest.fixture(params=binaries(), ids=str)
def binary(request: pytest.FixtureRequest) -> NginxBinary:
    return request.param


class Names:
    """A name server that tells, whatever the name, the addresses of the moment."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._answer)

    def _answer(self) -> None:
        while True:
            query, sender = self.socket.recvfrom(512)
            if query == b"stop":
                return
            self.socket.sendto(self._reply(query), sender)

    def _reply(self, query: bytes) -> bytes:
        question = query[12 : query.index(b"\0", 12) + 5]
        head = query[:2] + b"\x81\x80\0\1" + len(self.addresses).to_bytes(2, "big") + b"\0\0\0\0"
        # The name of the question, A, IN, a time to live of 0, four bytes.
        records = [b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(address) for address in self.addresses]
        return head + question + b"".join(records)


@contextmanager
def names() -> Iterator[Names]:
    server = Names()
    server.thread.start()
    try:
        yield server
    finally:
        server.socket.sendto(b"stop", ("127.0.0.1", server.port))
        server.thread.join(10)
        server.socket.close()


@contextmanager
def second_replica(port: int, handler: Handler) -> Iterator[None]:
    """The same port on the next loopback address."""
    listener = socket.socket()
    listener.bind(("127.0.0.2", port))
    backend = Backend(listener, handler)
    backend.start()
    try:
        yield
    finally:
        backend.stop()


def tells(name: bytes) -> Handler:
    def handle(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.reply(200, name)

    return handle


@pytest.mark.parametrize("size", [3, 1_500_000], ids=["kept", "streamed"])
def test_replicas_come_and_go_without_a_reload(binary: NginxBinary, tmp_path: Path, size: int) -> None:
    with (
        names() as server,
        backends(tells(b"one")) as (one,),
        second_replica(one.port, tells(b"two")),
        running(tmp_path, binary, [one], host="appserver.test", resolver=f"127.0.0.1:{server.port}") as front,
    ):
        statuses: set[int] = set()

        def answering() -> set[bytes]:
            answers = [front.request("POST", "/", body=bytes(size)) for _ in range(4)]
            statuses.update(answer.status for answer in answers)
            return {answer.body for answer in answers}

        assert front.request("POST", "/", body=bytes(size)).status == 502, "nobody is there yet"
        server.addresses = ["127.0.0.1"]
        wait_for(lambda: answering() == {b"one"}, "the first replica alone")
        statuses.clear()
        server.addresses = ["127.0.0.1", "127.0.0.2"]
        wait_for(lambda: answering() == {b"one", b"two"}, "both")
        server.addresses = ["127.0.0.2"]
        wait_for(lambda: answering() == {b"two"}, "the second alone")
        assert statuses == {200}
