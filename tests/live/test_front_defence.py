"""Whom the front refuses by itself, and whose word about a client it takes: each off, as it is shipped, and on."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from front_backends import Backend, Exchange, backends, executes
from front_support import Answer, Client, Front, binaries, running

from hedgerow.control import front as shipped
from hedgerow.control.front import NginxBinary


@pytest.fixture(params=binaries(), ids=str)
def binary(request: pytest.FixtureRequest) -> NginxBinary:
    return request.param


def tells(exchange: Exchange) -> None:
    """Answers with the headers by which an app learns who its client is."""
    names = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-real-ip")
    exchange.reply(body=json.dumps([exchange.header(name) for name in names]).encode())


# --- hosts and methods ------------------------------------------------------------------------------------------------

ODD_HOSTS = ["", "other.example", "shop.example.evil.example", "evilshop.example", "127.0.0.1", "deep.of.example.org.x"]


@pytest.mark.parametrize(
    "host", ["shop.example", "SHOP.example:8080", "shop.example.", "a.example.org", "a.b.example.org"]
)
def test_hosts_that_are_named_are_served(binary: NginxBinary, tmp_path: Path, host: str) -> None:
    options = {"hosts": "shop.example, *.example.org"}
    with backends(executes) as addresses, running(tmp_path, binary, addresses, options=options) as front:
        assert front.request("GET", "/", host=host).status == 200


@pytest.mark.parametrize("host", ODD_HOSTS[1:])
def test_every_other_host_is_misdirected(binary: NginxBinary, tmp_path: Path, host: str) -> None:
    options = {"hosts": "shop.example, *.example.org"}
    with backends(executes) as (address,):
        with running(tmp_path, binary, [address], options=options) as front:
            answer = front.request("POST", "/", host=host, body=b"x")
            assert answer.status == 421
            assert answer.header("X-Request-Id") == [front.last_line()["request_id"]]
            with front.client() as client:  # the target wins over the Host header, RFC 9112 section 3.2.2
                client.send(f"GET http://{host}/ HTTP/1.1\r\nHost: shop.example\r\n\r\n".encode())
                assert client.answer().status == 421
        assert address.seen == []


@pytest.mark.parametrize("host", ODD_HOSTS[1:])
def test_without_names_every_host_is_served(binary: NginxBinary, tmp_path: Path, host: str) -> None:
    with backends(executes) as addresses, running(tmp_path, binary, addresses) as front:
        assert front.request("GET", "/", host=host).status == 200


def test_methods_that_are_not_named_are_not_let_through(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(executes) as (address,):
        with running(tmp_path, binary, [address], options={"methods": "GET HEAD POST"}) as front:
            assert [front.request(method).status for method in ("GET", "HEAD", "POST")] == [200, 200, 200]
            assert [front.request(method).status for method in ("PUT", "PROPFIND", "get", "GETX")] == [
                501,
                501,
                400,
                501,
            ]
        assert len(address.seen) == 3


def test_without_names_every_method_is_let_through(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(executes) as addresses, running(tmp_path, binary, addresses) as front:
        assert [front.request(method).status for method in ("PUT", "PROPFIND", "PURGE")] == [200, 200, 200]


# --- rates ------------------------------------------------------------------------------------------------------------


def asked(front: Front, count: int, path: str = "/", *lines: str) -> list[Answer]:
    return [front.request("GET", path, *lines) for _ in range(count)]


def test_who_asks_too_often_is_told_to_come_later(binary: NginxBinary, tmp_path: Path) -> None:
    """One a second, and one at once besides; forty do not take long enough for many more."""
    with backends(executes) as (address,):
        with running(tmp_path, binary, [address], options={"client_rate": 1}) as front:
            answers = asked(front, 40)
            refused = [answer for answer in answers if answer.status == 429]
            assert len(refused) >= 20
            assert [answer.status for answer in answers[:2]] == [200, 200]
            told = json.loads(asked(front, 1, "/", "Accept: application/json")[0].body)
            assert (told["status"], told["cause"]) == (429, "rate")
            assert refused[0].header("Retry-After") == ["1"]
            assert "rate · request" in refused[0].body.decode()
            assert front.last_line(41)["cause"] == "rate"
            # One that goes another way (a body that streams) is counted, too.
            assert front.request("POST", "/", body=bytes(1_500_000)).status == 429
        assert len(address.seen) == 40 - len(refused)


def test_a_request_that_is_sent_on_counts_once(binary: NginxBinary, tmp_path: Path) -> None:
    with (
        backends(None, executes, None) as addresses,
        running(tmp_path, binary, addresses, options={"client_rate": 5}) as front,
    ):
        assert [answer.status for answer in asked(front, 6)] == [200] * 6


def test_who_has_too_many_at_once_is_refused(binary: NginxBinary, tmp_path: Path) -> None:
    both, free = threading.Barrier(3), threading.Event()

    def waits(exchange: Exchange) -> None:
        both.wait(10)
        free.wait(10)
        exchange.reply()

    with (
        backends(waits) as addresses,
        running(tmp_path, binary, addresses, options={"client_connections": 2}) as front,
        ThreadPoolExecutor(2) as pool,
    ):
        busy = [pool.submit(front.request) for _ in range(2)]
        both.wait(10)
        assert front.request().status == 429
        free.set()
        assert [one.result().status for one in busy] == [200, 200]


def test_without_limits_nobody_is_refused(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(executes) as addresses, running(tmp_path, binary, addresses) as front:
        assert {answer.status for answer in asked(front, 200)} == {200}


# --- proxies before this one ------------------------------------------------------------------------------------------

CLAIMS = ("X-Forwarded-For: 192.0.2.9, 198.51.100.7", "X-Forwarded-Proto: https", "X-Real-IP: 192.0.2.9")


@pytest.mark.parametrize(
    ("options", "client", "scheme", "port"),
    [
        ({}, "127.0.0.1", "http", "8080"),
        ({"trusted_proxies": "192.0.2.0/24"}, "127.0.0.1", "http", "8080"),
        ({"trusted_proxies": "127.0.0.1"}, "198.51.100.7", "https", "8080"),
        ({"trusted_proxies": "127.0.0.0/8 198.51.100.7 ::1"}, "192.0.2.9", "https", "8080"),
    ],
)
def test_who_the_client_is_only_a_trusted_proxy_may_say(
    binary: NginxBinary, tmp_path: Path, options: dict[str, object], client: str, scheme: str, port: str
) -> None:
    with backends(tells) as addresses, running(tmp_path, binary, addresses, options=options) as front:
        told = json.loads(front.request("GET", "/", *CLAIMS).body)
        assert told == [[client], [scheme], [port], [client]]
        assert front.last_line()["client"] == client


def test_a_proxy_may_say_nothing_but_http_and_https(binary: NginxBinary, tmp_path: Path) -> None:
    options = {"trusted_proxies": "127.0.0.1"}
    with backends(tells) as addresses, running(tmp_path, binary, addresses, options=options) as front:
        for claim in ("gopher", "https, http", "https;x"):
            told = json.loads(front.request("GET", "/", f"X-Forwarded-Proto: {claim}").body)
            assert told[1] == ["http"], claim


PROXIED = {"trusted_proxies": "127.0.0.1", "proxy_protocol": True}
HEADER = b"PROXY TCP4 203.0.113.5 127.0.0.1 5555 80\r\n"


@contextmanager
def started_proxied(folder: Path, binary: NginxBinary, addresses: list[Backend]) -> Iterator[int]:
    """The port of a front that listens for the PROXY protocol."""
    with running(folder, binary, addresses, options=PROXIED) as front:
        yield front.port


def spoken(port: int, header: bytes) -> Answer:
    with Client(port) as client:
        client.send(header)
        client.head("GET", "/", *CLAIMS)
        return client.answer()


def test_the_proxy_protocol_tells_the_client(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(tells) as addresses, started_proxied(tmp_path, binary, addresses) as port:
        told = json.loads(spoken(port, HEADER).body)
        assert told[0] == told[3] == ["203.0.113.5"]


def test_who_does_not_speak_it_is_not_heard(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(tells) as (address,):
        with started_proxied(tmp_path, binary, [address]) as port, Client(port) as client:
            client.head()
            assert client.socket.recv(100) == b""
        assert address.seen == []


def test_the_proxy_protocol_is_off(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(tells) as (address,):
        with running(tmp_path, binary, [address]) as front:
            assert spoken(front.port, HEADER).status == 400
        assert address.seen == []


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HOSTS", "shop.example, a/b", "HEDGEROW_HOSTS=shop.example, a/b: a/b is no host name"),
        ("HOSTS", "$host", "HEDGEROW_HOSTS=$host: $host is no host name"),
        ("HOSTS", 'a" 0; } evil', 'HEDGEROW_HOSTS=a" 0; } evil: a" is no host name'),
        ("METHODS", "GET post", "HEDGEROW_METHODS=GET post: post is no method"),
        ("CLIENT_RATE", "fast", "HEDGEROW_CLIENT_RATE=fast: not a number between 1 and 10000"),
        ("CLIENT_CONNECTIONS", "10001", "HEDGEROW_CLIENT_CONNECTIONS=10001: not between 1 and 10000"),
        ("TRUSTED_PROXIES", "10.0.0.1;", "HEDGEROW_TRUSTED_PROXIES=10.0.0.1;: 10.0.0.1; is no address or network"),
        ("PROXY_PROTOCOL", "yes", "HEDGEROW_PROXY_PROTOCOL=yes: neither 0 nor 1"),
        (
            "PROXY_PROTOCOL", "1",
            "HEDGEROW_PROXY_PROTOCOL=1: name the proxies in HEDGEROW_TRUSTED_PROXIES; others are not believed",
        ),
        (
            "HOSTS", "a.example\nb.example",
            "HEDGEROW_HOSTS, HEDGEROW_METHODS, HEDGEROW_TRUSTED_PROXIES: a list stands in one line",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(binary: NginxBinary, tmp_path: Path, name: str, value: str, said: str) -> None:
    environ = {"PATH": os.environ["PATH"], "HEDGEROW_FRONT_RUN": str(tmp_path), "HEDGEROW_NGINX": str(binary.path)}
    script = [str(shipped.nginx_files() / "render.sh")]
    done = subprocess.run(
        script, env=environ | {f"HEDGEROW_{name}": value}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, f"{said}\n")
