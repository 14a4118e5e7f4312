"""The memory of many Flask apps: ours all in one worker, beside one gunicorn an app.

Ours is the worker's whole resident memory: every page that it shares with anybody is counted in full. A gunicorn's is
that of all its processes, where a page that several share is counted once over all of them (PSS). So what is unfair is
so to us. A gunicorn more costs what the second half of those that were started has added, so that what they all share
is not extrapolated.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import servers
from meter import resident_bytes, tree_pss_bytes
from servers import HEDGEROW, Launch, Running, Server

COUNT = 200
STARTED = 10  # gunicorns
BAR = 30.0
DEFAULT = servers.GUNICORN_SYNC
# The app is loaded before the worker is forked, so that master and worker share what it takes.
PRELOADED = replace(
    DEFAULT, name=f"{DEFAULT.name} --preload", command=lambda launch: [*DEFAULT.command(launch), "--preload"]
)

_APP = """
from flask import Flask, jsonify, render_template

import models
from views import blueprint

app = Flask(__name__)
app.config.from_object("config")
app.register_blueprint(blueprint)


@app.route("/")
def index():
    return render_template("index.html", name=models.NAME, key=app.config["KEY"])
"""
_VIEWS = """
from flask import Blueprint, jsonify

blueprint = Blueprint("views", __name__)


@blueprint.route("/late")
def late():
    import models  # at request time, when all others have been loaded since
    return jsonify(name=models.NAME)
"""


def make_apps(folder: Path, count: int) -> dict[str, Path]:
    """Apps whose modules all have the same names, by their own."""
    return {name: _make_app(folder / name, name) for name in (f"app{number:03}" for number in range(count))}


def _make_app(folder: Path, name: str) -> Path:
    (folder / "templates").mkdir(parents=True)
    (folder / "app.py").write_text(_APP)
    (folder / "views.py").write_text(_VIEWS)
    (folder / "models.py").write_text(f"NAME = {name!r}\n")
    (folder / "config.py").write_text(f"KEY = 'key of {name}'\n")
    (folder / "templates" / "index.html").write_text("<p>{{ name }} has the {{ key }}</p>")
    return folder


def ask_both_pages(address: tuple[str, int], name: str, mount: str) -> None:
    """Twice. Raises RuntimeError for an answer that is not of this app."""
    wanted = {"/": f"<p>{name} has the key of {name}</p>", "/late": f'{{"name":"{name}"}}'}
    for path, text in (*wanted.items(), *wanted.items()):
        connection = http.client.HTTPConnection(*address, timeout=servers.PATIENCE_S)
        connection.request("GET", mount + path)
        answer = connection.getresponse().read().decode().strip()
        connection.close()
        if answer != text:
            raise RuntimeError(f"{name} at {address} answers {mount + path} with {answer!r} instead of {text!r}")


def ours(python: Path, apps: Mapping[str, Path], work: Path) -> int:
    """The bytes of one worker that has answered for all of them."""
    server = replace(HEDGEROW, command=lambda launch: _worker(launch, apps))
    with servers.serving(server, Launch(python, "", work, work / "hedgerow")) as running:
        for name in apps:
            ask_both_pages(running.address, name, f"/{name}")
        return resident_bytes(running.pid)


def _worker(launch: Launch, apps: Mapping[str, Path]) -> list[str]:
    plan = launch.work / "plan.json"
    entry = {"generation": 1, "apps": {name: str(folder) for name, folder in apps.items()}, "broken": {}}
    plan.write_text(json.dumps({"address": "8001", "active": "a", "slots": {"a": entry, "b": None}}))
    return launch.module("hedgerow.worker", str(plan), "a")


@dataclass(frozen=True)
class Gunicorns:
    """One an app. bytes: of those that were started; next_bytes: what one more costs."""

    started: int
    bytes: int
    next_bytes: float

    def of(self, count: int) -> float:
        """The bytes of so many."""
        return self.bytes + (count - self.started) * self.next_bytes


def gunicorns(server: Server, python: Path, apps: Mapping[str, Path], work: Path) -> Gunicorns:
    """Start one for each app, first one half, then the other; each has answered when it is measured."""
    names = list(apps)
    half = len(names) // 2
    with _started(server, python, apps, names[:half], work) as first:
        few = tree_pss_bytes(*_pids(first))
        with _started(server, python, apps, names[half:], work) as second:
            all_bytes = tree_pss_bytes(*_pids(first + second))
    return Gunicorns(len(names), all_bytes, (all_bytes - few) / (len(names) - half))


def _pids(all_running: Iterable[Running]) -> list[int]:
    return [one.pid for one in all_running]


@contextmanager
def _started(
    server: Server, python: Path, apps: Mapping[str, Path], names: Iterable[str], work: Path
) -> Iterator[list[Running]]:
    running: list[Running] = []
    try:
        for name in names:
            running.append(servers.start(server, Launch(python, "app:app", apps[name], work / name)))
        for one, name in zip(running, names, strict=True):
            servers.wait_until_answering(one)
            ask_both_pages(one.address, name, "")
        yield running
    finally:
        servers.stop(*running)
