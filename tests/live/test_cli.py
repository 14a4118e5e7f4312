"""The other verbs, as a user types them: serve, check, exec, status, logs, replica, healthy, and their mistakes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from control_support import (
    COUNTER,
    HEDGEROW,
    Load,
    Stack,
    descendants,
    drop,
    ends_well,
    free_port,
    get,
    is_alive,
    stack,
    until,
)

FLASK = """
import os, sqlite3
import click
from flask import Flask

def create_app():
    app = Flask(__name__)
    os.makedirs(app.instance_path, exist_ok=True)
    path = os.path.join(app.instance_path, "words.sqlite")

    @app.cli.command("init-db")
    def init_db():
        with sqlite3.connect(path) as db:
            db.execute("create table words (word text)")
            db.execute("insert into words values ('hello')")
        click.echo("made")

    @app.route("/")
    def index():
        with sqlite3.connect(path) as db:
            return db.execute("select word from words").fetchone()[0]

    return app
"""


# An import that never ends well, with a traceback longer than a pipe holds.
MUTUAL = """
def {0}(x):
    {1}({2})
def {1}(x):
    {0}({2})
application = {0}({2})
""".format("f" * 400, "g" * 400, "1" + " + 1" * 300)


@pytest.fixture(autouse=True)
def short_runtime_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run folders are made there: short enough for a socket's path, and nothing of them is left."""
    with tempfile.TemporaryDirectory(prefix="hgt-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield


def hedgerow(*arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HEDGEROW_")}
    return subprocess.run(
        [*HEDGEROW, *arguments], env=clean | environ, cwd=cwd, capture_output=True, text=True, timeout=40, check=False
    )


@contextlib.contextmanager
def serving(tmp_path: Path, *arguments: str, cwd: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """`hedgerow serve`, until the end of the block; it must end well when it is asked to."""
    command = [*HEDGEROW, "serve", *arguments, "--state", str(tmp_path / "state")]
    with (tmp_path / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=cwd)
    with ends_well(process):
        yield process


def test_serve_a_folder(tmp_path: Path) -> None:
    drop(tmp_path / "apps", "count", COUNTER % "one")
    port = free_port()
    with serving(tmp_path, str(tmp_path / "apps"), "--bind", f"127.0.0.1:{port}"):
        until(lambda: get(port, "/count/") == (200, b"one"), 10, "it answers")
        assert f"1 app of {tmp_path}/apps on http://127.0.0.1:{port}/" in (tmp_path / "serve.log").read_text()


def test_serve_a_callable_on_a_unix_socket(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(COUNTER % "hello")
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))  # left by a server that was killed
    with serving(tmp_path, "hello:application", "--bind", f"unix:{path}", cwd=tmp_path):
        until(lambda: b"hello" in _ask_unix(path), 10, "it answers")
        second = hedgerow("serve", "hello:application", "--bind", f"unix:{path}", cwd=tmp_path)
        assert (second.returncode, second.stderr.count("\n")) == (2, 1)


def _ask_unix(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        try:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: client.recv(4096), b""))
        except OSError:
            return b""


@pytest.mark.parametrize("kind", ["folder", "callable"])
def test_reload_loses_no_request(tmp_path: Path, kind: str) -> None:
    home = tmp_path / "apps"
    drop(home, "count", COUNTER % "one")
    (home / "count" / "data").mkdir()
    port = free_port()
    target, path = (str(home), "/count/") if kind == "folder" else ("app:application", "/")
    arguments = (target, "--bind", f"127.0.0.1:{port}", "--reload")
    with serving(tmp_path, *arguments, cwd=home / "count" if kind == "callable" else None):
        until(lambda: get(port, path) == (200, b"one"), 10, "it answers")
        load = Load(port, path)
        with load.running():
            drop(home, "count", COUNTER % "two")
            until(lambda: b"two" in load.answers, 10, "the change answers")
            drop(home, "count", "import nothing_such" if kind == "callable" else COUNTER % "three")
            drop(home, "count", COUNTER % "three")
            until(lambda: b"three" in load.answers, 15, "the next change answers")
        assert load.failed == []
    places = [tmp_path / "state" / "data" / "count" / "data" / "ids", home / "count" / "data" / "ids"]
    executed = places[kind == "callable"].read_text().split()
    assert sorted(executed) == sorted(load.sent)


def test_reload_gets_over_a_change_that_hangs(tmp_path: Path) -> None:
    home = tmp_path / "apps"
    drop(home, "count", "open('hangs', 'w').close()\nwhile True: pass")  # at the first start, too
    port = free_port()
    log = tmp_path / "serve.log"
    with serving(tmp_path, "app:application", "--bind", f"127.0.0.1:{port}", "--reload", cwd=home / "count") as process:
        until((home / "count" / "hangs").exists, 10, "the first worker hangs")
        hanging = descendants(process.pid)
        drop(home, "count", COUNTER % "one")
        until(lambda: get(port, "/", timeout_s=1) == (200, b"one"), 15, "the change answers")
        until(lambda: not is_alive(hanging[0]), 5, "what hung is gone")
        drop(home, "count", "import time\ntime.sleep(1000)")
        until(lambda: log.read_text().count("loading again") == 2, 10, "the hanging change is taken")
        assert get(port, "/") == (200, b"one")
        drop(home, "count", COUNTER % "two")
        until(lambda: get(port, "/") == (200, b"two"), 15, "the newer change answers")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["serve", "nowhere"], "no such folder"),
        (["serve", "apps/count"], "is itself an app"),
        (["serve", "apps", "--bind", "80 80"], "HOST:PORT or unix:PATH"),
        (["serve", "apps", "--bind", "192.0.2.1:80"], "--bind 192.0.2.1:80"),
        (["up", "--apps", "nowhere"], "no such folder"),
        (["up", "--apps", "apps", "--workers", "0"], "HEDGEROW_WORKERS=0: not between"),
        (["up", "--apps", "apps", "--state", "a-file"], "the state must be a folder"),
        (["up", "--apps", "apps", "--state", "/proc/self"], "/proc/self/logs/"),
        (["up", "--apps", "a" * 300], "File name too long"),
        (["up", "--apps", "apps", "--state", "a" * 300], "File name too long"),
        (["serve", "a" * 300], "File name too long"),
        (["serve", "good:make()"], "nor module:callable"),
        (["exec", "..", "--apps", "apps", "--", "true"], "..: no such app"),
        (["exec", ".", "--apps", "apps", "--", "true"], ".: no such app"),
        (["check", "nowhere"], "no such folder"),
        (["check", "/"], "this one has no name"),
        (["exec", "nothing", "--apps", "apps", "--", "true"], "no such app"),
        (["exec", "count", "--apps", "apps", "--", "no-such-command"], "no-such-command"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    drop(tmp_path / "apps", "count", COUNTER % "one")
    (tmp_path / "a-file").touch()
    found = hedgerow(*arguments, cwd=tmp_path)
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert found.stderr.startswith("hedgerow: ")
    assert sentence in found.stderr


@pytest.mark.parametrize("verb", ["serve", "up", "down", "status", "logs", "check", "exec", "replica", "healthy"])
def test_every_verb_has_help(verb: str) -> None:
    assert hedgerow(verb, "--help").stdout.startswith("Usage: hedgerow")


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        (COUNTER % "one", 0, "shop loads: entry app.py, mount /shop"),
        ("\nimport nothing_such\napplication = 1", 1, "shop/app.py line 2: ModuleNotFoundError"),
        ("def application(:\n", 1, "shop/app.py line 1: SyntaxError"),
        ("import os\nos._exit(3)\napplication = 1", 1, "ends the process (exit status 3)"),
        ("import os\nos.kill(os.getpid(), 9)\napplication = 1", 1, "ends the process (signal 9)"),
        ("import sys\nsys.exit()\napplication = 1", 1, "SystemExit"),
        ("print(1)", 1, "no application, app or create_app in app.py"),
        ("raise ValueError('x' * 500_000)\napplication = 1", 1, "ValueError: xxx"),
        (MUTUAL, 1, "RecursionError"),
        ("raise ValueError('\\x1b[31m')\napplication = 1", 1, r"ValueError: \x1b[31m"),
    ],
)
def test_check(tmp_path: Path, text: str, code: int, sentence: str) -> None:
    drop(tmp_path, "shop", text)
    found = hedgerow("check", "shop", cwd=tmp_path)
    assert (found.returncode, sentence in found.stdout + found.stderr) == (code, True), found.stdout + found.stderr
    assert sorted(path.name for path in (tmp_path / "shop").iterdir()) == ["app.py"]


def test_check_says_that_it_starts_no_server(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "app.toml").write_text('run = "node server.js"\n')
    found = hedgerow("check", "live", cwd=tmp_path)
    assert (found.returncode, found.stdout.strip()) == (
        0,
        "live brings its server, which is not started here: node server.js",
    )


@pytest.mark.parametrize("name", ["ünï", 'a"b', "a\\b"])
def test_check_tells_the_users_own_paths(tmp_path: Path, name: str) -> None:
    drop(tmp_path, name, "\nimport nothing_such\napplication = 1")
    found = hedgerow("check", name, cwd=tmp_path)
    assert found.returncode == 1
    assert f'File "{tmp_path}/{name}/app.py", line 2' in found.stderr


def test_check_of_a_folder_told_by_dots(tmp_path: Path) -> None:
    drop(tmp_path, "shop", COUNTER % "one")
    (tmp_path / "shop" / "static").mkdir()
    (tmp_path / "elsewhere").symlink_to("shop/static")
    for place, told in ((tmp_path / "shop", "."), (tmp_path / "shop" / "static", ".."), (tmp_path, "elsewhere/..")):
        found = hedgerow("check", told, cwd=place)
        assert (found.returncode, found.stdout) == (0, "shop loads: entry app.py, mount /shop\n"), found.stderr


def test_check_names_a_wrong_manifest(tmp_path: Path) -> None:
    drop(tmp_path, "shop", COUNTER % "one")
    (tmp_path / "shop" / "app.toml").write_text("mount = 3")
    found = hedgerow("check", str(tmp_path / "shop"))
    assert found.returncode == 1
    assert "shop/app.toml: mount" in found.stderr


def test_exec_and_the_worker_use_the_same_data() -> None:
    with stack(workers=1) as here:
        drop(here.apps, "words", FLASK, file="__init__.py")
        drop(here.apps, "plain", FLASK)
        drop(here.apps, "bad", "import nothing_such\napplication = 1")
        made = here.run("exec", "words", "--", "flask", "init-db")  # before anything runs: from the folder
        assert (made.returncode, made.stdout) == (0, "made\n"), made.stderr
        assert (here.state / "data" / "words" / "instance" / "words.sqlite").exists()
        here.up()
        assert get(here.port, "/words/") == (200, b"hello")
        assert get(here.port, "/plain/")[0] == 503, "its first page fails, so nobody is served by it"
        made = here.run("exec", "plain", "--", "flask", "init-db")
        assert (made.returncode, made.stdout) == (0, "made\n"), made.stderr
        again = here.run("deploy", "plain", "--wait")
        assert again.returncode == 0, again.stderr
        assert get(here.port, "/plain/") == (200, b"hello")
        shell = here.run("exec", "words", "--", "sh", "-c", "echo $HEDGEROW_APP $HEDGEROW_APP_DATA $FLASK_APP; exit 7")
        assert (shell.returncode, shell.stdout) == (7, f"words {here.state}/data/words words\n")
        _status_and_logs(here)


def test_exec_gives_the_command_its_signals_back(tmp_path: Path) -> None:
    drop(tmp_path / "apps", "count", COUNTER % "one")
    found = hedgerow("exec", "count", "--", "grep", "SigIgn", "/proc/self/status", cwd=tmp_path)
    ignored = int(found.stdout.split()[1], 16)
    assert ignored & (1 << (signal.SIGPIPE - 1)) == 0


def _status_and_logs(here: Stack) -> None:
    told = {app["name"]: app for app in here.status()["apps"]}
    assert (told["words"]["state"], told["words"]["mount"]) == ("up", "/words")
    assert told["bad"]["state"] == "down"
    assert "bad/app.py line 1: ModuleNotFoundError" in told["bad"]["error"]
    text = here.run("status").stdout
    assert "bad/app.py line 1" in text
    assert "Traceback" in text
    until(lambda: "GET /plain/ 200" in here.run("logs", "plain").stdout, 5, "the line is in the log")
    lines = here.run("logs", "plain").stdout
    assert "no such table: words" in lines
    assert "/words/" not in lines
    raw = [json.loads(line) for line in here.run("logs", "words", "--raw").stdout.splitlines()]
    assert {line["app"] for line in raw} == {"words"}
    assert any(line.get("path") == "/words/" and line["request_id"] for line in raw)


def test_logs_follow() -> None:
    with stack(workers=1) as here:
        drop(here.apps, "count", COUNTER % "one")
        here.up()
        follower = subprocess.Popen(
            here.command("logs", "count", "-f"), env=here.environ, stdout=subprocess.PIPE, text=True
        )
        try:
            assert follower.stdout
            found: list[str] = []
            lines = iter(follower.stdout.readline, "")
            reader = threading.Thread(target=lambda: found.append(next(line for line in lines if "GET" in line)))
            reader.start()
            until(lambda: get(here.port, "/count/?x") and found, 10, "a line is followed")
            reader.join()
            assert "GET /count/" in found[0]
        finally:
            follower.kill()
            follower.wait()
            follower.stdout.close()


@contextlib.contextmanager
def front(addresses: int) -> Iterator[str]:
    """What the front answers a replica that asks."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = str(addresses).encode() if self.path == "/addresses" else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_replica_with_another_number_of_addresses_does_not_start() -> None:
    with front(3) as where, stack() as here:
        here.environ |= {"HEDGEROW_FRONT": where, "HEDGEROW_WORKERS": "2"}
        found = here.run("replica")
        assert (found.returncode, found.stderr.count("\n")) == (2, 1)
        assert "HEDGEROW_WORKERS=2 here, but the front balances over 3" in found.stderr


def test_a_replica_becomes_supervisord_copies_its_log_to_stdout_and_ends_at_sigterm() -> None:
    with front(2) as where, stack() as here:
        here.environ |= {"HEDGEROW_FRONT": where, "HEDGEROW_WORKERS": "2"}
        drop(here.apps, "count", COUNTER % "one")
        with (here.base / "stdout").open("wb") as out:
            process = subprocess.Popen(here.command("replica"), env=here.environ, stdout=out, stderr=out)
        try:
            until(lambda: here.run("healthy").returncode == 0, 20, "healthy")
            assert get(here.first, "/count/") == (200, b"one")
            assert get(here.first + 1, "/count/") == (200, b"one")
            out_path = here.base / "stdout"
            until(lambda: out_path.read_text().count('"path":"/count/"') == 2, 10, "both lines are copied, once each")
            assert all(json.loads(line) for line in out_path.read_text().splitlines())
            assert here.supervisord == process.pid
            pids = here.pids()
            process.send_signal(signal.SIGTERM)
            assert process.wait(14) == 0
            assert not any(map(is_alive, pids))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
