"""Environments made anew in a real stack: on request, when an app's own file asks, after an update of the machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from control_support import Load, Stack, drop, get, stack, until
from environment_support import Index, index_of, repacked_engine, wheel

from hedgerow.control.entries import LIVE, AppState
from hedgerow.control.environments import base, builds
from hedgerow.control.environments.interpreters import running
from hedgerow.control.ledger import Ledger
from hedgerow.control.orders import UPGRADE, Orders

APP = """
import os, plain
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [plain.version.encode()]
"""
OLD = APP.replace("plain", "werkzeug")
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


def ledger(here: Stack, name: str) -> AppState:
    return Ledger(here.state).read().app(name)


def lives(here: Stack, name: str, deploys: int) -> None:
    until(lambda: [one.outcome for one in ledger(here, name).deploys].count(LIVE) == deploys, 30, f"{name} is live")


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
    lives(here, "blog", 2)
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
    shown = [line.split() for line in here.run("env", "show", "shop").stdout.splitlines()]
    assert ["plain", "2.0", "shared"] in shown


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
    assert ledger(here, "blog").placement.pool == "shared"

    back = here.run("rollback", "blog", "--wait")
    assert back.returncode == 0, back.stderr
    shows(here, "blog", "1.0")
    shows(here, "shop", "2.0")
    assert "was live with plain 1.0, which the shared pool has no more" in ledger(here, "blog").placement.reason


def test_an_app_alone_keeps_its_packages_and_its_commands_find_them(here: Stack, packages: Path) -> None:
    wheel(packages, "werkzeug", "2.3.8")
    repacked_engine(packages)
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
    lives(here, "old", 2)
    done = here.run("env", "upgrade", "old", "--wait")
    assert (done.returncode, done.stdout) == (0, "old runs with other packages now\n"), done.stderr
    assert [what for what, _, place in commands(here, "old") if place != first] == ["check"]
    listed = here.run("env", "show", "old").stdout
    assert listed.splitlines()[0].endswith(f"without Hedgerow's own packages, Python {sys.version.split()[0]}")
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
    index.delay_s = 0.3
    require(here, "shop", "plain\n")
    until(lambda: environments(here, ".making-*/*"), 30, "it is made")
    os.kill(deployer(here), signal.SIGKILL)
    shows(here, "shop", "1.0")
    index.delay_s = 0.0
    wheel(packages, "plain", "2.0")
    index.delay_s = 0.3
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


@pytest.mark.parametrize("gone", [True, False])
def test_an_environment_that_is_not_current_any_more_is_made_anew_at_the_start(
    here: Stack, index: Index, gone: bool
) -> None:
    """As after an update of what lies beneath; gone: with it went the interpreter."""
    require(here, "blog", "plain\n")
    here.up()
    shows(here, "blog", "1.0")
    here.stop()
    [made] = environments(here)
    other = made.rename(made.with_name("0" * 32))
    for entry in (here.state / "ledger").glob("*.json"):
        entry.write_text(entry.read_text().replace(made.name, other.name))
    if gone:
        (other / "bin" / "python").unlink()
        (other / "bin" / "python").symlink_to("/usr/bin/python3.of-before")
    index.delay_s = 0.7
    here.up()
    if gone:
        until(lambda: get(here.port, "/blog/")[0] == 503, 20, "it is down")
        [said] = here.status()["apps"]
        assert (said["state"], said["error"]) == (
            "down",
            f"blog: the Python of its environment is gone: {running().path}",
        )
    shows(here, "blog", "1.0")
    until(lambda: ledger(here, "blog").placement.environment == made.name, 40, "it has another one")
    shows(here, "blog", "1.0")
    log = "".join(path.read_text() for path in (here.state / "logs").rglob("deployer*"))
    assert 0 < log.count('"message": "Start"') < 8, "nothing starts again and again"
