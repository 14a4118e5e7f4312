"""`paste.ini` as the entry of an app: apps, composites, filters and pipelines, made of the app's own modules."""

from __future__ import annotations

import sys
from collections.abc import Callable
from wsgiref.util import setup_testing_defaults

import pytest

from hedgerow.hosting.app import HostedApp

Load = Callable[..., HostedApp]

INI = """
[DEFAULT]
shared = everybody's

[composite:main]
use = call:making:dispatch
/blog = blog
/ = front

[app:blog]
paste.app_factory = making:make
greeting = the blog of NAME

[app:front]
use = blog
set greeting = in DEFAULT
greeting = the front in %(here)s

[pipeline:piped]
pipeline = twice loud blog

[filter:twice]
paste.filter_factory = making:twice

[filter:loud]
use = call:making:loud
"""
MAKING = """
import models

def make(global_conf, greeting):
    def application(environ, start_response):
        import late
        start_response("200 OK", [("Content-Type", "text/plain")])
        return ["|".join((models.NAME, late.NAME, greeting, global_conf["shared"])).encode()]
    return application

def dispatch(loader, global_conf, **paths):
    apps = {path: loader.get_app(name, global_conf=global_conf) for path, name in paths.items()}
    return lambda environ, start_response: apps[environ["PATH_INFO"]](environ, start_response)

def twice(global_conf):
    return lambda app: lambda environ, start_response: [block * 2 for block in app(environ, start_response)]

def loud(global_conf):
    return lambda app: lambda environ, start_response: [block.upper() for block in app(environ, start_response)]
"""


def files(name: str, **more: str) -> dict[str, str]:
    named = f"NAME = {name!r}\n"
    own = {"paste.ini": INI.replace("NAME", name), "making.py": MAKING, "models.py": named, "late.py": named}
    return own | {file.replace("_", "."): text for file, text in more.items()}


def ask(app: HostedApp, path: str = "/") -> str:
    assert app.application is not None, app.error
    environ: dict[str, object] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    found = app.context.run(app.application, environ, lambda *_: lambda _: None)  # type: ignore[arg-type, return-value]
    return b"".join(found).decode()


def test_a_composite_of_the_apps_own_modules_beside_another_with_the_same_names(load: Load) -> None:
    one, two = load("ini_one", files("ini_one")), load("ini_two", files("ini_two"))
    for name, app in (("ini_one", one), ("ini_two", two)):
        assert ask(app, "/blog") == f"{name}|{name}|the blog of {name}|everybody's"
        assert ask(app) == f"{name}|{name}|the front in {app.folder}|everybody's"


def test_a_section_is_named_in_the_manifest(load: Load) -> None:
    app = load("ini_piped", files("ini_piped", app_toml='entry = "paste.ini#piped"\n'))
    assert ask(app) == "INI_PIPED|INI_PIPED|THE BLOG OF INI_PIPED|EVERYBODY'S" * 2
    plain = load("ini_deep", files("ini_deep") | {"app.toml": 'entry = "etc/site.ini"\n', "etc/site.ini": INI})
    assert ask(plain, "/blog") == "ini_deep|ini_deep|the blog of NAME|everybody's"


def test_a_file_of_python_comes_first(load: Load) -> None:
    app = load(
        "ini_beside", files("ini_beside", app_py="from making import make\napp = make({'shared': '-'}, 'code')\n")
    )
    assert ask(app) == "ini_beside|ini_beside|code|-"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"paste_ini": "[app:main]\npaste.app_factory = nowhere:make\n"}, "No module named 'nowhere'"),
        ({"paste_ini": "[app:other]\n"}, "No section 'main' (prefixed by 'app' or 'application'"),
        ({"paste_ini": "[app:main]\nuse = egg:no-such-thing\n"}, "No package metadata was found for no-such-thing"),
        ({"app_toml": 'entry = "other.ini"\n'}, "app.toml: entry = 'other.ini': there is no other.ini"),
        ({"app_toml": 'entry = "../paste.ini"\n'}, "it leaves the folder"),
        ({"app_toml": 'entry = "paste.ini#a#b"\n'}, "nor 'paste.ini#name'"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(more: dict[str, str], sentence: str, load: Load) -> None:
    app = load("ini_wrong", files("ini_wrong", **more))
    assert app.error is not None
    assert sentence in app.error.sentence
    assert app.error.sentence.startswith("ini_wrong/")


def test_without_the_library_it_is_named(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paste.deploy", None)
    app = load("ini_bare", files("ini_bare"))
    assert app.error is not None
    assert app.error.sentence == "ini_bare/paste.ini: it needs PasteDeploy, which is not installed where the app runs"
