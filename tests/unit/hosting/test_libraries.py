"""Which libraries an app's middleware and entry need: those that are imported, in the versions of the project."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest

import hedgerow
from hedgerow.hosting.layers import NAMES
from hedgerow.hosting.libraries import LIBRARIES, PASTE, needed
from hedgerow.hosting.manifest import Manifest, read_manifest

MIDDLEWARE = Path(hedgerow.__file__).parent / "middleware"
PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["dependencies"]
OF_EVERY_WORKER = {"httptools"}


def imported(path: Path, seen: set[Path]) -> set[str]:
    """The libraries that a module of middleware imports, by way of others of the folder too."""
    if path in seen:
        return set()
    seen.add(path)
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            places = [folder.with_suffix(".py"), *(folder / f"{alias.name}.py" for alias in node.names)]
            for place in places:
                if place.is_file() and place.is_relative_to(MIDDLEWARE):
                    found |= imported(place, seen)
    return found - sys.stdlib_module_names


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_it_imports(name: str) -> None:
    said = {LIBRARIES[name].partition(">=")[0]} if name in LIBRARIES else set()
    assert imported(MIDDLEWARE / f"{name}.py", set()) - OF_EVERY_WORKER == said


@pytest.mark.parametrize("library", [*LIBRARIES.values(), PASTE])
def test_the_versions_are_the_projects(library: str) -> None:
    assert library in PROJECT


def test_an_app_needs_what_its_list_and_its_entry_need(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("application = None\n")
    assert needed(tmp_path, Manifest()) == {}
    (tmp_path / "app.toml").write_text(
        "".join(f'[[middleware]]\nuse = "{use}"\n' for use in ("session", "cors", "own:Thing", "xslt", "session"))
    )
    assert needed(tmp_path, read_manifest(tmp_path)) == {
        'use = "session" in its app.toml': LIBRARIES["session"], 'use = "xslt" in its app.toml': LIBRARIES["xslt"]
    }  # fmt: skip


@pytest.mark.parametrize(("file", "toml"), [("paste.ini", ""), ("conf/web.ini", 'entry = "conf/web.ini#other"\n')])
def test_a_file_of_pastedeploy_needs_that(tmp_path: Path, file: str, toml: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("[app:main]\n")
    (tmp_path / "app.toml").write_text(toml)
    assert needed(tmp_path, read_manifest(tmp_path)) == {"its paste.ini": PASTE}
