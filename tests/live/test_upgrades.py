"""Environments made anew in a real stack: on request, when an app's own file asks, after an update of the machine."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_support import Load, Stack, drop, get, stack, until
from environment_support import Index, index_of, repacked, wheel

from hedgerow.control.environments import base, builds
from hedgerow.control.orders import UPGRADE, Orders

APP = """
import os, plain
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [plain.version.encode()]
"""
OLD = APP.replace("plain", "werkzeug").replace("werkzeug.version", "werkzeug.version")
# Written by a command of the app: which command it was, and the version that it finds.
TELL = """
import os, sys, {0}
with open(os.path.join(os.environ["HEDGEROW_APP_DATA"], "told"), "a") as file:
    file.write(f"{{sys.argv[1]}} {{{0}.version}} {{os.path.dirname(os.path.dirname(sys.executable))}}\\n")
"""


@pytest.fixture
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    wheel(folder, "plain", "1.0")
    return folder


@pytest.fixture
def index(packages: Path) -> Iterator[Index]:
    with index_of(packages) as made:
        yield made


@pytest.fixture
def here(index: Index) -> Iterator[Stack]:
    with stack(workers=1, UV_DEFAULT_INDEX=index.url) as made:
        yield made


def require(here: Stack, name: str, requirements: str, manifest: str = "", text: str = APP) -> None:
    folder = here.apps / name
    folder.mkdir(exist_ok=True)
    beside = folder / ".requirements.txt~"
    beside.write_text(requirements)
    beside.replace(folder / "requirements.txt")
    if manifest:
        (folder / "app.toml").write_text(manifest)
    if not (folder / "app.py").exists():
        drop(here.apps, name, text)


def shows(here: Stack, name: str, version: str, limit_s: float = 40) -> None:
    until(lambda: get(here.port, f"/{name}/") == (200, version.encode()), limit_s, f"{name} has {version}")


def told(here: Stack, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in here.status()["apps"] if one["name"] == name)
    return found


def commands(here: Stack, name: str) -> list[list[str]]:
    return [line.split() for line in (here.state / "data" / name / "told").read_text().splitlines()]


def test_an_upgrade_on_request_tries_all_and_brings_all_or_nothing(here: Stack, packages: Path) -> None:
    check = '[deploy]\ncheck = "python -c \'import plain, sys; sys.exit(plain.version > \\"2.9\\")\'"\n'
    require(here, "blog", "plain\n")
    require(here, "shop", "plain\n", check)
    here.up()
    shows(here, "blog", "1.0")
    shows(here, "shop", "1.0")
    wheel(packages, "plain", "2.0")
    drop(here.apps, "blog", APP + "\n# another release\n")
    until(lambda: here.run("deploys", "blog").stdout.count(" live ") == 2, 30, "it is live")
    shows(here, "blog", "1.0")

    load = Load(here.port, "/blog/")
    with load.running(1):
        done = here.run("env", "upgrade", "--wait")
    assert (done.returncode, done.stdout) == (0, "2 apps run with other packages now\n"), done.stderr
    assert load.failed == []
    assert {name: get(here.port, f"/{name}/")[1] for name in ("blog", "shop")} == {"blog": b"2.0", "shop": b"2.0"}
    print(f"{load.count} requests during an upgrade, 0 failed")
    ran = here.run("exec", "blog", "--", "python", "-c", "import plain; print(plain.version)")
    assert ran.stdout == "2.0\n", ran.stderr
    assert (
        here.run("env", "upgrade", "shop", "--wait").stdout
        == "the shared pool: there are no other packages to be had\n"
    )

    wheel(packages, "plain", "3.0")
    refused = here.run("env", "upgrade", "--wait")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("shop: failed at check: shop: deploy.check = ")
    assert {get(here.port, f"/{name}/")[1] for name in ("blog", "shop")} == {b"2.0"}
    lines = [line.split() for line in here.run("env", "list").stdout.splitlines()]
    [current] = [line for line in lines if line[-2:] == ["blog", "shop"]]
    assert current[1] == "shared"
    assert len(lines) >= 4, "the base, and those before and after"
    assert "plain    2.0" in here.run("env", "show", "shop").stdout.replace("  " * 8, "")


def test_what_an_apps_own_file_asks_for_changes_what_all_share_if_all_pass(here: Stack, packages: Path) -> None:
    wheel(packages, "plain", "2.0")
    require(here, "blog", "plain==1.0\n")
    here.up()
    shows(here, "blog", "1.0")
    require(here, "shop", "plain\n")
    shows(here, "shop", "1.0")
    require(here, "blog", "plain==2.0\n")
    shows(here, "blog", "2.0")
    shows(here, "shop", "2.0")
    assert told(here, "blog")["pool"] == "shared"

    back = here.run("rollback", "blog", "--wait")
    assert back.returncode == 0, back.stderr
    shows(here, "blog", "1.0")
    shows(here, "shop", "2.0")
    assert "was live with plain 1.0, which the shared pool has no more" in told(here, "blog")["reason"]

    require(here, "blog", "plain>1\n")
    shows(here, "blog", "2.0")
    require(here, "shop", "plain==2.0\n")
    require(here, "blog", "plain==1.0\n")
    shows(here, "blog", "1.0")
    assert told(here, "blog")["reason"] == "blog: it needs plain 1.0, but the shared pool has plain 2.0"
    shows(here, "shop", "2.0")


def test_an_app_alone_keeps_its_packages_and_its_commands_find_them(here: Stack, packages: Path) -> None:
    wheel(packages, "werkzeug", "2.3.8")
    for engine in ("gevent", "httptools"):
        repacked(packages, engine)
    (here.apps / "old").mkdir()
    (here.apps / "old" / "tell.py").write_text(TELL.format("werkzeug"))
    manifest = '[deploy]\ncheck = "python tell.py check"\nbefore = "python tell.py before"\n'
    require(here, "old", "werkzeug<3\nplain\n", manifest, OLD)
    here.up()
    shows(here, "old", "2.3.8")
    [first] = {place for _, version, place in commands(here, "old") if version == "2.3.8"}
    assert Path(first).parent == here.state / "environments"
    assert [what for what, _, _ in commands(here, "old")] == ["check", "before"]
    here.run("exec", "old", "--", "python", "tell.py", "exec")
    assert commands(here, "old")[2] == ["exec", "2.3.8", first]

    wheel(packages, "plain", "2.0")
    drop(here.apps, "old", OLD + "\n# another release\n")
    until(lambda: len(commands(here, "old")) == 5, 30, "check and hook of its next release")
    assert {place for _, _, place in commands(here, "old")} == {first}
    until(lambda: here.run("deploys", "old").stdout.count(" live ") == 2, 30, "it is live")
    done = here.run("env", "upgrade", "old", "--wait")
    assert (done.returncode, done.stdout) == (0, "old runs with other packages now\n"), done.stderr
    assert [what for what, _, place in commands(here, "old") if place != first] == ["check"]
    listed = here.run("env", "show", "old").stdout
    assert listed.splitlines()[0].endswith(f"of an app alone, Python {sys.version.split()[0]}")
    assert [line.split()[:2] for line in listed.splitlines() if line.startswith("plain")] == [["plain", "2.0"]]


def deployer(here: Stack) -> int:
    pid: int = here.status()["replicas"][0]["pid"]
    return pid


def environments(here: Stack, pattern: str = "[!.]*") -> list[Path]:
    return list((here.state / "environments").glob(pattern))


def test_a_deployer_that_is_killed_while_it_builds_begins_anew(here: Stack, packages: Path, index: Index) -> None:
    drop(here.apps, "blog", APP.replace("plain", "flask").replace("flask.version", '"none"'))
    here.up()
    shows(here, "blog", "none")
    index.delay_s = 0.7
    require(here, "shop", "plain\n")
    until(lambda: environments(here, ".making-*/*"), 30, "it is made")
    os.kill(deployer(here), signal.SIGKILL)
    shows(here, "shop", "1.0")
    index.delay_s = 0.0
    wheel(packages, "plain", "2.0")
    index.delay_s = 0.7
    given = here.run("env", "upgrade")
    assert given.stdout == "asked; `hedgerow deploys` tells what becomes of it\n", given.stderr
    orders = Orders(here.state)
    [order] = orders.open()
    assert order.what == UPGRADE
    before = {path.name for path in environments(here, ".making-*")}
    until(lambda: {path.name for path in environments(here, ".making-*/*/..")} - before, 30, "it is made")
    os.kill(deployer(here), signal.SIGKILL)
    shows(here, "shop", "2.0")
    until(lambda: not orders.open(), 20, "the order is answered")
    answer = orders.get(order.number)
    assert answer is not None
    assert answer.done, answer
    for environment in environments(here):
        builds.check(base.packages_of(environment))


def test_without_its_interpreter_an_app_is_down_and_says_so_until_it_has_another(here: Stack, index: Index) -> None:
    require(here, "blog", "plain\n")
    here.up()
    shows(here, "blog", "1.0")
    here.stop()
    [made] = environments(here)
    python = made / "bin" / "python"
    python.unlink()
    python.symlink_to("/usr/bin/python3.of-before")
    index.delay_s = 1.5
    here.up()
    until(lambda: "is gone" in str(told(here, "blog")["error"]), 20, "it says what is wrong")
    assert (told(here, "blog")["state"], get(here.port, "/blog/")[0]) == ("down", 503)
    pid, began = here.worker(), time.monotonic()
    until(lambda: here.worker() != pid or get(here.port, "/blog/")[0] == 200, 40, "it has another one")
    print(f"up again {time.monotonic() - began:.1f} s later")
    index.delay_s = 0.0
    shows(here, "blog", "1.0")
    assert "the Python of its environment is gone" in here.run("logs", "--lines", "100000").stdout
