"""HTTPS at the front: what plain HTTP beside it answers, what answers say of it, which protocols of TLS are spoken."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from front_backends import Exchange, backends, executes
from https_support import (
    SecureFront,
    any_certificate,
    certificate,
    open_folder,
    secured,
    tls,
    with_http3,
    without_http3,
)

from hedgerow.control.front import NginxBinary

pytestmark = pytest.mark.timeout(600)  # the first test on a bare machine fetches its programs


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture(params=[without_http3, with_http3], ids=["packaged", "debian"])
def binary(request: pytest.FixtureRequest) -> NginxBinary:
    found: NginxBinary = request.param()
    return found


# --- plain HTTP beside it ---------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path, folder: Path) -> Iterator[SecureFront]:
    certificate(folder / "one.pem", "localhost")
    challenges = folder / "acme" / ".well-known" / "acme-challenge"
    challenges.mkdir(parents=True)
    (challenges / "Token-_7").write_text("Token-_7.thumbprint")
    (folder / "acme" / "secret").write_text("secret")
    (challenges / "linked").symlink_to("/etc/hostname")
    with (
        backends(executes) as addresses,
        secured(tmp_path, with_http3(), addresses, folder, acme=folder / "acme") as running,
    ):
        yield running


@pytest.mark.parametrize(
    ("target", "kept_as"),
    [
        ("/", "/"),
        ("/a%2Fb//c/./../%2e%2e/d;e=%20?q=%0d%0aX:y&&z=%C3%A4+a\"'<>\\", None),
        ("/?", "/?"),
        ("//evil.example/", "//evil.example/"),
        ("http://site.example/path?x", "/path?x"),
        ("http://site.example?x", "/?x"),
        ("http://site.example", "/"),
        ("/.well-known/acme-challenge/../../secret", None),
        ("/.well-known/acme-challenge/a/b", None),
        ("/.well-known/acme-challenge/", None),
    ],
)
def test_plain_http_is_sent_to_the_same_target_byte_for_byte(
    site: SecureFront, target: str, kept_as: str | None
) -> None:
    answer = site.plain.request("GET", target, host="Site.Example:8080")
    assert answer.status == 308
    assert answer.header("Location") == [f"https://site.example:{site.port}{kept_as or target}"]
    assert answer.header("Cache-Control") == ["max-age=3600"]
    assert len(answer.header("X-Request-Id")) == 1


def test_a_post_by_plain_http_stays_a_post_and_reaches_no_app(tmp_path: Path, folder: Path) -> None:
    certificate(folder / "one.pem", "localhost")
    with backends(executes) as addresses, secured(tmp_path, without_http3(), addresses, folder) as site:
        assert site.plain.request("POST", "/form", body=b"x" * 100_000).status == 308
        assert addresses[0].seen == []


@pytest.mark.parametrize(
    "host",
    [
        "evil.example/path", "evil.example?x", "evil.example#x", "good.example@evil.example", "evil.example\\x",
        "evil.example\tx", 'evil.example"x', "evil.example<x>", "evil%2eexample", "", ":8080", "[::1", "a b",
    ],
)  # fmt: skip
def test_a_host_that_is_no_name_is_sent_nowhere(site: SecureFront, host: str) -> None:
    with site.plain.client() as client:
        client.send(f"GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        answer = client.answer()
    assert answer.status == 400
    assert answer.header("Location") == []


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "[::1]:8080", "a-b.example", "a_b.example:1"])
def test_a_host_that_is_a_name_or_an_address_is_kept_without_its_port(site: SecureFront, host: str) -> None:
    answer = site.plain.request("GET", "/x", host=host)
    name = host if host.count(":") == 0 else host.rpartition(":")[0]
    assert answer.header("Location") == [f"https://{name}:{site.port}/x"]


def test_a_client_that_names_no_host_is_sent_nowhere(site: SecureFront) -> None:
    with site.plain.client() as client:
        client.send(b"GET /x HTTP/1.0\r\n\r\n")
        assert client.answer().status == 400


def test_the_public_port_is_the_one_in_redirects(tmp_path: Path, folder: Path) -> None:
    certificate(folder / "one.pem", "localhost")
    for public, suffix in ((443, ""), (9443, ":9443")):
        with (
            backends(executes) as addresses,
            secured(tmp_path, with_http3(), addresses, folder, https_public_port=public) as site,
        ):
            answer = site.plain.request("GET", "/x", host="site.example")
            assert answer.header("Location") == [f"https://site.example{suffix}/x"]
            assert site.request().header("Alt-Svc") == [f'h3=":{public}"; ma=86400']


def test_the_internal_server_sends_nobody_to_https(site: SecureFront) -> None:
    answer = site.plain.internal("/addresses")
    assert (answer.status, answer.body) == (200, b"1")


def test_challenges_of_acme_are_answered_by_plain_http(site: SecureFront) -> None:
    answer = site.plain.request("GET", "/.well-known/acme-challenge/Token-_7")
    assert (answer.status, answer.body) == (200, b"Token-_7.thumbprint")
    assert answer.header("Content-Type") == ["text/plain"]
    assert site.plain.request("GET", "/.well-known/acme-challenge/unknown").status == 404
    assert site.plain.request("POST", "/.well-known/acme-challenge/Token-_7").status == 405


@pytest.mark.skipif(os.getuid() != 0, reason="another user's file is wanted")
def test_a_link_among_the_challenges_to_another_users_file_is_not_followed(site: SecureFront) -> None:
    folder = site.settings.acme / ".well-known" / "acme-challenge"
    os.chown(folder / "linked", 12345, 12345, follow_symlinks=False)
    assert site.plain.request("GET", "/.well-known/acme-challenge/linked").status == 403


def test_challenges_are_answered_before_https_is_switched_on(tmp_path: Path, folder: Path) -> None:
    challenges = folder / ".well-known" / "acme-challenge"
    challenges.mkdir(parents=True)
    (challenges / "token").write_text("first")
    with (
        backends(executes) as addresses,
        secured(tmp_path, without_http3(), addresses, Path(), https="off", acme=folder) as site,
    ):
        assert site.plain.request("GET", "/.well-known/acme-challenge/token").body == b"first"
        assert site.plain.request("GET", "/.well-known/acme-challenge/a/b").body == b"fine"
        assert [seen.target for seen in addresses[0].seen] == ["/.well-known/acme-challenge/a/b"]


# --- what answers say -------------------------------------------------------------------------------------------------


def says_it_itself(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.reply(Strict_Transport_Security="max-age=1; preload", Alt_Svc="clear")


@pytest.mark.parametrize("seconds", [0, 31536000])
def test_hsts_is_off_unless_it_is_switched_on(tmp_path: Path, folder: Path, seconds: int) -> None:
    certificate(folder / "one.pem", "localhost")
    wanted = [f"max-age={seconds}"] if seconds else []
    with backends(executes, says_it_itself) as addresses, backends(None) as dead:
        with secured(tmp_path, without_http3(), addresses[:1], folder, hsts=seconds) as site:
            assert site.request().header("Strict-Transport-Security") == wanted
            assert site.plain.request().header("Strict-Transport-Security") == [], "RFC 6797, 7.2: not by plain HTTP"
        with secured(tmp_path, without_http3(), addresses[1:], folder, hsts=seconds) as site:
            answer = site.request()
            assert answer.header("Strict-Transport-Security") == ["max-age=1; preload"], "the app's own"
            assert answer.header("Alt-Svc") == ["clear"]
        with secured(tmp_path, without_http3(), dead, folder, hsts=seconds) as site:
            answer = site.request()
            assert answer.status == 502
            assert answer.header("Strict-Transport-Security") == wanted, "an error page, too"


def test_without_https_answers_say_nothing_of_it(tmp_path: Path) -> None:
    with (
        backends(executes) as addresses,
        secured(tmp_path, with_http3(), addresses, Path(), https="off") as site,
    ):
        answer = site.plain.request()
        assert answer.status == 200
        assert answer.header("Strict-Transport-Security") + answer.header("Alt-Svc") == []


# --- protocols of TLS -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "good"), [("TLSv1", False), ("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)]
)
def test_only_tls_from_1_2_on_is_spoken(
    tmp_path: Path, folder: Path, binary: NginxBinary, version: str, good: bool
) -> None:
    certificate(folder / "one.pem", "localhost")
    number = ssl.TLSVersion[version]
    context = any_certificate()
    context.set_ciphers("ALL:@SECLEVEL=0")  # else this side refuses first
    with nullcontext() if good else pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = context.maximum_version = number
    with backends(executes) as addresses, secured(tmp_path, binary, addresses, folder) as site:
        if good:
            with tls(site.port, "localhost", context) as connection:
                assert connection.version() == version.replace("_", ".")
        else:
            with pytest.raises(ssl.SSLError, match="alert protocol version"):
                tls(site.port, "localhost", context)


def test_a_client_that_speaks_plain_http_to_the_port_of_https_is_told_so(site: SecureFront) -> None:
    site.plain.port, plain = site.port, site.plain.port
    answer = site.plain.request()
    site.plain.port = plain
    assert answer.status == 400
    assert answer.header("Strict-Transport-Security") == []
