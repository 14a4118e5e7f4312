"""docs/middleware.md and docs/gateways.md: each example of the two pages is taken from there, and does what it is for.

The examples of app.toml are apps side by side under gunicorn, started by the page's own command.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from control_support import free_port, until
from gateway_support import PATIENCE_S, answers
from guide_page import DOCS, blocks
from paste.deploy import loadserver

from hedgerow.middleware.credentials import password_entry
from hedgerow.middleware.remote import Remote

MIDDLEWARE, GATEWAYS = DOCS / "middleware.md", DOCS / "gateways.md"
PLANTS = DOCS.parent / "apps" / "plants"

NAMED = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html")])
    return [f"{environ.get('REMOTE_USER', '')} {environ.get('HTTP_X_GROUPS', '')} at NAME".encode()]
"""
GATE = """
def may(environ, start_response):
    key = environ.get("HTTP_X_KEY", "")
    start_response("204 No Content" if key else "401 Unauthorized", [("Remote-User", key), ("X-Groups", "all")])
    return []
"""
SAYS = """    start_response("200 OK", [])
    return [str(session["seen"]).encode()]
"""


def examples(page: Path, kind: str) -> list[str]:
    return [block for _, block in blocks(page, kind)]


def the(found: Sequence[str], part: str) -> str:
    """The one example that has this in it."""
    (one,) = (block for block in found if part in block)
    return one


def commands() -> list[str]:
    """The lines of docs/gateways.md that a shell is given."""
    lines = [line for block in examples(GATEWAYS, "") for line in block.splitlines()]
    return [line for line in lines if not line.startswith(("#!", "pip "))]


TOMLS = {
    "routes": 'use = "routes"',
    "session": 'folder = "data/sessions"',
    "users": 'users = "USERS"',
    "delegate": "delegate = ",
    "xslt": 'use = "xslt"',
    "filter": 'use = "own:Footer"',
    "static": 'use = "static"',
    "remote": 'use = "remote"',
}


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an app for each example, and beside it their secrets."""
    apps = tmp_path_factory.mktemp("documented") / "apps"
    tomls, pythons = examples(MIDDLEWARE, "toml"), examples(MIDDLEWARE, "python")
    assert len(tomls) == len(TOMLS)
    for name, part in TOMLS.items():
        lay(apps / name, {"app.toml": the(tomls, part), "app.py": NAMED.replace("NAME", name)})
    lay(apps / "routes", {"admin/wsgi.py": NAMED.replace("NAME", "admin"), "legacy.py": "from old import app\n"})
    lay(apps / "routes", {"old.py": NAMED.replace("NAME", "legacy").replace("application", "app")})
    lay(apps / "session", {"app.py": the(pythons, 'environ["hedgerow.session"]') + SAYS})
    lay(apps / "delegate", {"gate.py": GATE})
    lay(apps / "static", {"assets/app.3f9a01bc.js": "let a = 1"})
    lay(apps / "filter", {"own.py": the(pythons, "class Footer(Buffering)")})
    shutil.copytree(PLANTS / "style", apps / "xslt" / "style")
    shutil.copy(PLANTS / "app.py", apps / "xslt")
    key = f"SESSION_KEY={'k' * 32}\n"
    user = f"USERS='{password_entry('anna', 'right')}'\n"
    lay(apps.parent / "secrets", {"session.env": key, "delegate.env": key, "users.env": user})
    return apps


def lay(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@contextmanager
def started(command: str, port: int, apps: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A line of the page, with these apps for /srv/apps; where to listen it is told aside, until it has ended."""
    environ = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GUNICORN_CMD_ARGS": f"--bind=127.0.0.1:{port} --no-control-socket",
        "HEDGEROW_SECRETS": str(apps.parent / "secrets"),
    }
    line = command.replace("/srv/apps", str(apps)).replace("127.0.0.1:9000", f"127.0.0.1:{port}")
    line = line.replace("waitress-serve", f"waitress-serve --listen=127.0.0.1:{port}")
    line = re.sub(r"^((?:\w+=\S+ )*)", r"\1exec ", line)
    with (apps.parent / "server.log").open("wb") as log:
        process = subprocess.Popen(["bash", "-c", line], cwd=apps / "routes", env=environ, stdout=log, stderr=log)
    try:
        yield process
        assert process.poll() is None, (apps.parent / "server.log").read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def port(apps: Path) -> Iterator[int]:
    """Where gunicorn has the apps, as the page starts it."""
    port = free_port()
    with started(the(commands(), "gunicorn --threads"), port, apps):
        until(lambda: answers(port), PATIENCE_S, "gunicorn answers")
        yield port


def ask(port: int, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())
    finally:
        connection.close()


def test_routes_in_app_toml(port: int) -> None:
    assert [ask(port, f"/routes/{path}")[1].split()[-1] for path in ("", "admin/", "old/", "older")] == [
        "routes", "admin", "legacy", "routes"
    ]  # fmt: skip


def test_a_session_counts(port: int) -> None:
    status, text, headers = ask(port, "/session/")
    assert (status, text) == (200, "1")
    assert ask(port, "/session/", Cookie=headers["Set-Cookie"].partition(";")[0])[1] == "2"


def test_users_of_a_variable(port: int) -> None:
    def known(password: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"anna:{password}".encode()).decode()}

    assert [ask(port, f"/users/{path}")[0] for path in ("", "admin", "admin/help", "admin/more")] == [
        200,
        401,
        200,
        401,
    ]
    assert ask(port, "/users/admin", **known("wrong"))[0] == 401
    assert ask(port, "/users/admin", **known("right"))[:2] == (200, "anna  at users")


def test_another_application_decides(port: int) -> None:
    assert ask(port, "/delegate/")[0] == 401
    assert ask(port, "/delegate/", X_Key="ben")[:2] == (200, "ben all at delegate")


def test_xml_becomes_a_page(port: int) -> None:
    status, text, headers = ask(port, "/xslt/?sort=flowers")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert re.findall("<h2>(.*?) <i>", text)[0] == "Hazel"


def test_static_files(port: int) -> None:
    status, text, headers = ask(port, "/static/static/app.3f9a01bc.js", Range="bytes=4-4")
    assert (status, text, headers["Cache-Control"]) == (206, "a", "max-age=31536000, immutable")
    assert ask(port, "/static/static/other.js")[:2] == (200, "  at static")


def test_a_filter_of_ones_own(port: int) -> None:
    status, text, headers = ask(port, "/filter/")
    assert (status, text) == (200, "  at filter<p>the end</p>")
    assert int(headers["Content-Length"]) == len(text)


def test_a_streaming_filter_of_ones_own() -> None:
    names: dict[str, Any] = {}
    exec(the(examples(MIDDLEWARE, "python"), "class Louder(Streaming)"), names)  # noqa: S102
    louder = names["Louder"](named("front"), types=("*/*",))
    assert b"".join(louder({"REQUEST_METHOD": "GET", "SCRIPT_NAME": ""}, lambda *_: None)) == b"FRONT "


def test_what_is_not_sent_on_is_the_apps(port: int) -> None:
    assert ask(port, "/remote/")[:2] == (200, "  at remote")


def named(name: str) -> Any:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{name} {environ['SCRIPT_NAME']}".encode()]

    return application


@pytest.mark.parametrize(
    ("path", "host", "version", "found"),
    [
        ("/", "x", "", "front "),
        ("/blog/a", "x", "", "blog /blog"),
        ("/blogger", "x", "", "front "),
        ("/blog/drafts/api/x", "x", "", "api /blog/drafts/api"),
        ("/", "shop.example", "", "shop "),
        ("/blog/a", "x", "next", "candidate "),
    ],
)
def test_routes_in_python(path: str, host: str, version: str, found: str) -> None:
    names: dict[str, Any] = {name: named(name) for name in ("front", "blog", "api", "shop", "candidate")}
    exec(the(examples(MIDDLEWARE, "python"), "Routes("), names)  # noqa: S102
    environ = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, "HTTP_HOST": host} | (
        {"HTTP_X_VERSION": version} if version else {}
    )
    assert names["application"](environ, lambda *_: None) == [found.encode()]


def test_remote_in_python() -> None:
    names: dict[str, Any] = {}
    exec(the(examples(MIDDLEWARE, "python"), "import Remote"), names)  # noqa: S102
    assert isinstance(names["application"], Remote)


def test_every_example_of_middleware_is_one_of_these() -> None:
    assert len(examples(MIDDLEWARE, "python")) == 4
    assert examples(MIDDLEWARE, "ini") == examples(MIDDLEWARE, "") == []
    assert len(commands()) == 4


@pytest.mark.parametrize("name", ["waitress-serve", "hedgerow.gunicorn.Worker"])
def test_another_command_serves(name: str, apps: Path) -> None:
    port = free_port()
    with started(the(commands(), name), port, apps):
        until(lambda: answers(port), PATIENCE_S, f"{name} answers")
        path = "/" if name == "hedgerow.gunicorn.Worker" else "/routes/"  # it has one app
        assert ask(port, path)[:2] == (200, "  at routes")


def test_fastcgi_listens(apps: Path) -> None:
    """What it answers is in test_fastcgi.py."""
    port = free_port()

    def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    with started(the(commands(), "fastcgi"), port, apps):
        until(listens, PATIENCE_S, "hedgerow fastcgi listens")


def test_the_line_of_a_cgi_script(apps: Path) -> None:
    (line,) = (line for block in examples(GATEWAYS, "") for line in block.splitlines() if line.startswith("#!"))
    script = apps.parent / "script.cgi"
    script.write_text(line.replace("/srv/apps/blog", str(apps / "filter")) + "\n")
    script.chmod(0o755)
    variables = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "REQUEST_METHOD": "GET",
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    done = subprocess.run(
        [script],
        env=os.environ | variables,
        capture_output=True,
        timeout=PATIENCE_S,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.stdout.startswith(b"Status: 200 OK\r\n")
    assert done.stdout.endswith(b"  at filter<p>the end</p>")


def test_the_server_section_of_an_ini_file(tmp_path: Path) -> None:
    (ini,) = examples(GATEWAYS, "ini")
    (tmp_path / "site.ini").write_text(textwrap.dedent(ini))
    assert callable(loadserver(f"config:{tmp_path}/site.ini"))
