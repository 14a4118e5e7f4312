"""What "nothing is executed twice" rests on: what a connection of the remote middleware knows to have been sent, and
what becomes of an answer whose connection breaks while the request is on its way.
"""

from __future__ import annotations

import io
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from remote_support import Upstream

from hedgerow.middleware.upstreams import tunnel
from hedgerow.middleware.upstreams.address import parse
from hedgerow.middleware.upstreams.balance import Balance, Keeping, Patience
from hedgerow.middleware.upstreams.body import Body
from hedgerow.middleware.upstreams.choice import Failure, Tried
from hedgerow.middleware.upstreams.exchange import Exchange, Failed, Limits
from hedgerow.middleware.upstreams.outgoing import Outgoing
from hedgerow.middleware.upstreams.wire import Wire, connect

CERTIFICATE = Path(__file__).parent / "remote_tls.pem"
BLOCK = b"x" * 65_536


def fill(wire: Wire) -> None:
    while wire.send(memoryview(BLOCK)):
        pass


def test_what_the_kernel_does_not_take_is_not_sent() -> None:
    near, far = socket.socketpair()
    with far:
        wire = Wire(near)
        assert not wire.sent
        fill(wire)
        assert wire.sent
        wire.sent = False
        assert wire.send(memoryview(BLOCK)) == 0
        assert not wire.sent
        far.close()
        with pytest.raises(OSError, match=r".+"):
            wire.send(memoryview(BLOCK))
        assert not wire.sent
        wire.close()


def test_of_tls_nobody_knows_what_was_not_sent() -> None:
    near, far = socket.socketpair()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(CERTIFICATE)
    made: list[ssl.SSLSocket] = []
    thread = threading.Thread(target=lambda: made.append(server.wrap_socket(far, server_side=True)))
    thread.start()
    client = ssl.create_default_context(cafile=CERTIFICATE)
    wire = Wire(client.wrap_socket(near, server_hostname="localhost"))
    thread.join()
    with made[0]:
        assert wire.is_quiet(), "session tickets are nobody's answer"
        fill(wire)
        wire.sent = False
        assert wire.send(memoryview(BLOCK)) == 0
        assert wire.sent, "a piece of the record may have left"
        wire.close()


def test_https_believes_a_certificate_that_is_trusted_and_fits(tmp_path: Path) -> None:
    upstream = Upstream(tmp_path / "ledger", certificate=str(CERTIFICATE))
    trusting, usual = ssl.create_default_context(cafile=CERTIFICATE), ssl.create_default_context()
    try:
        connect(parse(upstream.url), 5.0, trusting).close()
        # The other name leads to the same place, and is not in the certificate.
        for url, context in ((upstream.url, usual), (f"https://127.1:{upstream.port}", trusting)):
            with pytest.raises(ssl.SSLCertVerificationError):
                connect(parse(url), 5.0, context)
    finally:
        upstream.close()


class Hooked(Wire):
    """Calls this before each send but the first."""

    hook: Callable[[], None]

    def send(self, data: memoryview) -> int:
        if self.sent:
            self.hook()
        return super().send(data)


def exchange_on(answer: bytes) -> Exchange:
    """A PUT of three blocks on a kept connection, at whose other end somebody answers so and closes after the first."""
    balance = Balance([parse("http://127.0.0.1:1")], Patience(9, 9, 9, 9), Keeping(9, 9))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Hooked(socket.create_connection(listener.getsockname()))
        far, _ = listener.accept()

    def hook() -> None:
        if far.fileno() >= 0:
            far.sendall(answer)
            far.close()  # with bytes unread: a reset

    wire.hook = hook
    lease = balance.take(Tried(True))
    assert lease is not None
    balance.done(lease, wire)
    body = Body({"wsgi.input": io.BytesIO(3 * BLOCK), "CONTENT_LENGTH": str(3 * len(BLOCK))}, 0)
    limits = Limits(0.1, 1.0, 1.0, 1, frozenset(), None)
    return Exchange(balance, limits, Outgoing("PUT", "/", (), "a"), body, lambda _: None)


def test_an_answer_that_came_before_the_reset_is_the_answer() -> None:
    exchange = exchange_on(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!")
    reply = exchange.begin()
    assert (reply.status, b"".join(exchange)) == (413, b"no!")
    assert exchange.wire is None


def test_a_reset_without_an_answer_is_a_failure() -> None:
    with pytest.raises(Failed) as caught:
        exchange_on(b"").begin()
    assert caught.value.failure is Failure.STALE, "of a kept connection it says nothing of the upstream"


def test_who_writes_all_before_reading_holds_up_nobody_in_a_tunnel() -> None:
    much = b"x" * 1_000_000
    client, client_there = socket.socketpair()
    upstream_there, upstream = socket.socketpair()
    with client, client_there, upstream_there, upstream:
        upstream_there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # a block waits for its reader
        for sock in (client, upstream):
            sock.settimeout(20)

        def answer() -> None:
            got = upstream.recv(1)
            upstream.sendall(much)
            while len(got) < len(much):
                got += upstream.recv(65_536)
            upstream.sendall(b"all is here")
            upstream.shutdown(socket.SHUT_WR)

        tasks = [
            lambda: tunnel.run(client_there, Wire(upstream_there), b"first ", b""),
            answer,
            lambda: client.sendall(much),
        ]
        threads = [threading.Thread(target=task) for task in tasks]
        for thread in threads:
            thread.start()
        wanted = b"first " + much + b"all is here"
        got = b""
        try:
            while len(got) < len(wanted):
                got += client.recv(65_536)
        finally:
            for sock in (client, upstream):  # which ends all threads
                sock.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
        assert got == wanted
