"""Frameworks side by side on one replica, installed from the package index by the stack itself, each used in real
sessions: all at once, and while new releases of all are brought.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from control_support import Stack, get, stack, until
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

from hedgerow.control.ledger import Ledger
from hedgerow.control.placement import Placement
from neighbours import Use, lay, newer

pytestmark = pytest.mark.slow
# app → the framework whose pages it has, what says its version, the pool, how its reason goes on
PAGES = {
    "flask": ("flask", r"3\.", "shared", ""),
    "bottle": ("bottle", r"0\.1", "own", "bottle/app.py line "),
    "falcon": ("falcon", r"4\.", "shared", ""),
    "pyramid": ("pyramid", r"2\.", "shared", ""),
    "fastapi": ("fastapi", r"0\.", "own", "it brings a server of its own"),
    "django42": ("django", r"4\.2\.", "own", "django42/"),
    "django52": ("django", r"5\.2\.", "own", "django52/"),
}
OTHERS = {
    "async_flask": ("flask", r"3\.", "own", ""),
    "async_django": ("django", r"5\.2\.", "own", ""),
    "newer": ("flask", r"3\.", "shared+python3.", "it needs Python >=3.12"),
}
ALL = {**PAGES, **OTHERS}
ARRIVE_S = 200
LOOK_S = 2.0


def lay_all(apps: Path) -> None:
    lay(apps, ALL)
    (apps / "never").mkdir()
    (apps / "never" / "pyproject.toml").write_text('[project]\nname = "never"\nrequires-python = ">=3.99"\n')
    (apps / "never" / "app.py").write_text("application = print\n")


@pytest.fixture(scope="module")
def here() -> Iterator[Stack]:
    # Another Python is one on PATH, or one that pyenv keeps beside it.
    path = os.pathsep.join([os.environ["PATH"], *map(str, Path.home().glob(".pyenv/versions/3.1[2-9].*/bin"))])
    with stack(workers=2, PATH=path) as made:
        lay_all(made.apps)
        began = time.monotonic()
        made.up()
        made.first_200_s = arrive(made, began)  # type: ignore[attr-defined]
        # Of what is new, the last address may hear a moment later than who got the first answer.
        until(lambda: all(told(made)[name]["state"] == "up" for name in ALL), 30, "all addresses have all apps")
        yield made


def arrive(here: Stack, began: float) -> dict[str, float]:
    found: dict[str, float] = {}
    looks: list[dict[str, str]] = []

    def look() -> bool:
        for name in ALL.keys() - found.keys():
            if get(here.port, f"/{name}/")[0] == 200:
                found[name] = time.monotonic() - began
        if time.monotonic() - began > len(looks) * LOOK_S:
            looks.append({name: one["error"] for name, one in told(here).items() if one["error"] and name in ALL})
            assert not looks[-1], looks[-1]
        return len(found) == len(ALL)

    try:
        until(look, ARRIVE_S, "all apps answer")
    except AssertionError:
        print(here.run("status").stdout)
        raise
    return found


def told(here: Stack) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in here.status()["apps"]}


def about(here: Stack, name: str) -> dict[str, Any]:
    status, body = get(here.port, f"/{name}/about", timeout_s=20)
    assert status == 200, (name, status, body)
    found: dict[str, Any] = json.loads(body)
    return found


def placed(here: Stack) -> dict[str, tuple[str, str, str]]:
    found = {name: placement(here, name) for name in ALL}
    return {name: (one.pool, one.reason, one.concurrency) for name, one in found.items()}


def placement(here: Stack, name: str) -> Placement:
    return Ledger(here.state).read().app(name).placement


def memory(here: Stack) -> dict[str, list[float]]:
    """Of the workers in MB, by app; '' for those of the addresses, which the shared apps have in common."""
    found: dict[str, list[float]] = {}
    [replica] = here.status()["replicas"]
    for group in (*replica["addresses"], *replica["pools"]):
        for slot in group["slots"].values():
            if "memory_bytes" in slot:
                for name in group.get("apps", [""]):
                    found.setdefault(name, []).append(slot["memory_bytes"] / 1e6)
    return found


def show(here: Stack, uses: dict[str, Use], first_s: dict[str, float]) -> None:
    apps, used = told(here), memory(here)
    print()
    for name in ALL:
        use = uses.get(name, Use(here.port, name, "", 1))
        where, tells = placement(here, name), about(here, name)
        which = "+".join(f"{one:.0f}" for one in used.get(name, used[""]))
        print(
            f"{name:12} {apps[name]['pool']:17} {where.concurrency:9} {where.environment[:8] or 'base':8} "
            f"Python {tells['python']:7} {tells['framework']:8} {which:>6} MB {first_s[name]:5.1f} s  "
            f"{len(use.steps) or 2:2} steps, {use.done:3} times; "
            f"{apps[name]['reason']}"
        )


def test_all_are_used_at_once_where_they_belong(here: Stack) -> None:
    uses = {name: Use(here.port, name, PAGES[name][0]) for name in PAGES}
    with contextlib.ExitStack() as running:
        for use in uses.values():
            running.enter_context(use.again())
        until(lambda: all(use.done >= 6 or use.wrong for use in uses.values()), 60, "six sessions at each")
    show(here, uses, here.first_200_s)  # type: ignore[attr-defined]
    assert [wrong for use in uses.values() for wrong in use.wrong] == []
    apps = told(here)
    for name, (_, version, pool, reason) in ALL.items():
        assert re.match(version, about(here, name)["framework"]), about(here, name)
        assert apps[name]["pool"].startswith(pool), apps[name]
        assert apps[name]["reason"].startswith(f"{name}: {reason}" if pool != "shared" else ""), apps[name]
        assert bool(apps[name]["reason"]) == (pool != "shared"), apps[name]


@pytest.mark.parametrize("name", ["async_flask", "async_django"])
def test_a_hundred_async_views_at_once(here: Stack, name: str) -> None:
    with ThreadPoolExecutor(100) as clients:
        began = time.monotonic()
        found = list(clients.map(lambda _: get(here.port, f"/{name}/", timeout_s=30), range(100)))
    print(f"{name}: 100 at once in {time.monotonic() - began:.1f} s; {placement(here, name)}")
    assert found == [(200, name.replace("_", " ").encode())] * 100
    assert placement(here, name).concurrency == "threads"


def test_another_python_is_used_and_one_that_is_not_there_is_told(here: Stack) -> None:
    major, minor = map(int, about(here, "newer")["python"].split(".")[:2])
    assert (major, minor) >= (3, 12)
    error = told(here)["never"]["error"]
    print(error)
    assert re.search(
        r"never: it needs Python >=3\.99 \(pyproject\.toml\); on this machine there is 3\.11\.[\d., ]+$", error
    )


def test_a_websocket_through_the_front(here: Stack) -> None:
    with socket.create_connection(("127.0.0.1", here.port), timeout=10) as sock:
        web = WSConnection(ConnectionType.CLIENT)
        sock.sendall(web.send(Request(host="localhost", target="/fastapi/echo")))
        heard: list[str] = []
        while len(heard) < 3:
            web.receive_data(sock.recv(4096))
            for event in web.events():
                if isinstance(event, TextMessage):
                    heard.append(event.data)
                assert isinstance(event, TextMessage | AcceptConnection), event
                sock.sendall(web.send(TextMessage(f"word {len(heard)}")))
    assert heard == [f"fastapi heard word {number}" for number in range(3)]


def test_new_releases_of_all_under_use_and_nobody_loses_a_request(here: Stack) -> None:
    uses = {name: Use(here.port, name, PAGES[name][0]) for name in PAGES}
    before = placed(here)
    with contextlib.ExitStack() as running:
        for use in uses.values():
            running.enter_context(use.again(1))
        for name in ALL:
            newer(here.apps / name)
        took = until(lambda: all(about(here, name)["version"] == "two" for name in ALL), 120, "all serve the next one")
        until(lambda: all(len(one) <= 2 for one in memory(here).values()), 60, "the earlier workers have gone")
    print(f"\n{took:.1f} s; sessions: { ({name: use.done for name, use in uses.items()}) }")
    assert [wrong for use in uses.values() for wrong in use.wrong] == []
    assert all(use.done for use in uses.values())
    assert placed(here) == before
    print(*(here.run("deploys", name).stdout for name in ALL))
    print(here.run("status").stdout)
