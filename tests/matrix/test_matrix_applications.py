"""Each application of the matrix, unchanged, in a real stack that installs what it requires: a session with it, and
sessions with two of them at once, of which neither may see the other's.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from applications import APPLICATIONS, BY_FOLDER, Application
from control_support import Stack, get, stack, until
from matrix_record import GOOD, Row, keep, kept
from sessions import Wrong, session

from neighbours import lay_as

# Their environments are made in seconds.
LIGHT = ("function", "cherrypy", "webpy", "quixote", "turbogears", "paste_urlparser")
SESSION, TWO = "on hedgerow", "two side by side"
SECOND = "_b"


@dataclass
class Deployed:
    """What has come of the apps that were laid. errors: '' of who is served; told: by the stack."""

    here: Stack
    errors: dict[str, str] = field(default_factory=dict)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)

    def look(self, names: Iterable[str]) -> bool:
        """Whether each of them is served, or cannot be."""
        self.told = {one["name"]: one for one in self.here.status()["apps"]}
        missing = set(names)
        for name in missing & self.told.keys():
            one = self.told[name]
            if one["error"]:
                self.errors[name] = one["error"]
            elif one["state"] == "up" and one["mount"] and get(self.here.port, f"/{name}/", timeout_s=20)[0] == 200:
                self.errors[name] = ""
        return self.errors.keys() >= missing

    def place(self, name: str) -> str:
        """Where it runs, in a sentence."""
        one = self.told[name]
        if one["pool"] == "shared":
            return "It shares its process with other apps."
        return f"It gets a pool of its own: {one['reason'].removeprefix(f'{name}: ')}."

    def version(self, name: str, distribution: str) -> str:
        if distribution:
            found = next(self.here.state.glob(f"environments/*/lib/*/site-packages/{distribution}-*.dist-info"))
            return found.stem.rpartition("-")[2]
        return str(json.loads(get(self.here.port, f"/{name}/about", timeout_s=20)[1])["framework"])

    def used(self, folder: str, *names: str) -> str:
        """GOOD, or what went wrong in sessions with all of them, a step of each in turn; with words that are the same,
        since an app that saw what was said to another would count it too.
        """
        if told := next(filter(None, (self.errors[name] for name in names)), ""):
            return told
        mark = f"{'+'.join(names)} {time.monotonic()}"
        try:
            for _ in zip(*(session(self.here.port, name, folder, mark) for name in names), strict=True):
                pass
        except (Wrong, OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        return GOOD


def deployed(here: Stack, names: dict[str, str], limit_s: float) -> Deployed:
    """names: app → folder."""
    for name, folder in names.items():
        lay_as(here.apps, name, folder)
    here.up()
    found = Deployed(here)
    until(lambda: found.look(names), limit_s, f"{list(names)} are served or have failed")
    return found


def cells(app: Application, found: Deployed) -> dict[str, str]:
    """Of an app and its second."""
    names = app.folder, app.folder + SECOND
    two = found.used(app.folder, *names)
    if two == GOOD and app.alone:
        shared = [name for name in names if found.told[name]["pool"] == "shared"]
        two = f"{shared} share a process, which can have one only" if shared else GOOD
    return {SESSION: found.used(app.folder, app.folder), TWO: two}


def test_the_light_ones_are_as_the_matrix_says() -> None:
    rows = kept("applications")
    with stack(workers=1) as here:
        names = {folder + more: folder for folder in LIGHT for more in ("", SECOND)}
        found = deployed(here, names, 100)
        for folder in LIGHT:
            row = rows[BY_FOLDER[folder].title]
            assert cells(BY_FOLDER[folder], found) == row.cells, (folder, here.run("logs", folder).stdout[-3000:])
            assert row.note.endswith(found.place(folder))


def test_the_matrix_has_a_row_for_each() -> None:
    assert set(kept("applications")) == {app.title for app in APPLICATIONS}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("folder", BY_FOLDER)
def test_a_row(folder: str) -> None:
    app = BY_FOLDER[folder]
    with stack(workers=1) as here:
        found = deployed(here, {folder: folder, folder + SECOND: folder}, 200)
        tried = cells(app, found)
        print(here.run("status").stdout, here.run("logs", folder).stdout[-3000:])
        where = "" if found.errors[folder] else found.place(folder)
        version = "" if found.errors[folder] else found.version(folder, app.distribution)
        keep("applications", Row(app.title, version, tried, " ".join(filter(None, (app.note, where)))))
    assert set(tried.values()) == {GOOD}
