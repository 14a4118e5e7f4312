"""Apps in pools of their own, in a real stack: where they run, how they move, and that nobody's request is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from control_support import Load, Stack, drop, get, stack, until

APP = """
import os, sys
import helper
def application(environ, start_response):
    text = f"{helper.WHO} {os.getpid()} {os.getcwd()} {__name__}"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text.encode()]
"""


@pytest.fixture
def here() -> Iterator[Stack]:
    with stack(workers=2) as made:
        yield made


def app(here: Stack, name: str, manifest: str = "", text: str = APP, who: str = "") -> None:
    folder = drop(here.apps, name, text).parent
    (folder / "helper.py").write_text(f"WHO = {who or name!r}\n")
    if manifest:
        (folder / "app.toml").write_text(manifest)


def asked(here: Stack, name: str) -> list[str]:
    status, body = get(here.port, f"/{name}/")
    assert status == 200, body
    return body.decode().split()


def told(here: Stack, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in here.status()["apps"] if one["name"] == name)
    return found


def test_an_app_that_asks_for_it_has_a_pool_of_its_own(here: Stack) -> None:
    app(here, "blog", 'pool = "own"\n')
    app(here, "shop")
    here.up()
    until(lambda: get(here.port, "/blog/")[0] == 200, 20, "the pool serves")
    who, pid, folder, name = asked(here, "blog")
    assert (who, name) == ("blog", "app")
    assert folder.startswith(str(here.state / "releases" / "blog"))
    assert {asked(here, "blog")[1] for _ in range(8)} == {pid}, "one process behind both addresses"
    workers = {slot["pid"] for one in here.status()["replicas"][0]["addresses"] for slot in one["slots"].values()}
    assert int(pid) not in workers
    assert {int(asked(here, "shop")[1]) for _ in range(8)} <= workers
    assert told(here, "blog")["pool"] == "own"
    assert told(here, "blog")["reason"] == 'blog: its app.toml says pool = "own"'
    assert told(here, "shop")["pool"] == "shared"
    text = here.run("status").stdout
    assert "IN ANOTHER POOL" in text
    assert "pool of blog" in text


def test_an_app_moves_to_its_own_pool_and_back_under_load_and_nobody_loses_a_request(here: Stack) -> None:
    app(here, "blog")
    app(here, "shop")
    here.up()
    shared = {asked(here, "blog")[1] for _ in range(8)}
    blog, shop = Load(here.port, "/blog/"), Load(here.port, "/shop/")
    with blog.running(), shop.running(2):
        for pool, answer in (("own", "in a pool of its own"), ("shared", "in the shared pool")):
            done = here.run("pool", "blog", pool, "--wait")
            assert done.returncode == 0, done.stdout + done.stderr
            assert answer in done.stdout
    assert blog.failed == shop.failed == []
    assert told(here, "blog")["pool"] == "shared"
    assert asked(here, "blog")[1] not in shared
    until(lambda: not here.status()["replicas"][0]["pools"], 30, "the pool is gone")
    print(f"{blog.count} requests of the app that moved, {shop.count} of its neighbour, 0 failed")


def wakes(here: Stack) -> None:
    load = Load(here.port, "/blog/")
    with load.running(8):
        until(lambda: load.count > 50, 20, "it answers")
    assert load.failed == []


def test_an_idle_pool_sleeps_and_who_asks_waits_for_it() -> None:
    with stack(workers=2, HEDGEROW_POOL_IDLE_S="2") as here:
        app(here, "blog", 'pool = "own"\n')
        app(here, "shop")
        here.up()
        until(lambda: get(here.port, "/blog/")[0] == 200, 20, "the pool serves")
        first = asked(here, "blog")[1]

        def sleeps() -> bool:
            pool = here.status()["replicas"][0]["pools"][0]
            return bool(pool["asleep"]) and not pool["slots"]

        for _ in range(2):
            until(sleeps, 30, "it sleeps")
            assert told(here, "blog")["state"] == "up"
            assert " asleep " in here.run("status").stdout
            wakes(here)
        assert asked(here, "blog")[1] != first
        until(sleeps, 30, "it sleeps again")
        (here.apps / "blog" / "helper.py").write_text("WHO = 'newer'\n")
        until(lambda: "newer" in asked(here, "blog"), 30, "a new release wakes it")


def test_behind_a_gateway_own_pools_do_not_share_the_fate_of_shared_workers() -> None:
    """It comes when the shared pool has lost two workers; and the shared apps move behind it without a lost request."""
    text = APP.replace("def application", "import signal\ndef application").replace(
        "    text = f", "    if environ['QUERY_STRING'] == 'die': os.kill(os.getpid(), signal.SIGKILL)\n    text = f"
    )
    with stack(workers=2) as here:
        app(here, "blog", 'pool = "own"\n')
        app(here, "shop", text=text)
        here.up()
        until(lambda: get(here.port, "/blog/")[0] == 200, 20, "the pool serves")
        addresses = {slot["pid"] for one in here.status()["replicas"][0]["addresses"] for slot in one["slots"].values()}
        assert int(asked(here, "shop")[1]) in addresses

        def pids(groups: str) -> set[int]:
            return {slot["pid"] for one in here.status()["replicas"][0][groups] for slot in one["slots"].values()}

        def kills() -> None:
            before = pids("addresses")
            get(here.port, "/shop/?die", "POST")
            until(lambda: pids("addresses") != before and asked(here, "shop"), 20, "another worker serves")

        for _ in range(2):
            kills()
        until(lambda: len(here.status()["replicas"][0]["pools"]) == 3, 30, "there is a gateway")
        until(lambda: int(asked(here, "shop")[1]) in pids("pools"), 30, "the shared app is behind it")
        blog, shop = Load(here.port, "/blog/"), Load(here.port, "/shop/")
        with blog.running(), shop.running():
            for _ in range(3):
                get(here.port, "/shop/?die", "POST")
        assert blog.failed == []
        print(f"{blog.count} requests of the own pool, 0 failed; {len(shop.failed)} of {shop.count} of the shared one")
        assert "shared pool 0" in here.run("status").stdout


def test_apps_move_and_are_deployed_behind_a_gateway_and_nobody_loses_a_request() -> None:
    with stack(workers=2, HEDGEROW_GATEWAY="true") as here:
        app(here, "blog")
        app(here, "shop")
        here.up()
        until(lambda: get(here.port, "/blog/")[0] == 200, 20, "it serves")
        blog, shop = Load(here.port, "/blog/"), Load(here.port, "/shop/")
        with blog.running(), shop.running(2):
            for pool in ("own", "shared"):
                done = here.run("pool", "blog", pool, "--wait")
                assert done.returncode == 0, done.stdout + done.stderr
            (here.apps / "blog" / "helper.py").write_text("WHO = 'newer'\n")
            until(lambda: "newer" in asked(here, "blog"), 30, "a new release serves")
        assert blog.failed == shop.failed == []
        print(f"{blog.count} and {shop.count} requests, 0 failed")
