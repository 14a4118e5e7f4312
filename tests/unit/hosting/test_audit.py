"""The patch audit: what modules, code and errors tell of an app."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hosting_help import get

from hedgerow.hosting.app import HostedApp
from hedgerow.hosting.audit import (
    FINE,
    KEPT,
    MIND,
    SINGLE,
    THREADS,
    asynchronous,
    at_once,
    audit,
    of_error,
    own_modules,
)

# A patched process, as a worker is, that loads what the query says, and tells what the audit does.
LOADED = """
from gevent import monkey

monkey.patch_all()
import sys

from hedgerow.hosting.audit import audit

{source}
print([(note.module, note.verdict) for note in audit(sys.modules)])
"""
ORDINARY = {
    "flask": "import flask; app = flask.Flask('x'); app.get('/')(lambda: flask.render_template_string('hi'));"
    "assert app.test_client().get('/').text == 'hi'",
    "requests": "import requests; requests.Session()",
    "the worker": "import hedgerow.worker.start",
}


def test_the_list_is_long_and_says_each_name_once() -> None:
    assert len({note.module for note in KEPT}) == len(KEPT)
    assert len([note for note in KEPT if note.verdict != FINE]) >= 25
    assert {note.verdict for note in KEPT} == {THREADS, MIND, FINE}


def test_what_waits_in_c_wants_threads_and_comes_first() -> None:
    told = audit(["sqlite3", "flask", "grpc", "grpc._channel"])
    assert [(note.module, note.verdict) for note in told] == [("grpc", THREADS), ("sqlite3", MIND)]


@pytest.mark.parametrize(
    ("module", "mended"),
    [("psycopg2", "psycogreen.gevent"), ("zmq", "zmq.green"), ("grpc", "grpc.experimental.gevent")],
)
def test_what_has_been_taught_gevent_is_no_reason(module: str, mended: str) -> None:
    assert audit([module]) != []
    assert audit([module, mended]) == []


def test_one_sentence_is_told_once() -> None:
    assert len(audit(["multiprocessing.popen_fork", "multiprocessing.popen_spawn_posix"])) == 1


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_apps_raise_no_alarm(name: str) -> None:
    command = [sys.executable, "-c", LOADED.format(source=ORDINARY[name])]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (result.stdout, result.stderr) == ("[]\n", "")


PLAIN = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'plain']\n"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("async def view(): pass\n", "has async def view"),
        ("class Views:\n    def make(self):\n        async def inner(): yield 1\n", "has async def inner"),
        ("import asyncio\ndef ask(): asyncio.run(None)\n", "has a call of asyncio.run"),
        ("def ask(sync): return sync.async_to_sync(None)\n", "has a call of async_to_sync"),
        ("import asyncio, subprocess\n", ""),
        ("import subprocess\ndef ask(): subprocess.run('')\n", ""),
    ],
)
def test_the_apps_own_code_tells_whether_it_is_asynchronous(
    load: Callable[..., HostedApp], source: str, sentence: str
) -> None:
    app = load("coded", {"app.py": "import views\n" + PLAIN, "views.py": source})
    assert get(app) == "plain"
    note = asynchronous(app.folder)
    assert ("" if note is None else note.sentence.partition(",")[0]) == sentence
    assert note is None or note.module == "coded/views.py"


def test_libraries_in_an_apps_folder_are_not_its_own_code(
    make_app: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_app("vendored", {"lib/site-packages/vendored_lib.py": "async def run(): pass\n"})
    monkeypatch.syspath_prepend(folder / "lib" / "site-packages")
    module = importlib.import_module("vendored_lib")
    assert own_modules(folder, [module]) == []
    assert asynchronous(folder, [module]) is None
    assert asynchronous(folder / "lib" / "site-packages", [module]) is not None
    del sys.modules["vendored_lib"]


def test_an_error_that_patching_makes_is_known_by_its_words() -> None:
    note = of_error("RuntimeError: asyncio.run() cannot be called from a running event loop")
    assert note is not None
    assert (note.verdict, note.sentence) == (THREADS, "two requests ran asyncio at once")
    assert of_error("RuntimeError: of the app's own") is None


def test_who_refuses_several_threads_gets_one_and_is_told_so() -> None:
    assert [at_once(["sys", one], 32) for one in sorted(SINGLE)] == [1] * len(SINGLE)
    assert at_once(["sys", "flask"], 32) == 32
    assert {note.module for note in audit(SINGLE)} == SINGLE
