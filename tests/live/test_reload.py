"""`hedgerow serve --reload`, as a developer meets it: how soon new code answers, and what is shown of an error. Without
--reload nothing of an error is shown.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from control_support import HEDGEROW, drop, ends_well, free_port, get, until
from worker_support import serving as worker_serving

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
ACCEPTS = (BROWSER, "*/*", "application/json", "")

FLASK = """from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return "version {}"


@app.get("/fails")
def fails():
    return helper({{}})


def helper(words):
    return words["a <b>missing</b> word"]
"""
PLAIN = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@dataclass
class Served:
    """One `hedgerow serve` of a folder with the apps `shop` and `plain`."""

    port: int
    apps: Path
    log: Path

    def save(self, version: object) -> None:
        drop(self.apps, "shop", FLASK.format(version))

    def ask(self, path: str = "/shop/", accept: str = BROWSER) -> tuple[int, str, str]:
        """Status, kind and text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers={"Accept": accept} if accept else {})
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type", ""), answer.read().decode()
        finally:
            connection.close()

    def until_shown(self, words: str, limit_s: float = 10) -> tuple[int, str, str]:
        """The answer of the shop that has these words; it comes without a further save."""
        found: list[tuple[int, str, str]] = []

        def is_shown() -> bool:
            found[:] = [self.ask()]
            return words in found[0][2]

        until(is_shown, limit_s, f"{words!r} is shown; {self.log.read_text()[-2000:]}")
        return found[0]


@contextlib.contextmanager
def served(base: Path, *arguments: str, **environ: str) -> Iterator[Served]:
    """Until the end of the block; it must end well when it is asked to by Ctrl-C."""
    here = Served(free_port(), base / "apps", base / "serve.log")
    here.save(0)
    drop(here.apps, "plain", PLAIN)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEDGEROW_", "FLASK_"))}
    with tempfile.TemporaryDirectory(prefix="hgt-") as run, here.log.open("wb") as log:
        where = ("--bind", f"127.0.0.1:{here.port}", "--state", str(base / "state"))
        process = subprocess.Popen(
            [*HEDGEROW, "serve", str(here.apps), *where, *arguments],
            env=clean | environ | {"XDG_RUNTIME_DIR": run},
            stdout=log,
            stderr=log,
        )
        with ends_well(process):
            until(lambda: get(here.port, "/shop/") == (200, b"version 0"), 15, "it answers")
            yield here


@pytest.mark.parametrize("count", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_new_code_answers_within_a_second_of_saving(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    took = []
    with served(tmp_path, "--reload") as here:
        for version in range(1, count + 1):
            time.sleep(0.037 * version)  # so that the moment is another one between two looks
            here.save(version)
            began = time.monotonic()
            while get(here.port, "/shop/")[1] != b"version %d" % version:
                assert time.monotonic() - began < 10, here.log.read_text()
                time.sleep(0.01)
            took.append(time.monotonic() - began)
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import gevent.monkey, flask"], check=True)
    start_s = time.monotonic() - began  # what a new worker does first: 0.2 s on an idle machine
    figures = f"median {statistics.median(took):.2f} s, worst {max(took):.2f} s, imports alone {start_s:.2f} s"
    with capsys.disabled():
        print(f"\nfrom saving to the first answer of new code, {count} times: {figures}")
    assert statistics.median(took) < max(1, 5 * start_s), took


def test_an_open_connection_does_not_lead_to_old_code(tmp_path: Path) -> None:
    with served(tmp_path, "--reload") as here:
        kept = http.client.HTTPConnection("127.0.0.1", here.port, timeout=5)
        kept.request("GET", "/shop/")
        assert kept.getresponse().read() == b"version 0"
        with socket.create_connection(("127.0.0.1", here.port), timeout=5) as unused:  # as browsers open some ahead
            here.save(1)
            until(lambda: get(here.port, "/shop/")[1] == b"version 1", 10, "the change answers")
            kept.request("GET", "/shop/")
            assert kept.getresponse().read() == b"version 1"
            assert unused.recv(1) == b""
        kept.close()


def test_a_request_that_raises_shows_its_traceback(tmp_path: Path) -> None:
    with served(tmp_path, "--reload") as here:
        status, kind, page = here.ask("/shop/fails")
        assert (status, kind) == (500, "text/html; charset=utf-8")
        assert "shop/app.py line 17: KeyError:" in page
        assert page.index("in helper") < page.index("in fails") < page.index("Traceback")
        assert "a &lt;b&gt;missing&lt;/b&gt; word" in page
        assert "<b>missing" not in page
        status, kind, text = here.ask("/shop/fails", "*/*")
        assert (status, kind) == (500, "text/plain; charset=utf-8")
        assert f'File "{here.apps}/shop/app.py", line 17, in helper' in text
        assert "hedgerow/worker" not in text
        assert "HTTP_HOST" not in text
        assert "line 17, in helper" in json.loads(here.ask("/shop/fails", "application/json")[2])["traceback"]


def test_a_change_that_cannot_be_loaded_shows_why_until_it_can(tmp_path: Path) -> None:
    manifest = tmp_path / "apps" / "shop" / "app.toml"
    with served(tmp_path, "--reload") as here:
        drop(here.apps, "shop", "import nothing_such\n" + FLASK)
        status, kind, page = here.until_shown("shop cannot be loaded")
        assert (status, kind) == (503, "text/html; charset=utf-8")
        assert "shop/app.py line 1: ModuleNotFoundError: No module named &#x27;nothing_such&#x27;" in page
        assert "<b><i>1</i>import nothing_such</b>" in page
        drop(here.apps, "shop", "app = 1\ndef index(:\n")
        assert here.until_shown("SyntaxError")[0] == 503
        drop(here.apps, "shop", "import os\nos._exit(3)\napp = 1\n")
        assert here.until_shown("loading it ends the process")[0] == 503
        here.save(1)
        here.until_shown("version 1")
        manifest.write_text("mont = '/x'\n")
        assert "did you mean" in here.until_shown("unknown key")[2]
        assert get(here.port, "/plain/") == (200, b"ok")
        manifest.unlink()
        here.until_shown("version 1")


def test_a_callable_that_cannot_be_loaded_shows_why(tmp_path: Path) -> None:
    (tmp_path / "blog.py").write_text(PLAIN)
    port = free_port()
    command = [*HEDGEROW, "serve", "blog:application", "--reload", "--bind", f"127.0.0.1:{port}"]
    with tempfile.TemporaryDirectory(prefix="hgt-") as run:
        environ = os.environ | {"XDG_RUNTIME_DIR": run, "HEDGEROW_STATE": str(tmp_path / "state")}
        process = subprocess.Popen(command, env=environ, cwd=tmp_path, stderr=subprocess.DEVNULL)
        try:
            until(lambda: get(port, "/") == (200, b"ok"), 15, "it answers")
            (tmp_path / "blog.py").write_text(PLAIN + "raise ValueError('halt')\n")
            until(lambda: b"halt" in get(port, "/")[1], 10, "its error is shown")
            assert f'File "{tmp_path}/blog.py", line 5, in <module>' in get(port, "/")[1].decode()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(15) == 0


def test_without_reload_nothing_of_an_error_is_told(tmp_path: Path) -> None:
    with served(tmp_path, HEDGEROW_SHOW_ERRORS="1", FLASK_DEBUG="1") as here:
        for accept in ACCEPTS:
            status, _, text = here.ask("/shop/fails", accept)
            assert status == 500
            assert not any(word in text for word in ("raceback", "KeyError", "app.py", "missing")), text
        until(lambda: "KeyError" in here.log.read_text(), 5, "the log has it")


@pytest.mark.parametrize(("trusts", "told"), [("0", True), ("1", False)])
def test_behind_the_front_nothing_of_an_error_is_told_whatever_is_set(tmp_path: Path, trusts: str, told: bool) -> None:
    drop(tmp_path / "apps", "down", "import nothing_such\napplication = 1")
    drop(tmp_path / "apps", "raises", "def application(environ, start_response):\n    raise KeyError('missing')\n")
    apps = {name: tmp_path / "apps" / name for name in ("down", "raises")}
    settings = {"SHOW_ERRORS": "1", "TRUST_FRONT": trusts}
    with worker_serving(tmp_path, apps, settings=settings) as worker:
        for accept in ACCEPTS:
            for path, status, word in (("/down/", 503, b"nothing_such"), ("/raises/", 500, b"KeyError")):
                answer, body = worker.ask(path, headers={"Accept": accept})
                assert (answer.status, word in body, b"app.py" in body) == (status, told, told), body
