"""The shipped Apache front, with a real Apache: what it promises, and where it promises less than nginx does."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from apache_support import FILES, Httpd, front
from control_support import COUNTER, Load, drop, free_port, get, is_alive, stack, until
from front_backends import (
    PATIENCE_S,
    Backend,
    Exchange,
    Handler,
    backends,
    executes,
    reads_and_drops,
    reads_and_resets,
    silent_address,
)
from front_support import Answer, Client

TARGETS = [
    "/a%2Fb//c/../d?x=%20", "/%7e", "/a;b=1,2/;/", "//", "//x//", "/?", "/a?b?c", "/%41%01", "/caf\xe9", "/.//.%2e",
    "/a%5Cb%3Fc%25", "/?http://x/?",
]  # fmt: skip


@contextmanager
def before(folder: Path, *addresses: int) -> Iterator[Httpd]:
    """The shipped front before workers at these ports."""
    folder.chmod(0o755)  # Apache's children are nobody
    with front(folder / "apache", free_port(), addresses).running() as running:
        yield running


@contextmanager
def fronted(folder: Path, *handlers: Handler | None) -> Iterator[tuple[Httpd, list[Backend]]]:
    with backends(*handlers) as addresses, before(folder, *(one.port for one in addresses)) as apache:
        yield apache, addresses


def ask(apache: Httpd, method: str = "GET", target: str = "/", *lines: str, body: bytes = b"") -> Answer:
    with Client(apache.port) as client:
        client.head(method, target, *lines, *([f"Content-Length: {len(body)}"] if body else []))
        client.send(body)
        return client.answer(method)


def seen(addresses: list[Backend]) -> list[Exchange]:
    return [one for address in addresses for one in address.seen]


def replies(status: int, **headers: str) -> Handler:
    def handle(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.reply(status, b"the app's own", **headers)

    return handle


# --- what goes on to the worker ---------------------------------------------------------------------------------------


def test_the_configuration_is_good(tmp_path: Path) -> None:
    told = front(tmp_path / "apache", free_port(), [8001, 8002]).test()
    assert (told.returncode, told.stderr.strip()) == (0, "Syntax OK")


def test_nothing_that_a_client_claims_of_itself_arrives(tmp_path: Path) -> None:
    nginx = (FILES.parent / "nginx" / "snippets" / "request-headers.conf").read_text()
    names = re.findall(r"^proxy_set_header (\S+) ", nginx, re.MULTILINE)
    assert len(names) > 40
    claims = [f"{name}: 9.9.9.9" for name in names if name not in ("Host", "Connection", "Upgrade")]
    named = "Connection: close, X-Forwarded-For, X-Forwarded-Proto, X-Request-Id, X-Hedgerow-Round"
    with fronted(tmp_path, executes) as (apache, addresses):
        answer = ask(apache, "GET", "/", *claims, named, "X-Own: kept")
    [got] = seen(addresses)
    assert sorted(got.headers, key=lambda pair: pair[0].lower()) == [
        ("Connection", "Keep-Alive"),
        ("Host", "site.example:8080"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Host", "site.example:8080"),
        ("X-Forwarded-Port", "8080"),
        ("X-Forwarded-Proto", "http"),
        ("X-Hedgerow-Cause", "1"),
        ("X-Hedgerow-Front", "apache"),
        ("X-Hedgerow-Round", "2"),
        ("X-Own", "kept"),
        ("X-Real-IP", "127.0.0.1"),
        ("X-Request-Id", answer.header("x-request-id")[0]),
    ]
    assert len(answer.header("x-request-id")[0]) == 27


def test_fields_of_the_connection_end_here(tmp_path: Path) -> None:
    hop = ["Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers", "Upgrade: h2c"]
    with fronted(tmp_path, executes) as (apache, addresses):
        assert ask(apache, "GET", "/", *hop, "Connection: close, TE, Upgrade", "X-Own: kept").status == 200
    [got] = seen(addresses)
    names = {name.lower() for name, _ in got.headers}
    assert "x-own" in names
    assert names.isdisjoint({"keep-alive", "proxy-connection", "te", "upgrade"}), names


def test_the_target_arrives_as_it_was_sent_also_when_it_is_sent_again(tmp_path: Path) -> None:
    with fronted(tmp_path, executes) as (apache, addresses):
        got = [ask(apache, "GET", target).status for target in TARGETS]
        ask(apache, "GET", "http://other.example:99//x%2Fy?z")
        last = seen(addresses)[-1]
        assert ask(apache, "GET", "/a/../..").status == ask(apache, "GET", "/a%").status == 400
    assert got == [200] * len(TARGETS)
    assert [one.target for one in seen(addresses)] == [*TARGETS, "//x%2Fy?z"]
    assert [last.header(name) for name in ("host", "x-forwarded-host", "x-forwarded-port")] == [
        ["other.example:99"], ["other.example:99"], ["99"],
    ]  # fmt: skip
    (tmp_path / "again").mkdir()
    with fronted(tmp_path / "again", reads_and_drops, executes) as (apache, addresses):
        for target in TARGETS:
            assert ask(apache, "GET", target).status == 200
    assert Counter(one.target for one in addresses[1].seen) == Counter(TARGETS)
    assert len(addresses[0].seen) >= len(TARGETS) // 2


def test_a_client_of_http_1_0_without_host(tmp_path: Path) -> None:
    with fronted(tmp_path, executes) as (apache, addresses), Client(apache.port) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.answer().status == 200
    [got] = seen(addresses)
    assert [got.header(name) for name in ("host", "x-forwarded-host", "x-forwarded-port")] == [
        ["localhost"], ["localhost"], ["80"],
    ]  # fmt: skip


# --- nothing is lost or run twice -------------------------------------------------------------------------------------


@pytest.mark.parametrize("breaks", [reads_and_drops, reads_and_resets])
def test_what_was_sent_is_sent_again_if_it_is_a_get(tmp_path: Path, breaks: Handler) -> None:
    with fronted(tmp_path, breaks, executes) as (apache, addresses):
        for method in ("GET", "HEAD") * 3:
            assert ask(apache, method, "/x", "Cookie: a=b").status == 200
    ids = Counter(one.header("x-request-id")[0] for one in seen(addresses))
    assert len(ids) == len(addresses[1].seen) == 6
    assert max(ids.values()) == 2
    assert all(one.header("cookie") == ["a=b"] for one in seen(addresses))


def test_a_get_whose_second_try_breaks_off_ends_there(tmp_path: Path) -> None:
    with fronted(tmp_path, reads_and_drops, reads_and_drops) as (apache, addresses):
        answer = ask(apache)
    assert (answer.status, len(seen(addresses))) == (502, 2)
    assert answer.header("x-request-id") == seen(addresses)[0].header("x-request-id")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "GET"])
def test_what_was_sent_with_a_body_is_sent_once(tmp_path: Path, method: str) -> None:
    with fronted(tmp_path, reads_and_drops, reads_and_drops) as (apache, addresses):
        answer = ask(apache, method, "/x", body=b"abc")
    assert answer.status == 502
    assert answer.header("x-request-id")[0].encode() in answer.body
    assert [bytes(one.body) for one in seen(addresses)] == [b"abc"]


@pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
def test_what_was_not_sent_goes_elsewhere(tmp_path: Path, method: str) -> None:
    with fronted(tmp_path, None, executes) as (apache, addresses):
        assert [ask(apache, method, "/x", body=b"abc" * 9000).status for _ in range(20)] == [200] * 20
    assert len(addresses[1].seen) == 20
    assert {bytes(one.body) for one in addresses[1].seen} == {b"abc" * 9000}


def test_an_address_that_says_nothing_is_left_after_a_moment(tmp_path: Path) -> None:
    with ExitStack() as stacked:
        silent = stacked.enter_context(silent_address()).getsockname()[1]
        [good] = stacked.enter_context(backends(executes))
        apache = stacked.enter_context(before(tmp_path, silent, good.port))
        assert [ask(apache, "POST", "/x", body=b"abc").status for _ in range(4)] == [200] * 4
    assert len(good.seen) == 4


def test_nobody_is_there(tmp_path: Path) -> None:
    with fronted(tmp_path, None, None) as (apache, _):
        answer = ask(apache, "POST", "/x", body=b"abc")
    assert answer.status == 503
    assert answer.body.startswith(b"<!doctype html>")
    assert answer.header("x-request-id")[0].encode() in answer.body


def test_no_connection_is_used_for_a_second_request_which_would_be_closed_without_an_answer(tmp_path: Path) -> None:
    with fronted(tmp_path, executes) as (apache, _):
        assert ask(apache, "GET", "/", "Connection: keep-alive").header("connection") == ["close"]


# --- answers, bodies, upgrades ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 500, 502, 503, 504])
def test_an_answer_passes_untouched_but_for_words_between_worker_and_front(tmp_path: Path, status: int) -> None:
    words = {"X_Accel_Redirect": "@x", "X_Accel_Buffering": "no", "X_Request_Id": "theirs", "X_Own": "kept"}
    with fronted(tmp_path, replies(status, **words)) as (apache, addresses):
        answer = ask(apache)
    assert (answer.status, answer.body) == (status, b"the app's own")
    assert {name.lower() for name, _ in answer.headers} == {
        "connection", "content-length", "date", "server", "x-own", "x-request-id",
        "referrer-policy", "x-content-type-options", "x-frame-options",
    }  # fmt: skip
    assert answer.header("server") == ["Apache"]
    assert answer.header("x-request-id") == seen(addresses)[0].header("x-request-id")


def test_an_answer_arrives_while_it_is_made(tmp_path: Path) -> None:
    arrived = threading.Event()

    def streams(exchange: Exchange) -> None:
        exchange.connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert arrived.wait(PATIENCE_S)
        exchange.connection.sendall(b"4\r\nlast\r\n0\r\n\r\n")

    with fronted(tmp_path, streams) as (apache, _), Client(apache.port) as client:
        client.head()
        got = b""
        while b"first" not in got:
            got += client.socket.recv(4096)
        arrived.set()
        while b"0\r\n\r\n" not in got:
            got += client.socket.recv(4096)
    assert got.endswith(b"5\r\nfirst\r\n4\r\nlast\r\n0\r\n\r\n")


@pytest.mark.parametrize("framing", ["Content-Length: 6000000", "Transfer-Encoding: chunked"])
def test_a_body_arrives_while_it_is_sent(tmp_path: Path, framing: str) -> None:
    def counts(exchange: Exchange) -> None:
        exchange.reply(body=str(len(exchange.read_body())).encode())

    half = b"x" * 3_000_000
    chunked = "chunked" in framing
    with fronted(tmp_path, counts) as (apache, [address]), Client(apache.port) as client:
        client.head("POST", "/", framing)
        client.send(b"%x\r\n%s\r\n" % (len(half), half) if chunked else half)
        until(lambda: address.seen and len(address.seen[0].body) >= len(half) - 20_000, 10, "the half is there")
        client.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(half), half) if chunked else half)
        assert client.answer().body == b"6000000"


def test_a_client_that_waits_for_100_gets_it_and_the_worker_is_not_asked(tmp_path: Path) -> None:
    with fronted(tmp_path, executes) as (apache, [address]), Client(apache.port) as client:
        client.head("POST", "/", "Content-Length: 3", "Expect: 100-continue")
        assert client.socket.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"abc")
        assert client.answer().status == 200
    assert address.seen[0].header("expect") == []


def test_websocket_is_let_through_and_no_other_protocol(tmp_path: Path) -> None:
    def upgrades(exchange: Exchange) -> None:
        if exchange.header("upgrade") != ["websocket"]:
            return exchange.reply()
        exchange.connection.sendall(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while piece := exchange.connection.recv(100):
            exchange.connection.sendall(piece.upper())
        return exchange.drop()

    with fronted(tmp_path, upgrades) as (apache, [address]):
        with Client(apache.port) as client:
            client.head("GET", "/", "Upgrade: websocket", "Connection: keep-alive, Upgrade")
            assert client.socket.recv(4096).startswith(b"HTTP/1.1 101 ")
            for word in (b"one", b"two"):
                client.send(word)
                assert client.socket.recv(100) == word.upper()
        assert ask(apache, "GET", "/", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings").status == 200
        assert address.seen[-1].header("upgrade") == []


def test_limits(tmp_path: Path) -> None:
    with fronted(tmp_path, executes) as (apache, addresses):
        assert ask(apache, "GET", "/", "Cookie: " + "x" * 15_000).status == 200
        assert ask(apache, "GET", "/", "Cookie: " + "x" * 16_000).status == 400
        assert ask(apache, "GET", "/" + "x" * 15_000).status == 200
        assert ask(apache, "GET", "/" + "x" * 16_000).status == 414
        assert ask(apache, "GET", "/", *(f"X-{number}: x" for number in range(110))).status == 400
        assert ask(apache, "TRACE", "/").status == 405
        for length in (2**31 + 1, 2**64 + 5, 10**30):
            assert ask(apache, "POST", "/", f"Content-Length: {length}").status in (400, 413)
    assert len(seen(addresses)) == 2


# --- before a real stack ----------------------------------------------------------------------------------------------


def test_workers_are_killed_under_load(tmp_path: Path) -> None:
    with stack(workers=2) as here:
        drop(here.apps, "count", COUNTER % "one")
        (here.apps / "count" / "data").mkdir()
        (here.apps / "count" / "app.toml").write_text('data = ["data"]\n')
        here.up()
        with before(tmp_path, here.first, here.first + 1) as apache:
            until(lambda: get(apache.port, "/count/")[0] == 200, 10, "the app answers")
            load = Load(apache.port, "/count/")
            with load.running():
                for number in range(2):
                    count, address = load.count, number % 2
                    until(lambda: is_alive(here.worker(address)), 15, "there is one to kill")  # noqa: B023 - at once
                    os.kill(here.worker(address), signal.SIGKILL)
                    until(lambda: load.count > count + 200, 15, "requests go on")  # noqa: B023
            ids = Counter((here.state / "data" / "count" / "data" / "ids").read_text().split())
    assert [line for line in load.failed if line.startswith("GET") or not line.endswith(": 502")] == []
    assert max(ids.values()) == 1
    told = {line.split()[1].rstrip(":") for line in load.failed}
    assert set(load.sent) - set(ids) <= told
    print(f"{load.count} requests, 2 kills; of {len(load.failed)} POSTs with 502 {len(told & set(ids))} had run")
