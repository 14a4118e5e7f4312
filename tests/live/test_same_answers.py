"""The same stack of middleware under each server gives the same answers: status, body, and each field that the app or
its middleware has set.

A server may add fields of its own (`same_asks.SERVERS_OWN`). The order of fields with different names
says nothing (RFC 9110, 5.3), and Waitress sorts them.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from remote_support import DEADLINE_S, upstreams
from same_asks import ASKS, CHUNKED, DOTS, DOWN, GONE, PASSWORD, RAISED, SERVERS_OWN, STATIC, Answer, Ask, Client

import hedgerow
from hedgerow.middleware.credentials import password_entry

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT / "tests" / "peers"))

import servers  # noqa: E402
from servers import GUNICORN_GTHREAD, GUNICORN_HEDGEROW, HEDGEROW, UWSGI_CLOSING, WAITRESS, Launch, Server  # noqa: E402

pytestmark = pytest.mark.timeout(600)  # `peers` may have to compile

APP = Path(__file__).parent / "apps" / "same"
# It takes X-Forwarded-* away from who is not its own `trusted_proxy`, unless it is told to leave that to the app.
FORWARDING_WAITRESS = replace(
    WAITRESS, command=lambda launch: [*WAITRESS.command(launch)[:-1], "--no-clear-untrusted-proxy-headers", launch.app]
)
OTHERS = (GUNICORN_GTHREAD, GUNICORN_HEDGEROW, FORWARDING_WAITRESS, UWSGI_CLOSING)
NAMES = [server.name for server in OTHERS]
# What a server makes impossible. A body in chunks can be read under uWSGI by a function of its own only; it resolves
# dots in PATH_INFO itself; its start_response fails whenever it gets exc_info, and who raises is cut off.
NOT_ASKED = {UWSGI_CLOSING.name: [*CHUNKED, *DOTS, *RAISED]}
STYLESHEET = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:output method="html" encoding="utf-8"/><xsl:param name="title">Plants</xsl:param>
<xsl:template match="/plants"><html><h1><xsl:value-of select="$title"/></h1>
<xsl:for-each select="plant"><p><xsl:value-of select="."/></p></xsl:for-each></html></xsl:template>
</xsl:stylesheet>"""

FILES = {
    "caf\xe9.txt": b"static " * 8000, "caf\xe9.txt.br": b"by brotli", "app.0123abcd.js": b"let a = 1;" * 100,
    "empty.css": b"", "large.bin": b"", "sub/index.html": b"<p>index</p>", ".hidden": b"secret",
}  # fmt: skip


@pytest.fixture(scope="module")
def peers() -> Path:
    """The Python of uWSGI. It is made where it is missing."""
    if not servers.PEERS_PYTHON.exists():
        subprocess.run(["make", "--silent", ".venv-peers/.installed"], cwd=ROOT, check=True, timeout=600)
    return servers.PEERS_PYTHON


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the app's files, which it has under all servers."""
    made = tmp_path_factory.mktemp("same")
    fill(made)
    return made


def fill(folder: Path) -> None:
    (folder / "page.xsl").write_text(STYLESHEET)
    for name, body in FILES.items():
        path = folder / "static" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    os.truncate(folder / "static" / "large.bin", 50_000_000)


@pytest.fixture(scope="module")
def clients(peers: Path, folder: Path) -> Iterator[dict[str, Client]]:
    """One for each server, by its name. All run at once."""
    key = {"SESSION_KEY": secrets.token_urlsafe(32), "USERS": password_entry("anna", PASSWORD)}
    with ExitStack() as stack:
        (upstream,) = stack.enter_context(upstreams(folder))
        # A worker of ours believes an id that comes with a request as it believes its front: if it is told to.
        environ = key | {"HEDGEROW_TRUST_FRONT": "1", "FOLDER": str(folder), "UPSTREAM": upstream.url}
        running = []
        stack.callback(lambda: servers.stop(*running))
        for number, server in enumerate((HEDGEROW, *OTHERS)):
            launch = _launch(server, peers, folder / str(number), environ)
            running.append(servers.start(server, launch))
        for one in running:
            servers.wait_until_answering(one)
        yield {one.server.name: Client(one.address[1], one.pid) for one in running}


def _launch(server: Server, peers: Path, work: Path, environ: dict[str, str]) -> Launch:
    if server is not UWSGI_CLOSING:
        return Launch(servers.OWN_PYTHON, "app:stack", APP, work, environ)
    # It has no Hedgerow, and finds ours with all that it stands on: it is the same Python.
    versions = [str(python.resolve()) for python in (peers, servers.OWN_PYTHON)]
    assert versions[0] == versions[1], "uWSGI was compiled for another Python"
    places = (Path(hedgerow.__file__).parents[1], APP, sysconfig.get_path("platlib"))
    return Launch(peers, "app:stack", APP, work, environ | {"PYTHONPATH": os.pathsep.join(map(str, places))})


@pytest.fixture(scope="module")
def answers(clients: dict[str, Client], folder: Path) -> dict[str, dict[str, Answer]]:
    """By server and by what was asked."""
    found = {name: asked(client, name, [*ASKS, *STATIC, *CHUNKED, *DOTS, *RAISED]) for name, client in clients.items()}
    (folder / "down").touch()
    return {name: found[name] | asked(client, name, DOWN) for name, client in clients.items()}


def asked(client: Client, server: str, asks: list[Ask]) -> dict[str, Answer]:
    return {ask.name: client.ask(ask) for ask in asks if ask not in NOT_ASKED.get(server, ())}


def test_what_is_compared_is_what_is_meant(answers: dict[str, dict[str, Answer]]) -> None:
    asks = [*ASKS, *STATIC, *CHUNKED, *DOTS, *RAISED, *DOWN]
    ours = answers[HEDGEROW.name]
    assert {name: int(answer.status[:3]) for name, answer in ours.items()} == {ask.name: ask.status for ask in asks}
    assert len(ours) == len(asks), "two have one name"
    assert [(name, field) for name, one in ours.items() for field, told in one.fields if told == GONE] == []
    print(f"{len(ours)} requests, {sum(len(answer.fields) for answer in ours.values())} fields")


@pytest.mark.parametrize("server", NAMES)
def test_it_is_answered_the_same(answers: dict[str, dict[str, Answer]], server: str) -> None:
    ours, theirs = answers[HEDGEROW.name], answers[server]
    assert len(theirs) == len(ours) - len(NOT_ASKED.get(server, ()))
    differing = {
        f"{name}: {part}": {HEDGEROW.name: getattr(ours[name], part), server: getattr(other, part)}
        for name, other in theirs.items()
        for part in ("status", "fields", "body")
        if getattr(ours[name], part) != getattr(other, part)
    }
    assert differing == {}
    assert set().union(*(one.beside for one in (*ours.values(), *theirs.values()))) <= SERVERS_OWN


@pytest.mark.parametrize("server", [HEDGEROW.name, *NAMES])
def test_no_file_stays_open_when_clients_go(clients: dict[str, Client], folder: Path, server: str) -> None:
    (folder / "down").unlink(missing_ok=True)
    client = clients[server]
    for _ in range(3):
        client.leave("/static/large.bin")
    deadline = time.monotonic() + DEADLINE_S
    while left := [path for path in opened(client.pid) if path.startswith(str(folder / "static"))]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def opened(session: int) -> list[str]:
    """The files that the processes of a session have open."""
    found = []
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # it has ended, or been closed
            if os.getsid(int(descriptor.parts[2])) == session:
                found.append(os.readlink(descriptor))
    assert found, "the server runs"
    return found
