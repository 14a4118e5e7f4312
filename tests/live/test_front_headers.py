"""What the front tells a worker about the client, and what it does not let a client say."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from front_backends import Backend, Exchange, backends
from front_support import Front, binaries, running

from hedgerow.control.front import NginxBinary


@pytest.fixture(params=binaries(), ids=str)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Front, Backend]]:
    binary: NginxBinary = request.param
    with backends(answers_with_an_id) as (backend,), running(tmp_path, binary, [backend]) as front:
        yield front, backend


def answers_with_an_id(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.reply(X_Request_Id="made-by-the-worker", Server="worker")


def test_forwarded_headers_are_overwritten(pair: tuple[Front, Backend]) -> None:
    front, backend = pair
    front.request(
        "GET",
        "/",
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-For: 7.7.7.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Port: 443",
        "X-Real-IP: 6.6.6.6",
    )
    seen = backend.seen[0]
    assert seen.header("X-Forwarded-For") == ["127.0.0.1"]
    assert seen.header("X-Forwarded-Proto") == ["http"]
    assert seen.header("X-Forwarded-Host") == ["site.example:8080"]
    assert seen.header("X-Forwarded-Port") == ["8080"]
    assert seen.header("X-Real-IP") == ["127.0.0.1"]


@pytest.mark.parametrize(
    "name",
    [
        "Forwarded",
        "X-Forwarded-Prefix",
        "X-Forwarded-Ssl",
        "X-Forwarded-User",
        "Remote-User",
        "X-Script-Name",
        "X-Original-URL",
        "X-Rewrite-URL",
        "Proxy",
        "X-Accel-Redirect",
        "X-Accel-Buffering",
        "X-Accel-Expires",
        "X-Accel-Limit-Rate",
        "X-Accel-Mapping",
        "X-Sendfile-Type",
        "X-Hedgerow-App",
        "X-Hedgerow-Cause",
        "X-Hedgerow-Mount",
        "X-Hedgerow-Peer",
        "X-Hedgerow-Retry",
        "X-Hedgerow-Hints",
        "X_Request_Id",
        "X_Forwarded_For",
        "X_Hedgerow_Round",
    ],
)
def test_a_client_cannot_send(pair: tuple[Front, Backend], name: str) -> None:
    front, backend = pair
    front.request("GET", "/", f"{name}: from-the-client", "X-Own: passes")
    values = [value for _, value in backend.seen[0].headers]
    assert "from-the-client" not in values
    assert backend.seen[0].header("X-Own") == ["passes"]


def test_the_round_and_the_front_are_the_fronts_words(pair: tuple[Front, Backend]) -> None:
    front, backend = pair
    front.request("GET", "/", "X-Hedgerow-Round: 2", "X-Hedgerow-Front: elsewhere")
    assert backend.seen[0].header("X-Hedgerow-Round") == ["1"]
    assert backend.seen[0].header("X-Hedgerow-Front") == [socket.gethostname().lower()]


def test_the_request_id_is_made_here_passed_on_logged_and_returned(pair: tuple[Front, Backend]) -> None:
    front, backend = pair
    answer = front.request("GET", "/", "X-Request-Id: from-the-client")
    (made,) = backend.seen[0].header("X-Request-Id")
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert answer.header("X-Request-Id") == [made]
    assert front.last_line()["request_id"] == made


@pytest.mark.parametrize(
    ("request_line", "host", "passed", "port"),
    [
        ("GET / HTTP/1.1", "site.example", "site.example", "80"),
        ("GET / HTTP/1.1", "Site.Example:8080", "Site.Example:8080", "8080"),
        ("GET / HTTP/1.1", "[::1]:81", "[::1]:81", "81"),
        ("GET / HTTP/1.1", "[::1]", "[::1]", "80"),
        ("GET http://real.example:99/ HTTP/1.1", "other.example", "real.example:99", "99"),
        ("GET / HTTP/1.0", "", "localhost", "80"),
    ],
)
def test_the_host_is_passed_as_sent(
    pair: tuple[Front, Backend], request_line: str, host: str, passed: str, port: str
) -> None:
    front, backend = pair
    with front.client() as client:
        client.send(f"{request_line}\r\n{f'Host: {host}' if host else 'X-No: host'}\r\n\r\n".encode())
        assert client.answer().status == 200
    assert backend.seen[0].header("Host") == [passed]
    assert backend.seen[0].header("X-Forwarded-Host") == [passed]
    assert backend.seen[0].header("X-Forwarded-Port") == [port]


def test_the_connection_to_a_worker_is_kept_whatever_the_client_says(pair: tuple[Front, Backend]) -> None:
    front, backend = pair
    for _ in range(3):
        front.request("GET", "/", "Connection: close")
    assert [seen.header("Connection") for seen in backend.seen] == [[], [], []]
    # nginx's processes keep their own connections.
    assert len({seen.connection.fileno() for seen in backend.seen}) <= 2


def test_the_version_is_not_told(pair: tuple[Front, Backend]) -> None:
    front, _ = pair
    assert front.request().header("Server") == ["nginx"]


@pytest.mark.parametrize(
    ("agent", "logged"),
    [
        ('a"b\\c', 'a"b\\c'),
        ("a\ttab", "(not ASCII)"),
        ("del\x7f", "(not ASCII)"),
        ("no utf-8 \xff", "(not ASCII)"),
        ("\x1b[31mred", "(not ASCII)"),
    ],
)
def test_whatever_a_client_sends_the_log_is_json_in_ascii(pair: tuple[Front, Backend], agent: str, logged: str) -> None:
    front, _ = pair
    front.request("GET", '/a"b\\%0a', f"User-Agent: {agent}")
    line = front.last_line()
    assert line["request"] == 'GET /a"b\\%0a HTTP/1.1'
    assert line["user_agent"] == logged
    assert (line["status"], line["round"], line["upstream_status"]) == (200, "first", "200")
    assert all(32 <= byte < 127 for byte in front.log.read_bytes().rstrip(b"\n"))


def test_a_target_that_is_no_ascii_is_not_logged_raw(pair: tuple[Front, Backend]) -> None:
    front, backend = pair
    front.request("GET", "/caf\xe9")
    assert front.last_line()["request"] == "(not ASCII)"
    assert backend.seen[0].target == "/caf\xe9"
