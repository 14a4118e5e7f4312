"""The ways in which code looks itself up by a string, in a real stack, with two apps of each that have the same names:
where each runs, why, and that it answers what is its own.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_support import Stack, get, stack, until
from name_ways import LIBRARY, WAYS, files

# What cannot work beside others; everything else must.
ALONE = {
    "sys.modules in a library": "NAME: a library looks for models in sys.modules, where only the app itself finds it",
    "pickle made elsewhere": "NAME: a library imports models, which only the app has, and does not find it",
    "chdir in passenger_wsgi.py": "NAME: its load has changed the working directory",
    "relative open": "NAME: NAME/app.py line 2 looks for word.txt in the working directory,",
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    library = tmp_path_factory.mktemp("library")
    (library / "looks_up.py").write_text(LIBRARY)
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH", ""), str(library))))
    with stack(workers=2, PYTHONPATH=path) as made:
        for way in WAYS:
            for name in names(way):
                lay(made.apps / name, files(way, name))
        yield made


def names(way: str) -> list[str]:
    return [re.sub(r"\W+", "_", way).strip("_") + f"_{which}" for which in "ab"]


def lay(folder: Path, content: dict[str, str]) -> None:
    for path, text in content.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def told(here: Stack) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in here.status()["apps"]}


def test_each_of_two_apps_finds_its_own_by_every_way(here: Stack) -> None:
    began = time.monotonic()
    here.up()
    every = [name for way in WAYS for name in names(way)]

    def are_up() -> bool:
        apps = told(here)
        return all(apps.get(name, {}).get("state") == "up" or apps.get(name, {}).get("error") for name in every)

    until(are_up, 60, "all are up or refused")
    took = time.monotonic() - began
    apps = told(here)
    right = dict.fromkeys(every, True)
    for _ in range(4):
        for name in every:
            right[name] &= get(here.port, f"/{name}/") == (200, name.encode())
    apps = told(here)
    for way in WAYS:
        for name in names(way):
            one = apps[name]
            print(
                f"{name:32} {one['pool']:7} {'right' if right[name] else 'WRONG'} {one['reason'] or one['error'] or ''}"
            )
    print(f"{took:.1f} s until all served")
    assert all(right.values())
    for way in WAYS:
        for name in names(way):
            reason = ALONE.get(way, "").replace("NAME", name)
            assert apps[name]["pool"] == ("own" if way in ALONE else "shared"), apps[name]
            assert apps[name]["reason"].startswith(reason), apps[name]
            assert bool(reason) == bool(apps[name]["reason"]), apps[name]
