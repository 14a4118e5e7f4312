"""Apps with the same conflict share a pool of their own in a real stack: who joins it, who does not, and who leaves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from control_support import Load, Stack, get, stack, until
from environment_support import Index, index_of, repacked_engine, wheel

from hedgerow.control.ledger import Ledger

POOL = "shared+plain"
APP = """
import os
import plain
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} plain {plain.version} {__name__}".encode()]
"""
WRITES = (
    APP
    + """
import json
def late():
    json.indent = 4
"""
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("packages")
    for version in ("1.0", "1.5", "2.0"):
        wheel(folder, "plain", version)
    wheel(folder, "more", "1.0")
    repacked_engine(folder)
    with index_of(folder) as made:
        yield made


@pytest.fixture
def here(index: Index) -> Iterator[Stack]:
    """A stack whose shared pool has plain 2.0, for the app `new`."""
    with stack(workers=2, UV_DEFAULT_INDEX=index.url) as made:
        require(made, "new", "plain>=2\n")
        made.up()
        settled(made, new="shared")
        yield made


def require(here: Stack, name: str, requirements: str, text: str = APP) -> None:
    """A new app, or another file of one."""
    folder = here.apps / name
    if not folder.exists():
        beside = here.apps / f".{name}"
        beside.mkdir()
        (beside / "requirements.txt").write_text(requirements)
        (beside / "app.py").write_text(text)
        beside.rename(folder)
        return
    (folder / ".requirements.txt~").write_text(requirements)
    (folder / ".requirements.txt~").replace(folder / "requirements.txt")


def pools(here: Stack) -> dict[str, str]:
    """Where the apps are, for those that have come there."""
    state = Ledger(here.state).read()
    rolls = state.round.changes if state.round else {}
    return {name: app.placement.pool for name, app in state.apps.items() if app.release and name not in rolls}


def settled(here: Stack, **expected: str) -> None:
    until(lambda: expected.items() <= pools(here).items(), 60, f"all are in {expected}")


def seen(here: Stack, name: str) -> tuple[str, str, str]:
    """The process that answers, the version of the package that it has, and the name of its module."""
    status, body = get(here.port, f"/{name}/")
    assert status == 200, (name, body)
    pid, _, version, module = body.decode().split()
    return pid, version, module


def deploys(here: Stack, name: str) -> list[Any]:
    return [one for one in Ledger(here.state).read().app(name).deploys if one.outcome]


def groups(here: Stack) -> list[str]:
    return [one["address"] for one in here.status()["replicas"][0]["pools"]]


def test_apps_of_one_conflict_share_a_pool_and_nobody_loses_a_request(here: Stack) -> None:
    load = Load(here.port, "/new/")
    require(here, "old", "plain<1.5\n")
    settled(here, old=POOL)
    late = Load(here.port, "/old/")
    with load.running(1), late.running(1):
        require(here, "older", "plain<2\nmore\n")
        settled(here, new="shared", old=POOL, older=POOL)
        until(lambda: seen(here, "old")[0] == seen(here, "older")[0], 30, "one process has them both")
        assert seen(here, "old")[1] == seen(here, "older")[1] == "1.0"
        assert seen(here, "new")[1] == "2.0"
        assert seen(here, "old")[2] == "_hedgerow_app_old.app", "in a space"
        assert len(groups(here)) == 1
        text = here.run("status").stdout
        assert f"pool {POOL}" in text
        assert "older: it needs plain<2, but the shared pool has plain 2.0" in text

        require(here, "other", "plain==1.5\n")  # the same conflict, and not what that pool has
        settled(here, other="own")
        reason = Ledger(here.state).read().app("other").placement.reason
        assert reason.endswith(f"but the shared pool has plain 2.0, and {POOL} cannot have it, either"), reason
        assert seen(here, "other")[1] == "1.5"
        assert (seen(here, "old")[1], seen(here, "older")[1]) == ("1.0", "1.0")

        done = here.run("pool", "older", "own", "--wait")
        assert (done.returncode, pools(here)["older"]) == (0, "own"), done.stderr
        assert seen(here, "older")[0] != seen(here, "old")[0]
        assert seen(here, "older")[1] == "1.0", "a move changes no package, though there is a newer one"
        assert here.run("pool", "older", "auto", "--wait").returncode == 0
        settled(here, older=POOL)

        require(here, "old", "plain>=2\n")
        settled(here, old="shared", older=POOL)
        until(lambda: seen(here, "old")[1] == "2.0", 30, "it shares with all others now")
        assert here.run("rollback", "old", "--wait").returncode == 0
        assert (seen(here, "old")[1], pools(here)["old"]) == ("1.0", POOL)
    assert load.failed == late.failed == []
    print(f"{load.count} and {late.count} requests, 0 failed")
    for name in ("old", "older"):
        shutil.rmtree(here.apps / name)
    until(lambda: len(groups(here)) == 1, 60, "only the one alone has a pool")


def test_its_packages_change_only_for_its_own_apps_and_if_all_of_them_pass(here: Stack) -> None:
    require(here, "old", "plain<2\n")
    settled(here, old=POOL)
    assert seen(here, "old")[1] == "1.5"
    require(here, "older", "plain<2\n", APP + "assert plain.version != '1.0', 'not with this one'\n")
    settled(here, older=POOL)

    require(here, "old", "plain<1.5\n")  # an app of that pool, and the others allow it; but one of them fails with it
    settled(here, old="own")  # so it goes alone
    reason = Ledger(here.state).read().app("old").placement.reason
    assert "with what it requires older does not pass its trial" in reason
    assert (seen(here, "old")[1], seen(here, "older")[1], pools(here)["older"]) == ("1.0", "1.5", POOL)

    require(here, "third", "plain<2\n")
    settled(here, third=POOL)
    (here.apps / "older" / "app.py").write_text(APP)
    until(lambda: len(deploys(here, "older")) == 2, 30, "its next release is live")
    require(here, "third", "plain==1.0\n")
    until(lambda: seen(here, "third")[1] == seen(here, "older")[1] == "1.0", 60, "both have what one of them asks for")
    settled(here, third=POOL, older=POOL)
    assert seen(here, "new")[1] == "2.0"

    before = len(deploys(here, "third"))
    require(here, "third", "plain<2\n")
    until(lambda: len(deploys(here, "third")) > before, 30, "it may be newer")
    done = here.run("env", "upgrade", "older", "--wait")
    assert (done.returncode, done.stdout) == (0, "2 apps run with other packages now\n"), done.stderr
    assert seen(here, "older")[1] == seen(here, "third")[1] == "1.5"
    assert (seen(here, "old")[1], seen(here, "new")[1]) == ("1.0", "2.0")


@pytest.mark.slow
def test_packages_are_not_replaced_beneath_who_comes_meanwhile(here: Stack) -> None:
    require(here, "old", "plain<2\n")
    settled(here, old=POOL)
    (here.apps / "old" / "app.py").write_text("import time\ntime.sleep(3)\n" + APP)
    require(here, "old", "plain==1.0\n")
    until(lambda: list((here.base / "run").glob("trial*")), 20, "it is tried, and loads for long")
    require(here, "late", "plain>=1.5,<2\n")
    settled(here, late=POOL)
    until(lambda: len(deploys(here, "old")) == 2, 40, "it is tried again beside the other")
    settled(here, old="own", late=POOL)
    assert (seen(here, "old")[1], seen(here, "late")[1]) == ("1.0", "1.5")


@pytest.mark.slow
def test_a_pool_of_which_nobody_can_be_loaded_tries_again(here: Stack) -> None:
    base = here.base / "base"
    base.touch()
    require(here, "old", "plain<2\n", APP + f"assert os.path.exists({str(base)!r})\n")
    settled(here, old=POOL)
    pid = int(seen(here, "old")[0])
    base.unlink()
    os.kill(pid, 9)
    until(lambda: get(here.port, "/old/")[0] == 503, 20, "it cannot be loaded")
    base.touch()
    print(f"back in {until(lambda: get(here.port, '/old/')[0] == 200, 50, 'it is loaded again'):.1f} s")


def test_what_speaks_against_sharing_counts_there_too(here: Stack) -> None:
    brings = here.apps / ".brings"
    (brings / "wheels").mkdir(parents=True)
    wheel(brings / "wheels", "brought", "1.0")
    (brings / "requirements.txt").write_text("--find-links ./wheels\nbrought\nplain<2\n")
    (brings / "app.py").write_text(APP)
    brings.rename(here.apps / "brings")
    settled(here, brings="own")  # though it is the first one: with its release those packages go
    require(here, "old", "plain<2\n")
    require(here, "sets", "plain<2\n", WRITES)
    settled(here, old=POOL, sets="own")
    told = {one["name"]: one["reason"] for one in here.status()["apps"]}
    assert "sets json.indent" in told["sets"]
    (here.apps / "brings" / "app.py").write_text(APP + "\n")
    until(lambda: len(deploys(here, "brings")) == 2, 30, "its next release is live")
    assert pools(here)["brings"] == "own", "also with what it has already"
    assert seen(here, "sets")[1:] == ("1.5", "app")
