from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hosting_help import FIXTURE_APPS, get, load_fixture
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.hosting.app import HostedApp
from hedgerow.hosting.imports import install
from hedgerow.hosting.space import PREFIX, Space, current_app, mangle

Load = Callable[..., HostedApp]

NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1)


@given(NAMES, NAMES)
def test_mangling_is_injective_and_makes_an_identifier(one: str, other: str) -> None:
    """Two folders never share a package, and a package's name has no dot in it."""
    assert (mangle(one) == mangle(other)) is (one == other)
    assert (PREFIX + mangle(one)).isidentifier()


@pytest.mark.parametrize(
    ("name", "mangled"),
    [
        ("blog", "blog"),
        ("my-app", "my_2dapp"),
        ("my_app", "my__app"),
        ("é", "_c3_a9"),
        ("a.b", "a_2eb"),
        ("2", "2"),
        ("_2d", "__2d"),
    ],
)
def test_mangled_names(name: str, mangled: str) -> None:
    assert mangle(name) == mangled


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("function", "function\n"),
        ("class_iterated", "class\n"),
        ("instance_called", "instance\n"),
        ("factory", "factory\n"),
        ("package_factory", "package factory\n"),
        ("passed_over_file", "wsgi.py\n"),
        ("named_entry", "named\n"),
        ("lazy_imports", "value deep value-deep\n"),
        ("named_like_stdlib", "own\n"),
        ("uses_stdlib_name", "28\n"),
        ("named_like_installed", "own\n"),
        ("main_block", "hosted\n"),
    ],
)
def test_an_app_of_this_shape_answers(name: str, body: str) -> None:
    assert get(load_fixture(name)) == body


def test_nothing_is_written_into_the_folder_and_no_bytecode_of_it_is_believed(load: Load, tmp_path: Path) -> None:
    answer = "def application(e, s):\n  s('200 OK', [])\n  return [WORD]\n"
    app = load("plain", {"app.py": "from word import WORD\n" + answer, "word.py": "WORD = b'new'"})
    assert get(app) == "new"
    assert sorted(path.name for path in (tmp_path / "apps" / "plain").rglob("*")) == ["app.py", "word.py"]


def test_a_top_level_name_of_an_app_is_nobody_elses(load: Load) -> None:
    load("owner", {"app.py": "import only_mine\napp = print", "only_mine.py": ""})
    assert "only_mine" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("only_mine")


@pytest.mark.parametrize("name", ["my-app", "my_app", "my app", "größe", "2048"])
def test_a_folder_of_any_name_is_an_app(load: Load, name: str) -> None:
    source = "import word\ndef application(e, s):\n  s('200 OK', [])\n  return [word.WORD]\n"
    assert get(load(name, {"app.py": source, "word.py": f"WORD = {name.encode()!r}"})) == name


def test_the_package_has_the_origin_of_its_folder_with_and_without_init(make_app: Callable[..., Path]) -> None:
    install()
    for name, files in (("bare", {"x.py": ""}), ("real", {"__init__.py": "WORD = 1"})):
        space = Space(name, make_app(name, files))
        spec = importlib.import_module(space.package).__spec__
        assert spec is not None
        assert spec.origin == str(space.folder / "__init__.py")
        assert spec.submodule_search_locations == [str(space.folder)]


def test_own_names_follow_the_order_of_a_script_beside_its_modules(make_app: Callable[..., Path]) -> None:
    files = [
        "models.py",
        "json.py",
        "sys.py",
        "os.py",
        "flask/__init__.py",
        "email/readme.txt",
        "parts/x.py",
        "a.txt",
        "__init__.py",
    ]
    space = Space("order", make_app("order", dict.fromkeys(files, "")))
    package = space.package
    wanted = {
        "models": f"{package}.models",
        "models.x": f"{package}.models.x",
        "json": f"{package}.json",  # before the standard one
        "flask": f"{package}.flask",  # before the installed one
        "parts": f"{package}.parts",  # a folder without __init__.py counts if nothing else has the name
        "email": None,  # and here something has it
        "sys": None,  # builtin and frozen modules come before the path
        "os": None,
        "a": None,
        "order": package,
        "nothing": None,
    }
    assert {name: space.own(name) for name in wanted} == wanted


def test_in_a_package_an_absolute_name_is_own_only_if_nothing_else_has_it(make_app: Callable[..., Path]) -> None:
    space = Space(
        "site1", make_app("site1", {"__init__.py": "", "json.py": "", "flask.py": "", "models.py": ""}), packaged=True
    )
    assert [space.own(name) for name in ("json", "flask", "models", "site1.json")] == [
        None,
        None,
        f"{space.package}.models",
        f"{space.package}.json",
    ]


def test_a_newer_space_of_the_same_name_starts_afresh(make_app: Callable[..., Path]) -> None:
    install()
    folder = make_app("again", {"word.py": "WORD = 1"})
    first = importlib.import_module(Space("again", folder).package + ".word")
    (folder / "word.py").write_text("WORD = 2")
    assert importlib.import_module(Space("again", folder).package + ".word") is not first


@pytest.mark.parametrize("look", ["__import__('word').WORD", "werkzeug.utils.import_string('word.WORD')"])
def test_a_native_thread_stays_in_the_space_of_who_starts_it(load: Load, look: str) -> None:
    source = "import threading, werkzeug.utils\ndef application(e, s):\n  got = []\n"
    source += f"  t = threading.Thread(target=lambda: got.append({look}))\n  t.start(); t.join()\n"
    source += "  s('200 OK', [])\n  return got\n"
    assert get(load("threaded", {"app.py": source, "word.py": "WORD = b'own'"})) == "own"


def test_a_thread_inherits_the_app_and_nothing_of_the_request(load: Load) -> None:
    source = "import contextvars, threading\nvar = contextvars.ContextVar('v', default=b'unset')\n"
    source += "def application(e, s):\n  got = []\n  var.set(b'a request')\n"
    source += "  t = threading.Thread(target=lambda: got.append(var.get()))\n  t.start(); t.join()\n"
    source += "  s('200 OK', [])\n  return got\n"
    assert get(load("inheriting", {"app.py": source})) == "unset"


def test_requests_and_apps_do_not_see_each_others_context_variables(load: Load) -> None:
    source = "import contextvars\nvar = contextvars.ContextVar('v', default=b'unset')\nvar.set(b'at load')\n"
    source += "def application(e, s):\n  s('200 OK', [])\n  old = var.get()\n  var.set(b'a request')\n  return [old]\n"
    app = load("variables", {"app.py": source})
    assert [get(app), get(app)] == ["at load", "at load"]
    assert current_app.get() is None


def test_fixture_apps_are_left_without_bytecode() -> None:
    assert [path for path in FIXTURE_APPS.rglob("*") if path.suffix == ".pyc"] == []
    assert os.access(FIXTURE_APPS, os.W_OK)  # otherwise this says nothing


def test_install_does_its_work_once() -> None:
    install()
    before = (importlib.import_module, __builtins__["__import__"], list(sys.meta_path))
    install()
    assert before == (importlib.import_module, __builtins__["__import__"], list(sys.meta_path))
