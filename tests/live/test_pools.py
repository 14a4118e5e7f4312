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
    assert "IN A POOL OF ITS OWN" in text
    assert "pool of blog" in text


def test_an_app_moves_to_its_own_pool_and_back_under_load_and_nobody_loses_a_request(here: Stack) -> None:
    app(here, "blog")
    app(here, "shop")
    here.up()
    shared = {asked(here, "blog")[1] for _ in range(8)}
    blog, shop = Load(here.port, "/blog/"), Load(here.port, "/shop/")
    with blog.running(), shop.running(2):
        for pool, answer in (("own", "in a pool of its own"), ("shared", "shares the workers")):
            done = here.run("pool", "blog", pool, "--wait")
            assert done.returncode == 0, done.stdout + done.stderr
            assert answer in done.stdout
    assert blog.failed == shop.failed == []
    assert told(here, "blog")["pool"] == "shared"
    assert asked(here, "blog")[1] not in shared
    until(lambda: not here.status()["replicas"][0]["pools"], 30, "the pool is gone")
    print(f"{blog.count} requests of the app that moved, {shop.count} of its neighbour, 0 failed")
