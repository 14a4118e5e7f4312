"""The apps of a folder as one WSGI callable: who is served, who is not and why, and what each app sees of itself."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from hedgerow import composite
from hedgerow.config import Settings
from hedgerow.errors import LoadError, UserError
from hedgerow.hosting import findings

APP = """
import json, os, threading
import models
def application(environ, start_response):
    import late
    os.environ["SET_BY"] = models.NAME
    heard = []
    thread = threading.Thread(target=lambda: heard.append((__import__("late").NAME, os.environ["SET_BY"])))
    thread.start()
    thread.join()
    start_response("200 OK", [("Content-Type", "application/json")])
    def body():
        from models import NAME
        yield json.dumps([models.NAME, late.NAME, os.environ["OWN"], os.environ["SET_BY"], heard[0], NAME,
            environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["hedgerow.app"]]).encode()
    return body()
"""
FINE = {
    "app.py": "def app(environ, start_response):\n"
    "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
    "    return [b'fine']\n"
}


def two(name: str) -> dict[str, str]:
    named = f"NAME = {name!r}\n"
    return {"app.py": APP, "models.py": named, "late.py": named, "app.toml": f"env = {{OWN = '{name}'}}\n"}


@pytest.fixture(autouse=True)
def _listeners() -> Iterator[None]:
    before = list(findings.listeners)
    yield
    findings.listeners[:] = before


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., tuple[WSGIApplication, list[str]]]:
    def make(**apps: dict[str, str]) -> tuple[WSGIApplication, list[str]]:
        for name, files in apps.items():
            (tmp_path / name).mkdir()
            for file, text in files.items():
                (tmp_path / name / file).write_text(text)
        said: list[str] = []
        return composite.composite(Settings(apps=tmp_path), said.append), said

    return make


def ask(application: WSGIApplication, path: str, **more: str) -> tuple[str, dict[str, str], bytes]:
    environ: dict[str, Any] = {"PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "", **more}
    setup_testing_defaults(environ)
    told: list[Any] = []
    found = validator(application)(environ, lambda *given: told.extend(given))  # type: ignore[arg-type, func-returns-value]
    try:
        body = b"".join(found)
        return told[0], dict(told[1]), body
    finally:
        found.close()  # type: ignore[attr-defined]


def test_each_app_sees_its_own_modules_and_variables_in_every_thread(made: Any) -> None:
    application, said = made(composite_a=two("composite_a"), composite_b=two("composite_b"))
    wrong: list[object] = []

    def load(name: str) -> None:
        for _ in range(50):
            status, _, body = ask(application, f"/{name}/x")
            found = json.loads(body)
            if found != [name, name, name, name, [name, name], name, f"/{name}", "/x", name]:
                wrong.append((status, found))

    threads = [threading.Thread(target=load, args=(f"composite_{one}",)) for one in "abab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert said == []


def test_who_asks_for_what_a_composite_cannot_have_is_told_in_one_sentence(made: Any) -> None:
    application, said = made(
        brings={"app.toml": 'run = "./server {fd}"\nmount = "/mine"\n'},
        strict={**FINE, "app.toml": 'isolation = "strict"\n'},
        newer={**FINE, "app.toml": 'python = ">=9"\n'},
        wishes={**FINE, "app.toml": 'pool = "own"\n[deploy]\nbefore = "migrate"\n'},
        threaded={**FINE, "app.toml": 'concurrency = "threads"\n'},
        timed={**FINE, "app.toml": "server_timing = true\n"},
        broken={"app.py": "import nothing_such as app\n"},
    )
    told = "\n".join(said)
    for name, path, sentence in [
        ("brings", "/mine/", "brings: its app.toml says run, and only `hedgerow up` starts servers that apps bring"),
        ("strict", "/strict/", 'strict: its app.toml says isolation = "strict"; here all apps share one process'),
        ("newer", "/newer/", "newer: it needs Python >=9 (app.toml), and here all apps share Python 3."),
    ]:
        status, headers, body = ask(application, path, HTTP_ACCEPT="application/json")
        assert (status, headers["Content-Type"]) == ("503 Service Unavailable", "application/json")
        assert json.loads(body)["error"].startswith(sentence), name
        assert sentence in told
    for name, sentence in [
        ("wishes", "wishes: its app.toml asks for a pool of its own; here all apps share one process"),
        ("wishes", "wishes: its app.toml says deploy.before, and there are no deploys here: run it yourself"),
        ("threaded", 'threaded: its app.toml says concurrency = "threads"; here the server decides that'),
        ("timed", "timed: its app.toml says server_timing, and the server here has no such field"),
    ]:
        assert sentence in said
        assert ask(application, f"/{name}/")[2] == b"fine"
    status, _, body = ask(application, "/broken/")
    assert status == "503 Service Unavailable"
    assert b"nothing_such" not in body, "what an import says is for the log alone"
    assert "broken/app.py line 1: ModuleNotFoundError: No module named 'nothing_such'\nTraceback" in told


def test_the_root_lists_the_apps_where_it_is_mounted_itself(made: Any) -> None:
    application, _ = made(fine=FINE)
    assert b'href="/fine/"' in ask(application, "/")[2]
    assert b'href="/outer%20one/fine/"' in ask(application, "/", SCRIPT_NAME="/outer one")[2]
    assert ask(application, "/fine", SCRIPT_NAME="/outer one")[1]["Location"] == "/outer%20one/fine/"
    assert ask(application, "/else")[0] == "404 Not Found"


def test_of_two_apps_on_one_mount_the_first_is_served(made: Any) -> None:
    application, said = made(first=FINE, second={**FINE, "app.toml": 'mount = "/first"\n'})
    assert ask(application, "/first/")[2] == b"fine"
    assert said == ["second: the mount /first belongs to first; give one of them another in its app.toml"]


def test_what_an_app_raises_reaches_the_server_and_a_body_is_closed_in_its_app(made: Any) -> None:
    application, _ = made(
        raising={"app.py": "def app(environ, start_response):\n    raise LookupError('here')\n"},
        closing={
            "app.py": "class app:\n"
            "    def __init__(self, environ, start_response):\n"
            "        self.start, self.environ = start_response, environ\n"
            "    def __iter__(self):\n"
            "        self.start('200 OK', [('Content-Type', 'text/plain')])\n"
            "        yield b'one'\n"
            "    def close(self):\n"
            "        import late\n"
            "        self.environ['wsgi.errors'].write(late.NAME)\n",
            "late.py": "NAME = 'late'\n",
        },
    )
    with pytest.raises(LookupError):
        ask(application, "/raising/")
    told = io.StringIO()
    assert ask(application, "/closing/", **{"wsgi.errors": told})[2] == b"one"  # type: ignore[arg-type]
    assert told.getvalue() == "late"


def test_a_target_is_an_app_a_folder_of_apps_or_a_callable(tmp_path: Path, made: Any) -> None:
    made(
        single={"app.py": FINE["app.py"]}, run={"app.toml": "run = 'x'\n"}, wrong={"app.py": "app = 1 / 0\n"}, empty={}
    )
    settings, said = Settings(), list[str]()
    assert b'href="/single/"' in ask(composite.target(str(tmp_path), settings, said.append), "/")[2]
    for text, kind, sentence in [
        ("nowhere", UserError, "nowhere: neither the folder of an app"),
        ("a:b:c", UserError, "is not MODULE:CALLABLE"),
        ("no_such_module:app", LoadError, "No module named 'no_such_module'"),
        (str(tmp_path / "empty"), UserError, "empty: neither the folder of an app"),
        (str(tmp_path / "run"), UserError, "run: its app.toml says run"),
    ]:
        with pytest.raises(kind, match=sentence):
            composite.target(text, settings, said.append)
    code = (
        "from hedgerow import composite as c; from hedgerow.config import Settings; import os, sys\n"
        "found = c.target(sys.argv[1], Settings(), print)\n"
        "print(found({}, lambda *_: None), 'gevent' in sys.modules, os.getcwd())"
    )

    def run(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    done = run("single")
    assert done.stdout == f"[b'fine'] False {tmp_path / 'single'}\n", done.stderr
    done = run("wrong")
    assert "LoadError: wrong/app.py line 1: ZeroDivisionError: division by zero" in done.stderr
