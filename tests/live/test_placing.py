"""Where apps come to run in a real stack, without a word in a manifest: beside others, or in pools of their own."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_support import Load, Stack, drop, get, stack, until
from environment_support import Index, index_of, repacked, repacked_engine, sdist, wheel

HERE = Path(__file__).parent
PAIRS = HERE / "apps" / "pairs"
STAND_INS = HERE / "apps" / "pairs_libraries"
KINDS = ("key", "late_key", "dsn", "connection", "metric", "log")

PLAIN = """
import os
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {%s}".encode()]
"""
ASYNC = """
import asyncio, threading
async def view():
    await asyncio.sleep(0.2)
    return threading.current_thread().name
def application(environ, start_response):
    text = asyncio.run(view())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
"""
FLASK = """
import flask
app = flask.Flask(__name__)
@app.route("/", methods=["GET", "POST"])
def home():
    return %r
"""
LATE = """
import json, stripe
def application(environ, start_response):
    if environ["QUERY_STRING"] == "set":
        setattr(stripe, "api_key", "late")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(stripe.api_key).encode()]
"""


@pytest.fixture
def here() -> Iterator[Stack]:
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH", ""), str(STAND_INS))))
    with stack(workers=2, PYTHONPATH=path) as made:
        yield made


def told(here: Stack) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in here.status()["apps"]}


def settled(here: Stack, *names: str, limit_s: float = 60) -> dict[str, dict[str, Any]]:
    def live() -> bool:
        apps = told(here)
        return all(name in apps and apps[name]["state"] == "up" and apps[name]["mount"] for name in names)

    until(live, limit_s, f"{names} are up")
    return told(here)


def pairs(here: Stack, kinds: tuple[str, ...] = KINDS) -> list[str]:
    names = [f"{kind}_{which}" for kind in kinds for which in "ab"]
    for name in names:
        shutil.copytree(PAIRS / name, here.apps / name)
    return names


def seen(here: Stack, name: str) -> str:
    status, body = get(here.port, f"/{name}/")
    assert status == 200, (name, status, body)
    return body.decode()


def test_pairs_that_set_the_same_of_a_library_see_each_their_own(here: Stack) -> None:
    names = pairs(here)
    here.up()
    apps = settled(here, *names)
    for _ in range(3):
        assert {name: seen(here, name) for name in names} == {name: name for name in names}
    for name in names:
        own = not name.startswith("log")
        assert apps[name]["pool"] == ("own" if own else "shared"), apps[name]
        assert apps[name]["reason"].startswith(f"{name}: {name}/app.py line " if own else ""), apps[name]


def test_without_the_watch_they_do_not() -> None:
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH", ""), str(STAND_INS))))
    off = {"_HEDGEROW_UNWATCHED": "1", "HEDGEROW_PASS_ENV": "_HEDGEROW_UNWATCHED"}
    with stack(workers=1, PYTHONPATH=path, **off) as here:
        names = pairs(here, ("key", "dsn"))
        here.up()
        apps = settled(here, *names)
        assert {apps[name]["pool"] for name in names} == {"shared"}
        assert {name: seen(here, name) for name in names} != {name: name for name in names}


def test_what_is_seen_while_it_serves_moves_an_app_and_nobody_loses_a_request(here: Stack) -> None:
    drop(here.apps, "late", LATE)
    drop(here.apps, "shop", PLAIN % "'shop'")
    here.up()
    assert settled(here, "late", "shop")["late"]["pool"] == "shared"
    late, shop = Load(here.port, "/late/"), Load(here.port, "/shop/")
    with late.running(2), shop.running(2):
        assert get(here.port, "/late/?set")[0] == 200
        until(lambda: told(here)["late"]["pool"] == "own", 30, "it has moved")
    assert late.failed == shop.failed == []
    assert "late/app.py line 5 sets stripe.api_key" in told(here)["late"]["reason"]
    errors = here.run("logs", "late", "--lines", "100000").stdout
    assert "sets stripe.api_key" in errors
    print(f"{late.count} requests of the app that moved, {shop.count} of its neighbour, 0 failed")
    (here.apps / "late" / "app.py").write_text(LATE + "\n# another release\n")
    until(lambda: here.run("deploys", "late").stdout.count(" live ") == 3, 30, "its next release is live")
    assert told(here)["late"]["pool"] == "own", "what was found stays known"
    assert here.run("pool", "late", "auto", "--wait").stdout.strip().endswith("runs in the shared pool")


def test_async_views_get_threads(here: Stack) -> None:
    drop(here.apps, "views", ASYNC)
    here.up()
    apps = settled(here, "views")
    assert apps["views"]["pool"] == "own"
    assert "one thread runs one event loop only" in apps["views"]["reason"]
    found: list[int] = []
    asking = [threading.Thread(target=lambda: found.append(get(here.port, "/views/")[0])) for _ in range(30)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert found == [200] * 30


def test_what_works_alone_only_runs_alone(here: Stack) -> None:
    """Files by relative names, and a module that a library looks up in `sys.modules` while it is loaded."""
    drop(here.apps, "files", 'TEXT = open("data.txt").read()\n' + PLAIN % "TEXT").with_name("data.txt").write_text(
        "mine"
    )
    drop(here.apps, "plain", PLAIN % "'plain'")
    here.up()
    apps = settled(here, "files", "plain")
    assert seen(here, "files").endswith(" mine")
    assert (apps["files"]["pool"], apps["plain"]["pool"]) == ("own", "shared")
    assert "data.txt" in apps["files"]["reason"]


# Requirements.


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("packages")
    wheel(folder, "werkzeug", "2.3.8")
    for version in ("1.0", "2.0"):
        wheel(folder, "plain", version)
    sdist(folder, "only-source", "1.0")
    repacked_engine(folder)
    with index_of(folder) as made:
        yield made


VERSION = """
import importlib.metadata, os
VERSIONS = {name: importlib.metadata.version(name) for name in %r}
"""


def require(here: Stack, name: str, requirements: str, *shows: str) -> None:
    entry = drop(here.apps, name, VERSION % (shows,) + PLAIN % "VERSIONS")
    entry.with_name("requirements.txt").write_text(requirements)


def test_the_shared_set_grows_and_a_conflict_goes_elsewhere(index: Index) -> None:
    with stack(workers=2, UV_DEFAULT_INDEX=index.url) as here:
        drop(here.apps, "site", FLASK % "flask")
        here.up()
        before = seen(here, "site")
        load = Load(here.port, "/site/")
        with load.running(2):
            require(here, "new", "plain==1.0\n", "plain", "flask")
            assert settled(here, "new")["new"]["pool"] == "shared"
            require(here, "old", "werkzeug<3\n", "werkzeug")
            apps = settled(here, "old")
        assert load.failed == []
        print(f"{load.count} requests of who was there, 0 failed")
        assert "'plain': '1.0'" in seen(here, "new")
        assert apps["old"]["pool"] == "shared+werkzeug"
        assert apps["old"]["reason"].startswith("old: it needs werkzeug<3, but the shared pool has werkzeug 3.")
        assert "'werkzeug': '2.3.8'" in seen(here, "old")
        assert seen(here, "site") == before

        require(here, "other", "plain==2.0\n", "plain")
        assert settled(here, "other")["other"]["pool"] == "shared+plain"
        assert ("'plain': '2.0'" in seen(here, "other"), "'plain': '1.0'" in seen(here, "new")) == (True, True)

        drop(here.apps, "site", FLASK % "again")
        until(lambda: seen(here, "site") == "again", 30, "the next release of who was there is live")
        assert told(here)["site"]["pool"] == "shared"
        require(here, "new", "not-there-at-all\n", "plain")
        until(lambda: told(here)["new"]["error"], 30, "it is refused")
        assert "not-there-at-all" in told(here)["new"]["error"]
        assert "'plain': '1.0'" in seen(here, "new"), "the old release answers"


VISITS = """
import importlib.metadata
def application(environ, start_response):
    count = environ["hedgerow.session"]["count"] = environ["hedgerow.session"].get("count", 0) + 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{count} with {importlib.metadata.version('werkzeug')}".encode()]
"""
SESSION = f"[env]\nSESSION_KEY = {'k' * 40!r}\n[[middleware]]\nuse = 'session'\n"


def test_what_middleware_needs_is_in_an_environment_without_the_base(index: Index) -> None:
    repacked(index.folder, "itsdangerous")
    with stack(workers=1, UV_DEFAULT_INDEX=index.url) as here:
        folder = here.apps / "old"
        folder.mkdir()
        (folder / "requirements.txt").write_text("werkzeug<3\n")
        (folder / "app.toml").write_text(SESSION)
        drop(here.apps, "old", VISITS)
        here.up()
        assert settled(here, "old")["old"]["pool"] == "shared+werkzeug"
        assert seen(here, "old") == "1 with 2.3.8"
