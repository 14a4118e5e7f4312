"""Clients of HTTP/2 that send what they should not: nothing hides a request in another, and the front serves on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from front_backends import Backend, backends, executes
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from https_support import SecureFront, answer, certificate, open_folder, secured, with_http3

pytestmark = pytest.mark.timeout(600)  # the first test on a bare machine fetches its programs


@pytest.fixture
def addresses() -> Iterator[list[Backend]]:
    with backends(executes) as made:
        yield made


@pytest.fixture
def site(tmp_path: Path, addresses: list[Backend]) -> Iterator[SecureFront]:
    with open_folder() as folder:
        certificate(folder / "site.pem", "localhost")
        with secured(tmp_path, with_http3(), addresses, folder) as running:
            yield running


PSEUDO = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", "/here")]


class Http2:
    """One connection that sends what it is told, right or wrong."""

    def __init__(self, site: SecureFront) -> None:
        self.socket = site.connect(alpn="h2")
        assert self.socket.selected_alpn_protocol() == "h2"
        self.h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding="latin-1",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.h2.initiate_connection()

    def ask(self, headers: list[tuple[str, str]], body: bytes = b"") -> int | str:
        """The status; "reset" or "closed" if the front ends stream or connection instead. "broken": the answer was."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers, end_stream=not body)
        if body:
            self.h2.send_data(stream, body, end_stream=True)
        self.socket.sendall(self.h2.data_to_send())
        status: int | str = "closed"
        while data := self.socket.recv(65_536):
            for event in self.h2.receive_data(data):
                if isinstance(event, ResponseReceived):
                    status = int(dict(event.headers)[":status"])
                elif isinstance(event, DataReceived):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, StreamEnded):
                    return status
                elif isinstance(event, StreamReset):
                    return "reset" if status == "closed" else status
                elif isinstance(event, ConnectionTerminated):
                    return "closed"
            self.socket.sendall(self.h2.data_to_send())
        return status


def raw(site: SecureFront, headers: list[tuple[str, str]], body: bytes = b"") -> int | str:
    client = Http2(site)
    try:
        return client.ask(headers, body)
    except (OSError, ProtocolError):
        return "closed"
    finally:
        client.socket.close()


def test_the_hostile_client_can_also_ask_properly(site: SecureFront, addresses: list[Backend]) -> None:
    assert raw(site, [*PSEUDO, ("content-length", "4")], b"body") == 200
    assert raw(site, [*PSEUDO, ("te", "trailers")]) == 200
    assert [bytes(seen.body) for seen in addresses[0].seen] == [b"body", b""]


def test_a_body_above_the_ceiling_is_refused_by_its_length_as_by_the_other_protocols(
    site: SecureFront, addresses: list[Backend]
) -> None:
    assert raw(site, [*PSEUDO, ("content-length", "3000000000")], b"x") == 413
    assert addresses[0].seen == []


SMUGGLED = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([*PSEUDO, ("content-length", "0")], SMUGGLED),
        ([*PSEUDO, ("content-length", "4")], SMUGGLED),
        ([*PSEUDO, ("content-length", "400")], SMUGGLED),
        ([*PSEUDO, ("content-length", "+4")], SMUGGLED),
        ([*PSEUDO, ("content-length", "4"), ("content-length", str(len(SMUGGLED)))], SMUGGLED),
        ([*PSEUDO, ("x", "a\r\nTransfer-Encoding: chunked")], SMUGGLED),
        ([*PSEUDO, ("x", "a\nTransfer-Encoding: chunked")], SMUGGLED),
        ([*PSEUDO, ("x", "a\0b")], b""),
        ([*PSEUDO, ("x: a\r\nTransfer-Encoding", "chunked")], SMUGGLED),
        ([*PSEUDO, ("Transfer-Encoding", "chunked")], SMUGGLED),
        ([*PSEUDO, ("x y", "z")], b""),
        ([*PSEUDO[:3], (":path", "/ HTTP/1.1\r\nHost: localhost\r\n\r\nGET /smuggled")], b""),
        ([*PSEUDO[:3], (":path", "/a HTTP/1.1\r\nX: ")], b""),
        ([*PSEUDO[:3], (":path", "relative")], b""),
        ([*PSEUDO[:3], (":path", "")], b""),
        ([*PSEUDO[:3]], b""),
        ([(":method", "GET /smuggled HTTP/1.1\r\nX:"), *PSEUDO[1:]], b""),
        ([(":method", "get"), *PSEUDO[1:]], b""),
        ([(":method", "CONNECT"), (":authority", "localhost:22")], b""),
        ([*PSEUDO[:2], (":authority", "localhost\r\nX: y"), PSEUDO[3]], b""),
        ([*PSEUDO[:2], (":authority", "user@localhost"), PSEUDO[3]], b""),
        ([*PSEUDO, ("host", "other.example")], b""),
        ([*PSEUDO, (":path", "/twice")], b""),
        ([*PSEUDO, (":unknown", "x")], b""),
    ],
    ids=lambda value: re.sub(r"[^ -~]|\W+", "-", str(value))[-60:],
)
def test_what_could_hide_a_request_reaches_no_worker_as_one(
    site: SecureFront, addresses: list[Backend], headers: list[tuple[str, str]], body: bytes
) -> None:
    status = raw(site, headers, body)
    seen = [
        (exchange.method, exchange.target, exchange.headers, bytes(exchange.body)) for exchange in addresses[0].seen
    ]
    assert status in ("reset", "closed", 400, 405, 501), (status, seen)
    assert [one for one in seen if one[3]] == []
    assert raw(site, PSEUDO) == 200, "and the front serves on"
    assert [exchange.target for exchange in addresses[0].seen if exchange.complete] == ["/here"]


@pytest.mark.parametrize(
    "headers",
    [
        [*PSEUDO, ("transfer-encoding", "chunked")],
        [*PSEUDO, ("transfer-encoding", "chunked"), ("content-length", str(len(SMUGGLED)))],
        [*PSEUDO, ("transfer-encoding", "gzip")],
        [("x", "y"), *PSEUDO],
    ],
    ids=["chunked", "chunked with a length", "gzip", "pseudo headers behind others"],
)
def test_what_nginx_takes_though_it_is_malformed_is_one_request_with_its_whole_body(
    site: SecureFront, addresses: list[Backend], headers: list[tuple[str, str]]
) -> None:
    """RFC 9113 would have it refused. nginx frames the body anew by what came in DATA, whatever these say."""
    status = raw(site, headers, SMUGGLED)
    seen = addresses[0].seen
    assert [(exchange.target, bytes(exchange.body)) for exchange in seen] == [("/here", SMUGGLED)] * len(seen)
    assert (status, len(seen)) in [(200, 1), (400, 0), (501, 0), ("reset", 0), ("closed", 0)]
    for exchange in seen:
        assert len(exchange.header("Transfer-Encoding") + exchange.header("Content-Length")) == 1
        assert exchange.header("Transfer-Encoding") in ([], ["chunked"])


@pytest.mark.parametrize(
    "headers",
    [
        [("connection", "close, x-forwarded-proto")],
        [("connection", "upgrade"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABkAAQAAP__")],
        [("keep-alive", "timeout=5")],
        [("proxy-connection", "keep-alive")],
        [("te", "gzip")],
        [("x_request_id", "forged"), ("x-request-id", "forged")],
        [("x-forwarded-for", "6.6.6.6"), ("x-hedgerow-round", "2"), ("x-accel-redirect", "/x")],
    ],
    ids=lambda headers: headers[0][0],
)
def test_headers_of_a_connection_are_never_sent_on(
    site: SecureFront, addresses: list[Backend], headers: list[tuple[str, str]]
) -> None:
    """RFC 9113, 8.2.2, calls them malformed; whether nginx refuses them or not, no worker sees one."""
    status = raw(site, [*PSEUDO, *headers])
    for exchange in addresses[0].seen:
        assert status == 200
        for name in (
            "TE",
            "Keep-Alive",
            "Proxy-Connection",
            "Upgrade",
            "Connection",
            "X_Request_Id",
            "X-Accel-Redirect",
        ):
            assert exchange.header(name) == [], name
        assert exchange.header("X-Forwarded-For") == ["127.0.0.1"]
        assert exchange.header("X-Forwarded-Proto") == ["https"]
        assert exchange.header("X-Hedgerow-Round") == ["1"]
        assert exchange.header("X-Request-Id") != ["forged"]


def test_streams_that_are_reset_at_once_do_not_keep_others_from_being_served(
    site: SecureFront, addresses: list[Backend]
) -> None:
    """ "Rapid reset", CVE-2023-44487: nginx ends such a connection."""
    client = Http2(site)
    ended = False
    for _ in range(2000):
        stream = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream, PSEUDO[:], end_stream=True)
        client.h2.reset_stream(stream)
        try:
            client.socket.sendall(client.h2.data_to_send())
        except OSError:
            ended = True
            break
    try:
        while not ended and (data := client.socket.recv(65_536)):
            events = client.h2.receive_data(data)
            ended = any(isinstance(event, ConnectionTerminated) for event in events)
    except (OSError, ProtocolError):
        ended = True
    client.socket.close()
    assert ended
    with site.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer(connection).status == 200
