"""HTTPS over the shipped stack, by docker-compose.https.yml: a development authority in a volume, each protocol."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import SAMPLES
from .engine import ROOT, Stack, request, run, wait_for

TRIES_WITHIN_S = 30
WHOAMI = [folder for folder in SAMPLES if folder.name == "whoami"]


@pytest.fixture(scope="module")
def secure(engine: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    env = engine | {"HEDGEROW_HTTPS_PORT": "127.0.0.1:", "HEDGEROW_HTTPS_PUBLIC_PORT": "8443"}
    folder = tmp_path_factory.mktemp("https")
    stack = Stack(env, folder, WHOAMI, ROOT / "docker-compose.https.yml")
    try:
        stack.up(1)
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="module")
def authority(secure: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("trust") / "authority.pem"
    secure.compose("cp", "front:/certificates/authority/authority.pem", str(file))
    return file


def curl(secure: Stack, authority: Path, protocol: str) -> tuple[str, dict[str, str]]:
    """The version that was spoken, and what whoami tells. The certificate and its name are checked."""
    kind = "udp" if protocol == "--http3-only" else "tcp"
    port = int(secure.compose("port", "--protocol", kind, "front", "8443").rpartition(":")[2])
    tools = Path(run([str(ROOT / ".ci" / "forky.sh")], timeout_s=300).strip())
    options = ["--silent", "--show-error", "--fail", "--cacert", str(authority), "--write-out", "\n%{http_version}"]
    url = f"https://localhost:{port}/whoami/?format=json"
    told = run([str(tools / "curl"), protocol, *options, "--resolve", f"localhost:{port}:127.0.0.1", url])
    page, _, version = told.rpartition("\n")
    return version, json.loads(page)


@pytest.mark.parametrize(("protocol", "version"), [("--http1.1", "1.1"), ("--http2", "2"), ("--http3-only", "3")])
def test_an_app_is_reached_by_every_protocol_and_knows_of_https(
    secure: Stack, authority: Path, protocol: str, version: str
) -> None:
    spoken, told = curl(secure, authority, protocol)
    assert spoken == version
    assert told["scheme"] == "https"


def test_plain_http_is_sent_to_https(secure: Stack) -> None:
    answer = request(secure.port, "GET", "/whoami/?a=%2F", Host="shop.example")
    assert (answer.status, answer.headers["location"]) == (308, "https://shop.example:8443/whoami/?a=%2F")


def test_old_protocols_are_refused(secure: Stack) -> None:
    port = secure.published("front", 8443)
    for option in ("-tls1", "-tls1_1"):
        command = ["openssl", "s_client", option, "-cipher", "ALL:@SECLEVEL=0", "-connect", f"127.0.0.1:{port}"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode != 0, option
        assert "protocol version" in done.stderr, done.stderr


def test_the_front_tells_its_values_and_files_in_the_container(secure: Stack) -> None:
    told = secure.exec("front", "/opt/hedgerow/nginx/show.sh")
    assert "HEDGEROW_HTTPS=development\n" in told
    assert "==> /run/hedgerow/https.conf <==" in told
    assert "PRIVATE KEY" not in told


def test_keys_are_their_owners_alone(secure: Stack) -> None:
    files = ["/certificates/development.key", "/certificates/authority/authority.key"]
    told = secure.exec("front", "stat", "-c", "%a %u", *files)
    assert told.split("\n")[:2] == ["600 101"] * 2


def test_the_authority_outlives_the_container(secure: Stack, authority: Path) -> None:
    secure.compose("up", "--detach", "--no-build", "--force-recreate", "--no-deps", "--wait", "front")
    again = secure.exec("front", "cat", "/certificates/authority/authority.pem")
    assert re.sub(r"\s", "", again) == re.sub(r"\s", "", authority.read_text())


def test_a_renewed_certificate_is_taken_up_by_the_running_front(secure: Stack) -> None:
    port = secure.published("front", 8443)
    before = ssl.get_server_certificate(("127.0.0.1", port))
    processes = secure.exec("front", "cat", "/proc/1/task/1/children")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=new -days 9"
    move = (
        "mv /certificates/new.key /certificates/development.key; mv /certificates/new.pem /certificates/development.pem"
    )
    secure.exec("front", "sh", "-c", f"{make} -keyout /certificates/new.key -out /certificates/new.pem && {move}")

    def renewed() -> bool:
        try:
            return ssl.get_server_certificate(("127.0.0.1", port)) != before
        except ssl.SSLError:  # met between the two files
            return False

    wait_for(renewed, "the renewed certificate", within_s=TRIES_WITHIN_S)
    assert secure.exec("front", "cat", "/proc/1/task/1/children") == processes
