"""HTTPS with one switch: `hedgerow up` with a development authority, and what `hedgerow front show` tells."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from control_support import Stack, free_port, stack, until
from https_support import FILES, ROOT, certificate, open_folder, openssl

pytestmark = pytest.mark.timeout(600)  # the first test on a bare machine fetches its programs

PATIENCE_S = 20


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture(scope="module")
def secure(folder: Path) -> Iterator[Stack]:
    inputs = {"HEDGEROW_HTTPS": "development", "HEDGEROW_HTTPS_PORT": str(free_port())}
    with stack(workers=1, HEDGEROW_CERTIFICATES=str(folder / "made"), **inputs) as running:
        shutil.copytree(ROOT / "apps" / "whoami", running.apps / "whoami")
        running.up()
        yield running


def port(secure: Stack) -> int:
    return int(secure.environ["HEDGEROW_HTTPS_PORT"])


def asked(secure: Stack, folder: Path, path: str) -> tuple[int, bytes]:
    """By a client that trusts the authority, as docs/https.md says, and checks the name."""
    context = ssl.create_default_context(cafile=str(folder / "made" / "authority" / "authority.pem"))
    connection = http.client.HTTPSConnection("localhost", port(secure), timeout=PATIENCE_S, context=context)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_the_app_is_told_that_its_client_came_by_https(secure: Stack, folder: Path) -> None:
    until(lambda: asked(secure, folder, "/whoami/")[0] == 200, PATIENCE_S, "the app")
    told = json.loads(asked(secure, folder, "/whoami/")[1])
    assert (told["scheme"], told["host"]) == ("https", f"localhost:{port(secure)}")


def test_the_user_is_told_the_url_and_what_is_left_out(secure: Stack) -> None:
    assert f"https://localhost:{port(secure)}/ (Ctrl-C ends it)" in secure.log
    assert ("HTTP/3 is left out" in secure.log) == ("quic" not in secure.run("front", "show").stdout)


def test_plain_http_leads_to_it(secure: Stack) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", secure.port, timeout=PATIENCE_S)
    connection.request("GET", "/whoami/?x", headers={"Host": f"localhost:{secure.port}"})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Location")) == (308, f"https://localhost:{port(secure)}/whoami/?x")
    connection.close()


def test_front_show_tells_the_values_and_the_rendered_files(secure: Stack, folder: Path) -> None:
    told = secure.run("front", "show")
    assert (told.returncode, told.stderr) == (0, "")
    values = dict(line.split("=", 1) for line in told.stdout.split("\n\n")[0].splitlines() if not line.startswith("#"))
    assert values["HEDGEROW_HTTPS"] == "development"
    assert values["HEDGEROW_HTTPS_PORT"] == str(port(secure))
    assert values["HEDGEROW_CERTIFICATES"] == str(folder / "made")
    assert values["HEDGEROW_WORKERS"] == "1"
    for name in ("upstream", "listen", "https", "internal", "modules"):
        file = next(iter((secure.base / "run").rglob(f"{name}.conf")))
        assert f"==> {file} <==\n{file.read_text()}" in told.stdout
    assert "PRIVATE KEY" not in told.stdout
    in_a_container = subprocess.run(
        ["sh", str(FILES / "show.sh"), values["HEDGEROW_FRONT_RUN"]], check=True, capture_output=True, text=True
    )
    assert in_a_container.stdout == told.stdout


def test_front_show_of_what_never_ran_is_one_sentence() -> None:
    with stack(workers=1) as never:
        told = never.run("front", "show")
        assert (told.returncode, told.stdout) == (2, "")
        assert "no front was started there" in told.stderr


@pytest.mark.parametrize(
    "option", [["--https", "on"], ["--https", "perhaps"], ["--https", "on", "--certificates", "{}"]]
)
def test_up_says_what_https_lacks_and_starts_nothing(folder: Path, option: list[str]) -> None:
    spoilt = folder / "spoilt"
    certificate(spoilt / "site.pem", "localhost")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(spoilt / "site.key"))
    (spoilt / "site.key").chmod(0o644)
    with stack(workers=1) as never:
        never.apps.mkdir(exist_ok=True)
        done = never.run("up", "--port", str(never.port), *(part.format(spoilt) for part in option))
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("\n") == 1
        assert "HTTPS" in done.stderr or "does not belong to the key" in done.stderr
