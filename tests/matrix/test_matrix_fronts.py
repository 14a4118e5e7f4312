"""The fronts of the matrix: the same cells through nginx and through Apache, each before a stack of two addresses."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

sys.path.insert(1, str(Path(__file__).parents[1] / "live"))
sys.path.insert(1, str(Path(__file__).parent))

import matrix_record
from apache_support import front, unpacked, version
from control_support import COUNTER, Load, Stack, drop, free_port, get, is_alive, stack, until
from front_support import Client
from test_any_server import SERVER

from hedgerow.control.front import find_nginx
from neighbours import Use, lay

PAGES = {"flask": "flask", "falcon": "falcon", "bottle": "bottle", "pyramid": "pyramid", "django52": "django"}
TELL = """
import json
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({name: value for name, value in environ.items() if isinstance(value, str)}).encode()]
"""
CLAIMS = (
    "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "X-Forwarded-Prefix: /evil",
    "X-Request-Id: evil", "Forwarded: for=9.9.9.9", "X-Hedgerow-App: evil", "X-Remote-User: evil",
    "X_Forwarded_For: 9.9.9.9",
)  # fmt: skip
NO_WINDOWS = "not run: there is no Windows here; the file is checked as far as it can be without."


def sessions(here: Stack, port: int) -> None:
    """Forms, redirects, cookies, uploads, streams and errors of five frameworks."""
    uses = [Use(port, name, page) for name, page in PAGES.items()]
    for use in uses:
        use.once(f"{use.app} {port}")
    assert [wrong for use in uses for wrong in use.wrong] == []


def killed_workers(here: Stack, port: int) -> None:
    """No GET is lost; a POST in flight is told 502, and none runs twice."""
    load = Load(port, "/count/")
    with load.running():
        for address in (0, 1):
            count = load.count
            until(lambda: is_alive(here.worker(address)), 15, "there is one to kill")  # noqa: B023 - at once
            os.kill(here.worker(address), signal.SIGKILL)
            until(lambda: load.count > count + 200, 15, "requests go on")  # noqa: B023
    ids = Counter((here.state / "data" / "count" / "data" / "ids").read_text().split())
    assert [line for line in load.failed if not re.fullmatch("POST .*: 502", line)] == []
    assert max(ids.values()) == 1
    assert set(load.sent) - set(ids) <= {line.split()[1].rstrip(":") for line in load.failed}


def claims(here: Stack, port: int) -> None:
    """What a client says of itself is not believed."""
    told = tell(port, "/tell/", *CLAIMS)
    assert {name for name, value in told.items() if "evil" in value or "9.9.9.9" in value} == set()
    assert (told["REMOTE_ADDR"], told["wsgi.url_scheme"], told["HTTP_HOST"]) == (
        "127.0.0.1", "http", "site.example:8080",
    )  # fmt: skip


def raw_paths(here: Stack, port: int) -> None:
    """The target arrives as it was sent."""
    for target in ("/tell/a%2Fb//c;d?x=%20", "/tell//", "/tell/%7e%41", "/%74ell/caf%C3%A9"):
        assert tell(port, target)["REQUEST_URI"] == target


def websocket(here: Stack, port: int) -> None:
    """An upgraded connection carries bytes both ways."""
    with Client(port) as client:
        client.head("GET", "/own/", "Upgrade: websocket", "Connection: Upgrade")
        got = b""
        while b"\r\n\r\n" not in got:
            got += client.socket.recv(4096)
        assert got.startswith(b"HTTP/1.1 101 ")
        client.send(b"word")
        assert client.socket.recv(100) == b"WORD"


def tell(port: int, target: str, *lines: str) -> dict[str, str]:
    with Client(port) as client:
        client.head("GET", target, *lines)
        told: dict[str, str] = json.loads(client.answer().body)
    return told


CELLS: dict[str, Callable[[Stack, int], None]] = {
    "sessions in five frameworks": sessions,
    "workers killed under load": killed_workers,
    "headers that a client claims": claims,
    "raw paths": raw_paths,
    "WebSocket": websocket,
}


@contextmanager
def _apache(here: Stack, folder: Path) -> Iterator[int]:
    folder.chmod(0o755)
    with front(folder / "apache", free_port(), [here.first, here.first + 1]).running() as running:
        yield running.port


def _nginx(here: Stack, folder: Path) -> AbstractContextManager[int]:
    return nullcontext(here.port)


def _nginx_version() -> str:
    found = find_nginx()
    assert found
    return ".".join(map(str, found.version))


FRONTS: dict[str, tuple[Callable[[Stack, Path], AbstractContextManager[int]], Callable[[], str], str]] = {
    "nginx": (_nginx, _nginx_version, "The front of `hedgerow up` and of the containers."),
    "Apache httpd, mod_proxy_balancer": (
        _apache,
        lambda: version(unpacked("apache2-bin"), "apache2-bin"),
        "`apache/`; what differs from nginx is in [fronts](fronts.md#apache-httpd).",
    ),
}


@pytest.fixture(scope="module")
def here() -> Iterator[Stack]:
    with stack(workers=2) as made:
        lay(made.apps, PAGES)
        drop(made.apps, "count", COUNTER % "one")
        (made.apps / "count" / "data").mkdir()
        (made.apps / "count" / "app.toml").write_text('data = ["data"]\n')
        drop(made.apps, "tell", TELL)
        drop(made.apps, "own", SERVER, "server.py")
        (made.apps / "own" / "app.toml").write_text('run = "python server.py {fd}"\n')
        made.up()
        until(lambda: all(get(made.port, f"/{name}/")[0] == 200 for name in [*PAGES, "own"]), 150, "all are installed")
        yield made


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", FRONTS)
def test_a_front_before_a_stack(name: str, here: Stack, tmp_path: Path) -> None:
    before, told, note = FRONTS[name]
    found = {}
    with before(here, tmp_path) as port:
        until(lambda: get(port, "/tell/")[0] == 200, 10, "the front answers")
        for cell, run in CELLS.items():
            (here.state / "data" / "count" / "data" / "ids").unlink(missing_ok=True)
            try:
                run(here, port)
                found[cell] = matrix_record.GOOD
            except Exception as error:
                found[cell] = " ".join(f"{error!r}".split())[:300]
    matrix_record.keep("fronts", matrix_record.Row(name, told(), found, note))
    assert {cell: said for cell, said in found.items() if said != matrix_record.GOOD} == {}


@pytest.mark.slow
def test_what_could_not_be_tried_keeps_its_row() -> None:
    row = matrix_record.Row(
        "IIS with Application Request Routing",
        "",
        dict.fromkeys(CELLS, NO_WINDOWS),
        "`iis/`: see [fronts](fronts.md#iis).",
    )
    matrix_record.keep("fronts", row)
