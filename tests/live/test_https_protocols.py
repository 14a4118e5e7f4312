"""HTTPS at the front, protocol by protocol: what TLS offers, and real clients of HTTP/2 and HTTP/3."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from front_backends import Backend, Exchange, backends, executed, executes, reads_and_drops
from https_support import (
    PROTOCOLS,
    ROOT,
    SecureFront,
    certificate,
    forky,
    open_folder,
    secured,
    with_http3,
    without_http3,
)

from hedgerow.control.front import NginxBinary

pytestmark = pytest.mark.timeout(600)  # the first test on a bare machine fetches its programs

# What Mozilla's "intermediate" offers of TLS 1.2, without finite-field DHE.
SUITES = {"AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"}
SUITES_1_3 = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        certificate(made / "site.pem", "localhost")
        yield made


@pytest.fixture
def addresses() -> Iterator[list[Backend]]:
    with backends(executes) as made:
        yield made


@pytest.fixture
def site(tmp_path: Path, folder: Path, addresses: list[Backend]) -> Iterator[SecureFront]:
    with secured(tmp_path, with_http3(), addresses, folder) as running:
        yield running


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [without_http3, with_http3], ids=["packaged", "debian"])
@pytest.mark.parametrize("rsa", [False, True], ids=["ecdsa", "rsa"])
def test_a_scanner_finds_the_policy_and_nothing_else(
    tmp_path: Path, folder: Path, addresses: list[Backend], binary: object, rsa: bool
) -> None:
    certificate(folder / "site.pem", "localhost", rsa=rsa)
    found_binary: NginxBinary = binary()  # type: ignore[operator]
    with secured(tmp_path, found_binary, addresses, folder) as site:
        found = scanned(tmp_path, site.port)
    kind = "RSA" if rsa else "ECDSA"
    assert {name: suites for name, suites in accepted(found).items() if suites} == {
        "tls_1_2": {f"TLS_ECDHE_{kind}_WITH_{suite}" for suite in SUITES},
        "tls_1_3": SUITES_1_3,
    }
    assert not found["tls_compression"]["supports_compression"]
    assert not found["tls_1_3_early_data"]["supports_early_data"]
    assert found["tls_fallback_scsv"]["supports_fallback_scsv"]
    assert not found["session_renegotiation"]["is_vulnerable_to_client_renegotiation_dos"]
    assert found["session_resumption"]["session_id_resumption_result"] == "FULLY_SUPPORTED"
    assert found["session_resumption"]["tls_ticket_resumption_result"] == "NOT_SUPPORTED"
    assert found["robot"]["robot_result"].startswith("NOT_VULNERABLE")
    assert not found["heartbleed"]["is_vulnerable_to_heartbleed"]
    assert not found["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"]


def scanned(folder: Path, port: int) -> dict[str, dict[str, object]]:
    """What sslyze, which has an OpenSSL of its own for what a new one speaks no more, finds out."""
    tool = subprocess.run(
        [str(ROOT / ".ci" / "tool.sh"), "sslyze"],
        check=True, capture_output=True, text=True, env=os.environ | {"PYTHON": sys.executable},
    )  # fmt: skip
    scans = "sslv2 sslv3 tlsv1 tlsv1_1 tlsv1_2 tlsv1_3 reneg resum compression early_data fallback"
    scans += " heartbleed openssl_ccs robot"
    report = folder / "scan.json"
    command = [f"{tool.stdout.strip()}/sslyze", *(f"--{scan}" for scan in scans.split()), "--mozilla_config=disable"]
    subprocess.run([*command, f"--json_out={report}", f"127.0.0.1:{port}"], check=True, capture_output=True)
    [target] = json.loads(report.read_text())["server_scan_results"]
    return {name: scan["result"] for name, scan in target["scan_result"].items() if scan["result"] is not None}


def accepted(found: dict[str, dict[str, object]]) -> dict[str, set[str]]:
    return {
        match[1]: {one["cipher_suite"]["name"] for one in scan["accepted_cipher_suites"]}  # type: ignore[attr-defined]
        for name, scan in found.items()
        if (match := re.fullmatch("((?:ssl|tls)_._.)_cipher_suites", name))
    }


# --- real clients -----------------------------------------------------------------------------------------------------


def versions(site: SecureFront) -> list[str]:
    return [str(line["request"]).rpartition(" ")[2] for line in site.plain.log_lines()]


@pytest.mark.parametrize(
    ("protocol", "version"), [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0"), ("--http3-only", "HTTP/3.0")]
)
def test_the_worker_is_told_the_same_by_every_protocol(
    site: SecureFront, addresses: list[Backend], protocol: str, version: str
) -> None:
    """The app's URLs come from these, so that `wsgi.url_scheme` is https and links have the port."""
    told = site.curl(protocol, "/a%2Fb//c;d?q=%20", "--data-binary", "body", "--header", "X-Forwarded-Proto: http")
    assert (told.status, told.body) == (200, b"fine")
    assert told.header("Alt-Svc") == [f'h3=":{site.port}"; ma=86400']
    site.plain.last_line()
    assert versions(site) == [version]
    [exchange] = addresses[0].seen
    assert (exchange.method, exchange.target, bytes(exchange.body)) == ("POST", "/a%2Fb//c;d?q=%20", b"body")
    host = f"localhost:{site.port}"
    expected = {
        "Host": host,
        "X-Forwarded-Host": host,
        "X-Forwarded-Port": str(site.port),
        "X-Forwarded-Proto": "https",
    }
    assert {name: exchange.header(name) for name in expected} == {name: [value] for name, value in expected.items()}


def test_a_client_that_knows_http_3_goes_over_to_it_by_itself(
    tmp_path: Path, site: SecureFront, addresses: list[Backend]
) -> None:
    for _ in range(2):
        assert site.curl("", "/", "--alt-svc", str(tmp_path / "known")).status == 200
    site.plain.last_line(2)
    assert versions(site) == ["HTTP/2.0", "HTTP/3.0"]


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_many_requests_of_many_connections_are_all_answered(
    site: SecureFront, addresses: list[Backend], protocol: str
) -> None:
    command = [str(forky() / "h2load"), f"--alpn-list={protocol}", "-n", "2000", "-c", "20", "-m", "10", "-t", "1"]
    done = subprocess.run([*command, f"https://127.0.0.1:{site.port}/"], check=True, capture_output=True, text=True)
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout, done.stdout
    assert len(addresses[0].seen) == 2000


def test_many_requests_by_http_3_are_all_answered(site: SecureFront, addresses: list[Backend]) -> None:
    """By curl: Debian's h2load is built without HTTP/3."""
    options = [
        "--parallel",
        "--parallel-max",
        "20",
        "--output",
        os.devnull,
        "--write-out",
        "%{http_code} %{http_version}\n",
    ]
    command = [str(forky() / "curl"), "--http3-only", "--silent", "--show-error", "--insecure", *options]
    many = f"https://localhost:{site.port}/[1-500]"
    done = subprocess.run([*command, many], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["200 3"] * 500
    assert len({exchange.target for exchange in addresses[0].seen}) == 500


def test_another_http_2_client_is_answered(site: SecureFront) -> None:
    command = [str(forky() / "nghttp"), "--no-verify-peer", "--verbose", f"https://localhost:{site.port}/"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert re.search(r":status: .*200|:status.*200", done.stdout), done.stdout


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_large_upload_streams(site: SecureFront, addresses: list[Backend], tmp_path: Path, protocol: str) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(bytes(range(256)) * 20_000)
    told = site.curl(protocol, "/", "--data-binary", f"@{upload}", "--header", "Expect:")
    assert told.status == 200
    assert bytes(addresses[0].seen[0].body) == upload.read_bytes()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_limits_of_a_head_are_the_same(site: SecureFront, addresses: list[Backend], protocol: str) -> None:
    """One line of 15 KiB, 60 KiB in all. nginx says 400, or ends a connection of HTTP/2 or 3."""
    for count, size, good in ((3, 14_000, True), (1, 20_000, False), (6, 14_000, False)):
        headers = [f"--header=X-{n}: {'x' * size}" for n in range(count)]
        try:
            status = site.curl(protocol, "/", *headers).status
        except subprocess.CalledProcessError:
            status = 0
        assert status in ([200] if good else [400] if protocol == "--http1.1" else [400, 0])
    assert len(addresses[0].seen) == 1


@pytest.mark.parametrize("protocol", ["--http1.1", "--http3-only"])
def test_a_body_above_the_ceiling_is_refused_by_its_length(
    site: SecureFront, addresses: list[Backend], protocol: str
) -> None:
    told = site.curl(protocol, "/", "--request", "POST", "--header", "Content-Length: 3000000000")
    assert told.status == 413
    assert addresses[0].seen == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_post_whose_worker_dies_is_never_sent_again_and_a_get_is(tmp_path: Path, folder: Path, protocol: str) -> None:
    with backends(reads_and_drops, reads_and_drops) as both, secured(tmp_path, with_http3(), both, folder) as site:
        assert site.curl(protocol, "/", "--data-binary", "once").status == 502
        assert len(executed(*both)) == 1
        assert site.curl(protocol).status == 502
        assert len(executed(*both)) > 2


def test_a_websocket_passes_by_http_1_1(tmp_path: Path, folder: Path) -> None:
    def switches(exchange: Exchange) -> None:
        exchange.connection.sendall(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
        exchange.connection.sendall(exchange.connection.recv(100).upper())
        exchange.drop()

    with (
        backends(switches) as addresses,
        secured(tmp_path, with_http3(), addresses, folder) as site,
        site.connect() as client,
    ):
        client.sendall(b"GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        client.sendall(b"frames")
        received = b""
        while not received.endswith(b"helloFRAMES"):
            piece = client.recv(4096)
            assert piece, received
            received += piece
        assert received.startswith(b"HTTP/1.1 101 ")
        assert addresses[0].seen[0].header("Upgrade") == ["websocket"]
