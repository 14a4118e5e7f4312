"""Two apps of one worker never see anything of each other, however their requests interleave."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from worker_support import Worker, serving

NAMES = ("one", "two")
THREADS = 8
APP = """
import os, sys, threading, time
from contextvars import ContextVar

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import common
import inner
from shared import LOCAL, VARIABLE

OWN = "NAME"
os.environ["WHO"] = OWN


def application(environ, start_response):
    found = {
        "module": common.OWN, "path": inner.OWN, "sys.modules": sys.modules["common"].OWN,
        "environ": os.environ["WHO"], "child": os.getenv("WHO"),
        "local": getattr(LOCAL, "who", OWN), "context": VARIABLE.get(OWN),
    }
    LOCAL.who = OWN
    VARIABLE.set(OWN)
    os.environ["WHO"] = OWN
    time.sleep(0.001)  # others run
    import common as again
    found["later"] = again.OWN
    found["later environ"] = os.environ["WHO"]
    found["later context"] = VARIABLE.get()
    found["later local"] = LOCAL.who
    heard = []
    thread = threading.Thread(target=lambda: heard.append((os.environ["WHO"], __import__("common").OWN)))
    thread.start()
    thread.join()
    found["thread environ"], found["thread module"] = heard[0]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [__import__("json").dumps(found).encode()]
"""
# What libraries have: one context variable and one thread-local for all apps of the process.
SHARED = (
    "import threading\nfrom contextvars import ContextVar\nVARIABLE, LOCAL = ContextVar('shared'), threading.local()\n"
)


def make_app(folder: Path, name: str) -> Path:
    (folder / "lib").mkdir(parents=True)
    (folder / "app.py").write_text(APP.replace("NAME", name))
    (folder / "common.py").write_text(f"OWN = {name!r}\n")
    (folder / "lib" / "inner.py").write_text(f"OWN = {name!r}\n")
    return folder


@pytest.mark.parametrize("requests", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_interleaved_requests_of_two_apps_find_their_own_alone(
    tmp_path: Path, requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "shared.py").write_text(SHARED)
    monkeypatch.setenv("PYTHONPATH", str(library), prepend=":")
    apps = {name: make_app(tmp_path / name, name) for name in NAMES}
    run = tmp_path / "run"
    run.mkdir()
    wrong: list[str] = []
    with serving(run, apps) as worker:
        threads = [threading.Thread(target=ask, args=(worker, n, requests // THREADS, wrong)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def ask(worker: Worker, first: int, count: int, wrong: list[str]) -> None:
    for number in range(first, first + count):
        name = NAMES[number % 2]
        response, body = worker.ask(f"/{name}/")
        found = json.loads(body) if response.status == 200 else {"status": response.status}
        if set(found.values()) != {name}:
            wrong.append(f"{name}: {found}")
