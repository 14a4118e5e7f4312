from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hosting_help import FIXTURE_APPS, get

import hedgerow
from hedgerow.config import Settings
from hedgerow.errors import UserError
from hedgerow.hosting.discovery import discover
from hedgerow.hosting.host import Host, host_callable, load_host

MakeApp = Callable[..., Path]

# The same module names in each app, an absolute import at load, one at request time, and configuration by string.
SMALL_FLASK = {
    "app.py": """
from flask import Flask, jsonify
from views import bp

def create_app():
    app = Flask(__name__)
    app.config.from_object("config.Config")
    app.register_blueprint(bp)
    return app
""",
    "views.py": """
from flask import Blueprint, current_app, jsonify
from models import Item

bp = Blueprint("bp", __name__)

@bp.get("/")
def root():
    import late
    return jsonify([current_app.config["WORD"], Item().word, late.WORD])
""",
    "models.py": "class Item:\n    word = 'model NNN'\n",
    "config.py": "class Config:\n    WORD = 'config NNN'\n",
    "late.py": "WORD = 'late NNN'\n",
}


def small_flask(number: int) -> dict[str, str]:
    return {path: text.replace("NNN", str(number)) for path, text in SMALL_FLASK.items()}


@pytest.fixture
def fifty(make_app: MakeApp) -> dict[str, Path]:
    return {f"site{n}": make_app(f"site{n}", small_flask(n)) for n in range(50)}


def test_fifty_apps_with_the_same_module_names_answer_their_own_values(fifty: dict[str, Path]) -> None:
    host = load_host(fifty, {}, Settings())
    assert repr(host) == "<Host of 50 apps, down: none>"
    for _ in range(2):
        for n in range(50):
            assert json.loads(get(host.apps[f"site{n}"])) == [f"config {n}", f"model {n}", f"late {n}"]


MEASURE = """
from gevent import monkey
monkey.patch_all()
import json, resource, sys
from pathlib import Path
from hedgerow.config import Settings
from hedgerow.hosting.discovery import discover
from hedgerow.hosting.host import load_host
from hosting_help import get

def rss():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

empty = rss()
folders = {folder.name: folder for folder in discover(Path(sys.argv[1]))}
first = load_host({"site0": folders["site0"]}, {}, Settings())
get(first.apps["site0"])
one = rss()
host = load_host(folders, {}, Settings())
answers = [json.loads(get(app))[1] for app in host.apps.values()]
print(json.dumps({"empty": empty, "one": one, "all": rss(), "answers": len(set(answers))}))
"""


def in_a_patched_process(source: str, apps: Path) -> dict[str, Any]:
    """What `source` prints as JSON in a fresh interpreter that knows only this package and the tests' help."""
    paths = [str(Path(hedgerow.__file__).parents[1]), str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-B", "-c", source, str(apps)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_fifty_apps_in_a_patched_process_take_at_most_60_mb(fifty: dict[str, Path], tmp_path: Path) -> None:
    told = in_a_patched_process(MEASURE, tmp_path / "apps")
    each = (told["all"] - told["one"]) / 49
    print(
        f"patched and empty {told['empty'] / 1e6:.1f} MB, with one Flask app {told['one'] / 1e6:.1f} MB, "
        f"with 50 {told['all'] / 1e6:.1f} MB, each after the first {each / 1e3:.0f} KB"
    )
    assert told["answers"] == 50
    assert told["all"] < 60e6


PATCHED = """
from gevent import monkey
monkey.patch_all()
import json, sys
from pathlib import Path
from hedgerow.config import Settings
from hedgerow.hosting.discovery import discover
from hedgerow.hosting.host import load_host
from hosting_help import get

host = load_host({folder.name: folder for folder in discover(Path(sys.argv[1]))}, {}, Settings())
print(json.dumps({name: get(app) for name, app in host.apps.items()}))
"""

SPAWNING_FLASK = """
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from flask import Flask
from werkzeug.utils import import_string

app = Flask(__name__)

@app.get("/")
def root():
    got = []
    def look(n):
        time.sleep(0)
        got.append(import_string("config.WORD"))
    thread = threading.Thread(target=look, args=(1,))
    thread.start()
    thread.join()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(look, range(3)))
    return " ".join(got)
"""


def test_the_threads_of_an_app_in_a_patched_process_are_in_its_space(make_app: MakeApp, tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_app(name, {"app.py": SPAWNING_FLASK, "config.py": f"WORD = {name!r}"})
    told = in_a_patched_process(PATCHED, tmp_path / "apps")
    assert told == {name: " ".join([name] * 4) for name in ("one", "two")}


def test_one_bad_app_never_disturbs_the_others() -> None:
    host = load_host({folder.name: folder for folder in discover(FIXTURE_APPS)}, {}, Settings())
    down = {name for name, app in host.apps.items() if app.error}
    assert down == {
        "asgi",
        "exits_at_import",
        "factory_returns_none",
        "missing_dependency",
        "no_entry",
        "not_callable",
        "raises_at_import",
        "wrong_manifest",
    }
    assert get(host.apps["function"]) == "function\n"


def test_status_tells_mount_state_and_traceback(make_app: MakeApp) -> None:
    folders = {
        "bad": make_app("bad", {"app.py": "1 / 0\napp = 1"}),
        "good": make_app("good", {"app.py": "application = print", "app.toml": 'host = "good.org"'}),
    }
    bad, good, late = load_host(folders, {"late": "late: no space left"}, Settings()).status()
    assert bad.pop("traceback").endswith("ZeroDivisionError: division by zero\n")
    sentence = "bad/app.py line 1: ZeroDivisionError: division by zero"
    told = {"name": "bad", "mount": "/bad", "host": "", "state": "down", "error": sentence, "findings": []}
    assert bad == told | {"forwarded": False}
    assert (good.pop("state"), good.pop("error"), good.pop("traceback"), good.pop("findings")) == ("up", "", "", [])
    assert good == {"name": "good", "mount": "/", "host": "good.org", "forwarded": False}
    assert (late["state"], late["error"], late["mount"]) == ("down", "late: no space left", "/late")


def test_an_app_that_lost_its_mount_is_down_and_says_to_whom(make_app: MakeApp) -> None:
    folders = {
        name: make_app(name, {"app.py": "application = print", "app.toml": 'mount = "/x"'}) for name in ("old", "new")
    }
    host = load_host(folders, {}, Settings(), incumbents={"old"})
    assert [(app["name"], app["state"]) for app in host.status()] == [("new", "down"), ("old", "up")]
    assert host.apps["new"].error is not None
    assert host.apps["new"].error.sentence.startswith("new: the mount /x belongs to old")
    route = host.mounts.route("/x/", "")
    assert route is not None
    assert route.app is host.apps["old"]


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Host]:
    """`only(source, target)`: a module of that source, hosted by its name."""

    def host(source: str, target: str) -> Host:
        (tmp_path / "one_module.py").write_text(source)
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.delitem(sys.modules, "one_module", raising=False)
        return host_callable(target, tmp_path, Settings())

    return host


ANSWER = "def run(environ, start_response):\n  start_response('200 OK', [])\n  return [__name__.encode()]\n"


def test_a_callable_by_its_name_is_at_the_root(only: Callable[[str, str], Host]) -> None:
    host = only(ANSWER, "one_module:run")
    route = host.mounts.route("/any/path", "h")
    assert route is not None
    assert (route.script_name, route.path_info) == ("", "/any/path")
    assert get(route.app) == "one_module"
    assert route.app.space is None


def test_a_module_alone_goes_by_convention(only: Callable[[str, str], Host]) -> None:
    assert get(only(ANSWER + "app = run", "one_module").apps["one_module"]) == "one_module"


@pytest.mark.parametrize(
    ("source", "target", "sentence"),
    [
        (ANSWER, "one_module:walk", "one_module: no walk"),
        ("1 / 0", "one_module:run", "one_module.py line 1: ZeroDivisionError: division by zero"),
        ("", "no_such_module:run", "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_a_callable_that_is_not_there(
    only: Callable[[str, str], Host], source: str, target: str, sentence: str
) -> None:
    (app,) = only(source, target).apps.values()
    assert app.error is not None
    assert sentence in app.error.sentence


@pytest.mark.parametrize("target", ["", ":app", "mod:", "a b:c", "mod:a:b", "mod:f()", "./mod:app"])
def test_a_target_that_is_written_wrong(target: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not MODULE:CALLABLE"):
        host_callable(target, tmp_path, Settings())
