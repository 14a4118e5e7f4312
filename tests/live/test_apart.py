"""Two apps of one worker never see anything of each other, however their requests interleave."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from pathlib import Path

import pytest
from worker_support import DEADLINE_S, Worker, serving

NAMES = ("one", "two")
REQUESTS = 10_000
THREADS = 8
LATE = 25  # folders that an app puts on the path at request time, each with a module
CHILD_EVERY = 100  # requests; starting a process takes longer than all else
LOCK = threading.Lock()
# Each function says whose things it finds. Both apps are this one file; their names are their folders'.
APP = """
import json
import os
import subprocess
import sys
import threading
import time

FOLDER = os.path.dirname(__file__)
OWN = os.path.basename(FOLDER)
OTHER = {"one": "two", "two": "one"}[OWN]
sys.path.insert(0, os.path.join(FOLDER, "lib"))
import common
import inner
import shared

os.environ["WHO"] = OWN
os.environ["ONLY_" + OWN] = OWN


def modules(number):
    import common as now
    return {common.OWN, now.OWN, sys.modules["common"].OWN, __import__("common").OWN}


def environment(number):
    only = OTHER if "ONLY_" + OTHER in os.environ else os.getenv("ONLY_" + OWN)
    return {os.environ["WHO"], os.getenv("WHO"), os.environb[b"WHO"].decode(), only}


def path(number):
    import inner as now
    place = os.path.join(FOLDER, "late", number)
    if place not in sys.path:
        sys.path.insert(0, place)
    time.sleep(0)  # others run, and put theirs in front of theirs
    entry = OTHER if any(f"/{OTHER}/" in entry + "/" for entry in sys.path) else OWN
    assert place in sys.path
    lately = __import__("lately" + number)
    try:
        __import__("only_" + OTHER)
        only = OTHER
    except ModuleNotFoundError:
        only = __import__("only_" + OWN).OWN
    return {inner.OWN, now.OWN, lately.OWN, only, entry}


def thread_locals(number):
    return {getattr(shared.LOCAL, "who", OWN)}


def context(number):
    return {shared.VARIABLE.get(OWN)}


def look(found, number, when):
    for see in (modules, environment, path, thread_locals, context):
        found[f"{see.__name__} {when}"] = sorted(see(number))


def application(environ, start_response):
    found = {}
    number, _, child = environ["QUERY_STRING"].partition("-")
    look(found, number, "first")
    shared.LOCAL.who = shared.last = OWN
    shared.VARIABLE.set(OWN)
    os.environ["WHO"] = OWN
    time.sleep(0.001)  # others run
    interleaved = shared.last != OWN
    look(found, number, "later")
    thread = threading.Thread(target=look, args=(found, number, "in a thread"))
    thread.start()
    thread.join()
    if child:
        found["environment of a child"] = [subprocess.check_output(["printenv", "WHO"], text=True).strip()]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"interleaved": interleaved, "found": found}).encode()]
"""
# What libraries have: one context variable and one thread-local for all apps of the process.
SHARED = """
import threading
from contextvars import ContextVar

VARIABLE = ContextVar("shared")
LOCAL = threading.local()
last = ""
"""
LOOKS = {"modules", "environment", "path", "thread_locals", "context"}


def make_app(folder: Path, name: str) -> Path:
    modules = ["common", "lib/inner", f"lib/only_{name}", *(f"late/{n}/lately{n}" for n in range(LATE))]
    for module in modules:
        path = folder / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"OWN = {name!r}\n")
    (folder / "app.py").write_text(APP)
    return folder


def test_interleaved_requests_of_two_apps_find_their_own_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "shared.py").write_text(SHARED)
    monkeypatch.setenv("PYTHONPATH", str(library), prepend=":")
    apps = {name: make_app(tmp_path / name, name) for name in NAMES}
    run = tmp_path / "run"
    run.mkdir()
    seen: Counter[str] = Counter()
    with serving(run, apps) as worker:
        threads = [threading.Thread(target=ask, args=(worker, n, REQUESTS // THREADS, seen)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    interleaved, children = seen.pop("interleaved", 0), seen.pop("environment of a child", 0)
    print(f"{REQUESTS} requests, {interleaved} of them interleaved, {children} with a child process: {dict(seen)}")
    assert seen == {f"{look} {when}": REQUESTS for look in LOOKS for when in ("first", "later", "in a thread")}
    assert children == REQUESTS // CHILD_EVERY
    assert interleaved > REQUESTS / 10


def ask(worker: Worker, first: int, count: int, seen: Counter[str]) -> None:
    """Count what was the app's own alone, by its name, and what was not, with what was seen."""
    connection = http.client.HTTPConnection(*worker.address, timeout=DEADLINE_S)
    for number in range(first * count, (first + 1) * count):
        name = NAMES[(first + number) % 2]
        connection.request("GET", f"/{name}/?{number // 20 % LATE}" + ("-child" if number % CHILD_EVERY == 0 else ""))
        response = connection.getresponse()
        body = response.read()
        told = json.loads(body) if response.status == 200 else {"found": {"status": [response.status]}}
        with LOCK:
            seen["interleaved"] += bool(told.get("interleaved"))
            seen.update(
                look if owners == [name] else f"{name}: {look}: {owners}" for look, owners in told["found"].items()
            )
    connection.close()
