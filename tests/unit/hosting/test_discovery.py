from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hedgerow.errors import LoadError, UserError
from hedgerow.hosting.discovery import Entry, discover, find_entry, resolve_callable
from hedgerow.hosting.manifest import Manifest

MakeApp = Callable[..., Path]
APP = "def application(environ, start_response): ...\n"


def test_folders_are_apps_but_not_the_hidden_ones(tmp_path: Path) -> None:
    for name in ("b", "a", ".git", "_shared", "__pycache__", "ü"):
        (tmp_path / name).mkdir()
    (tmp_path / "file.py").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert [folder.name for folder in discover(tmp_path)] == ["a", "b", "link", "ü"]


def test_a_folder_of_apps_that_is_not_there_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        discover(tmp_path / "none")


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"app.py": APP}, "app.py"),
        ({"wsgi.py": APP, "main.py": APP}, "wsgi.py"),
        ({"main.py": APP, "passenger_wsgi.py": APP}, "main.py"),
        ({"passenger_wsgi.py": APP}, "passenger_wsgi.py"),
        ({"app.py": "x = 1", "wsgi.py": APP}, "wsgi.py"),
        ({"app.py": "import os\nfrom x import app"}, "app.py"),
        ({"app.py": "from x import *"}, "app.py"),
        ({"app.py": "class app: ..."}, "app.py"),
        ({"app.py": "a = app = 1"}, "app.py"),
        ({"app.py": "app: object = 1"}, "app.py"),
        ({"app.py": "if 1:\n  pass\nelse:\n  app = 1"}, "app.py"),
        ({"app.py": "try:\n  import x\nexcept ImportError:\n  app = 1"}, "app.py"),
        ({"app.py": "with x as app: pass"}, "app.py"),
        ({"app.py": "match 1:\n  case _:\n    app = 1"}, "app.py"),
        ({"app.py": "def f():\n  app = 1", "main.py": APP}, "main.py"),
        ({"app.py": "if 1:\n  def f():\n    app = 1", "main.py": APP}, "main.py"),
        ({"app.py": "this is no Python"}, "app.py"),
        ({"app.py": APP, "__init__.py": ""}, "app.py"),
        ({"main.py": APP, "__init__.py": "def create_app(): ..."}, "__init__.py"),
        ({"__init__.py": "from .site import application"}, "__init__.py"),
    ],
)
def test_the_entry_by_convention(make_app: MakeApp, files: dict[str, str], wanted: str) -> None:
    entry = find_entry(make_app("blog", files), Manifest())
    assert entry == Entry("" if wanted == "__init__.py" else wanted[:-3], ("application", "app", "create_app"), wanted)
    assert entry.is_package is (wanted == "__init__.py")


def test_a_projects_folder_has_its_package_inside(make_app: MakeApp) -> None:
    files = {"pyproject.toml": "", "blog/__init__.py": "def create_app(): ...", "tests/__init__.py": "app = 1"}
    entry = find_entry(make_app("project", files), Manifest())
    assert entry == Entry("blog", ("application", "app", "create_app"), "blog/__init__.py")


def test_a_django_project_has_its_entry_in_its_package(make_app: MakeApp) -> None:
    files = {"manage.py": "", "site/__init__.py": "", "site/wsgi.py": APP, "blog/__init__.py": "", "blog/views.py": ""}
    entry = find_entry(make_app("project", files), Manifest())
    assert entry == Entry("site.wsgi", ("application", "app", "create_app"), "site/wsgi.py")
    with pytest.raises(LoadError, match="no entry"):
        find_entry(make_app("two", {**files, "blog/wsgi.py": APP}), Manifest())


def test_of_two_packages_none_is_guessed(make_app: MakeApp) -> None:
    folder = make_app("project", dict.fromkeys(["blog/__init__.py", "shop/__init__.py"], "def create_app(): ..."))
    with pytest.raises(LoadError, match="no entry"):
        find_entry(folder, Manifest())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("site", Entry("site", ("application", "app", "create_app"), "site.py")),
        ("site:run", Entry("site", ("run",), "site.py")),
        ("site.py:run", Entry("site", ("run",), "site.py")),
        ("my-site.py:run", Entry("my-site", ("run",), "my-site.py")),
        ("pkg:run", Entry("pkg", ("run",), "pkg/__init__.py")),
        ("pkg.inner:a.b", Entry("pkg.inner", ("a.b",), "pkg/inner.py")),
        ("pkg/inner.py", Entry("pkg.inner", ("application", "app", "create_app"), "pkg/inner.py")),
        ("blog:make", Entry("", ("make",), "__init__.py")),
    ],
)
def test_the_entry_that_the_manifest_names(make_app: MakeApp, text: str, wanted: Entry) -> None:
    files = dict.fromkeys(["site.py", "my-site.py", "pkg/__init__.py", "pkg/inner.py", "__init__.py", "app.py"], APP)
    assert find_entry(make_app("blog", files), Manifest(entry=text)) == wanted


@pytest.mark.parametrize(
    ("files", "manifest", "sentence"),
    [
        (
            {"readme.txt": ""},
            Manifest(),
            "blog: no entry; looked for app.py, wsgi.py, main.py, passenger_wsgi.py and __init__.py "
            "with application, app or create_app, for a single package with one of them or with wsgi.py, "
            "for paste.ini, and for a key 'entry' in app.toml",
        ),
        (
            {"app.py": "x = 1", "main.py": ""},
            Manifest(),
            "blog: no application, app or create_app in app.py or main.py",
        ),
        (
            {"app.py": APP},
            Manifest(entry="site:run"),
            "blog/app.toml: entry = 'site:run': there is no site.py and no site/__init__.py",
        ),
    ],
)
def test_without_an_entry_it_is_said_what_was_looked_for(
    make_app: MakeApp, files: dict[str, str], manifest: Manifest, sentence: str
) -> None:
    with pytest.raises(LoadError) as caught:
        find_entry(make_app("blog", files), manifest)
    assert caught.value.sentence == sentence


def module_with(source: str) -> ModuleType:
    module = ModuleType("blog")
    exec(source, vars(module))  # noqa: S102
    return module


def resolved(source: str, *names: str) -> Any:
    return resolve_callable(
        module_with(source), Entry("app", names or ("application", "app", "create_app"), "app.py"), "blog/app.py"
    )


TWO = "def two(environ, start_response): return 'two'\n"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def application(environ, start_response): return 'two'", ()),
        ("class app:\n  def __new__(cls, environ, start_response): return 'two'", ()),
        ("class App:\n  def __call__(self, environ, start_response): return 'two'\napp = App()", ()),
        (TWO + "def create_app(): return two", ()),
        (TWO + "def create_app(config=None, debug=False): return two", ()),
        (TWO + "app = 'a module, say'\ncreate_app = lambda: two", ()),
        (TWO, ("two",)),
        (TWO + "def make(config=None): return two", ("make",)),
        (TWO + "class holder:\n  inner = staticmethod(two)", ("holder.inner",)),
        ("import functools\ndef f(x, environ, start_response): return x\napp = functools.partial(f, 'two')", ()),
    ],
)
def test_all_kinds_of_callable(source: str, names: tuple[str, ...]) -> None:
    assert resolved(source, *names)({}, None) == "two"


def test_a_factory_that_could_take_two_arguments_is_still_called_without() -> None:
    assert resolved("calls = []\ndef create_app(*args):\n  calls.append(args)\n  return lambda e, s: calls")(
        {}, None
    ) == [()]


@pytest.mark.parametrize(
    ("source", "names", "sentence"),
    [
        ("", (), "blog/app.py: no application or app or create_app"),
        ("", ("make",), "blog/app.py: no make"),
        ("app = 1", (), "blog/app.py: app is not callable, it is of type int"),
        ("app = 1\napplication = ''", (), "blog/app.py: application is not callable, it is of type str; app is not"),
        ("def create_app(): pass", (), "blog/app.py: create_app() returns no callable but a value of type NoneType"),
        ("async def app(s, r, t): pass", (), "blog/app.py: app is an ASGI application; a WSGI callable is wanted"),
        (
            "class A:\n  async def __call__(self, s, r, t): pass\ndef create_app(): return A()",
            (),
            "create_app() is an ASGI",
        ),
    ],
)
def test_what_is_no_callable_is_told_with_file_and_name(source: str, names: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(LoadError) as caught:
        resolved(source, *names)
    assert sentence in caught.value.sentence


def test_what_a_factory_raises_passes() -> None:
    with pytest.raises(ZeroDivisionError):
        resolved("def create_app(): 1 / 0")


@pytest.mark.parametrize("name", ["__init__.py", "app.py"])
def test_a_pipe_is_passed_over(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    (tmp_path / "main.py").write_text(APP)
    assert find_entry(tmp_path, Manifest()).file == "main.py"


def test_a_module_too_deep_to_look_through_is_left_to_its_import(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("if 1: pass\n" + "elif 2: pass\n" * 1500)
    assert find_entry(tmp_path, Manifest()).file == "app.py"
