"""The list `middleware` of app.toml: what is put around an app, in which order, and what is told when it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from wsgiref.util import setup_testing_defaults

import pytest

from hedgerow.errors import LoadError
from hedgerow.hosting.app import HostedApp
from hedgerow.hosting.layers import NAMES

Load = Callable[..., HostedApp]

APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ.get("passed", "nothing").encode()]
"""
# A middleware of the app's own, in a module whose name every app may have.
OWN = """
class Passed:
    def __init__(self, application, name="NAME", twice=False):
        self.application, self.name = application, name * (1 + twice)
    def __call__(self, environ, start_response):
        environ["passed"] = environ.get("passed", "") + self.name
        return self.application(environ, start_response)
def none(application):
    return None
def breaks(application):
    raise LookupError("no such table")
"""


def app(load: Load, manifest: str, name: str = "blog") -> HostedApp:
    files = {"own.py": OWN.replace("NAME", name), "style/page.xsl": "<a>\n</b>"}
    return load(name, {"app.py": APP, "app.toml": manifest, **files})


def ask(app: HostedApp, **environ: str) -> tuple[dict[str, str], bytes]:
    assert app.application is not None, app.error
    asked: dict[str, object] = {"PATH_INFO": "/", "REQUEST_METHOD": "GET", **environ}
    setup_testing_defaults(asked)
    told: list[tuple[str, str]] = []
    found = app.application(asked, lambda status, headers, exc_info=None: told.extend(headers))  # type: ignore[arg-type, func-returns-value]
    return dict(told), b"".join(found)


def error(app: HostedApp) -> LoadError:
    assert app.application is None
    assert app.error is not None
    return app.error


def test_the_first_of_the_list_sees_a_request_first(load: Load) -> None:
    found = app(
        load,
        """
        [[middleware]]
        use = "own:Passed"
        name = "a"
        [[middleware]]
        use = "request_id"
        header = "X-Trace"
        [[middleware]]
        use = "own:Passed"
        name = "b"
        twice = true
    """,
    )
    headers, body = ask(found, HTTP_X_TRACE="abc")
    assert body == b"abb"
    assert headers["X-Trace"] == "abc"


def test_each_app_has_its_own_module_of_a_name(load: Load) -> None:
    use = '[[middleware]]\nuse = "own:Passed"\n'
    one, two = app(load, use, "one"), app(load, use, "two")
    assert (ask(one)[1], ask(two)[1]) == (b"one", b"two")


def test_a_librarys_is_called_with_the_application_and_its_options(load: Load) -> None:
    proxy = '[[middleware]]\nuse = "werkzeug.middleware.proxy_fix:ProxyFix"\nx_prefix = 1\n'
    application = APP.replace('environ.get("passed", "nothing")', 'environ["SCRIPT_NAME"]')
    found = load("blog", {"app.py": application, "app.toml": proxy})
    assert ask(found, HTTP_X_FORWARDED_PREFIX="/x")[1] == b"/x"


def test_paths_are_in_the_apps_folder(load: Load) -> None:
    found = app(load, '[[middleware]]\nuse = "maintenance"\nfile = "down"\n')
    assert ask(found)[1] == b"nothing"
    (found.folder / "down").touch()
    assert ask(found)[0]["Retry-After"] == "120"


FILTER = """
from dataclasses import dataclass
from hedgerow.middleware.filters import Buffering

@dataclass(frozen=True, kw_only=True)
class Footer(Buffering):
    text: str

    def body(self, environ, body):
        return body + self.text.encode()
"""


def test_a_filter_of_the_apps_own_has_options_in_the_list(load: Load) -> None:
    use = '[[middleware]]\nuse = "own:Footer"\ntypes = ["text/*"]\nlimit = 100\ntext = " and more"\n'
    headers, body = ask(load("blog", {"app.py": APP, "own.py": FILTER, "app.toml": use}))
    assert (body, headers["Content-Length"]) == (b"nothing and more", "16")


WHERE, CORS = "blog/app.toml: middleware 1, ", 'use = "cors"\norigins = '
XSLT = 'use = "xslt"\nstylesheet = "'


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ('use = "corse"', f"{WHERE}corse: unknown; did you mean 'cors'?"),
        ('use = "qqq"', f"{WHERE}qqq: unknown; there is {', '.join(NAMES)}, or module:name of your own"),
        ('use = "cors"', f"{WHERE}cors: origins is missing: they may read, as https://shop.example; '*' for all"),
        ('use = "compress"\nlevel = 0', f"{WHERE}compress: level = 0: 1 to 9 are wanted"),
        ('use = "compress"\nlevl = 1', f"{WHERE}compress: unknown key 'levl': did you mean 'level'?"),
        (f'{CORS}["*"]\ncredentials = true', f"{WHERE}cors: credentials = true wants each origin named, not '*'"),
        ('use = "maintenance"\nfile = 3', f"{WHERE}maintenance: file = 3: a path is wanted"),
        (f'{XSLT}style/page.xsl"', f"{WHERE}xslt: page.xsl line 2: Opening and ending tag mismatch: a line 1 and b"),
        (f'{XSLT}gone.xsl"', f"{WHERE}xslt: gone.xsl: No such file or directory"),
        (f'{XSLT}x"\nquery = ["a b"]', f"{WHERE}xslt: query = ['a b']: 'a b' is no name of a parameter"),
        ('use = "own:Gone"', f"{WHERE}own:Gone: module '_hedgerow_app_blog.own' has no attribute 'Gone'"),
        ('use = "own:none"', f"{WHERE}own:none: it makes no callable but a value of type NoneType"),
        ('use = "own:breaks"', "blog/own.py line 11: LookupError: no such table"),
        ('use = "gone:Passed"', "blog/app.py: ModuleNotFoundError: No module named 'gone'"),
        ('name = "x"', "blog/app.toml: middleware = [{'name': 'x'}]: table 1 has no text `use`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(load: Load, table: str, sentence: str) -> None:
    assert error(app(load, f"[[middleware]]\n{table}\n")).sentence == sentence


def test_a_server_of_its_own_has_no_callable_to_wrap(load: Load) -> None:
    found = app(load, 'run = "python3 server.py {fd}"\n[[middleware]]\nuse = "compress"\n')
    assert error(found).sentence == (
        "blog/app.toml: middleware is for a WSGI callable, and the command of `run` has none"
    )


def test_routes_lead_to_other_callables_of_the_app(load: Load) -> None:
    found = load(
        "routing",
        {
            "app.py": APP,
            "admin.py": APP.replace('"nothing"', '"the admin at " + environ["SCRIPT_NAME"]'),
            "app.toml": '[[middleware]]\nuse = "routes"\ntable = {"/admin" = "admin:application"}\n',
        },
    )
    assert ask(found, PATH_INFO="/x")[1] == b"nothing"
    assert ask(found, PATH_INFO="/admin/x", SCRIPT_NAME="/routing")[1] == b"the admin at /routing/admin"
    wrong = load("misrouting", {"app.py": APP, "app.toml": '[[middleware]]\nuse = "routes"\ntable = {"/a" = 1}\n'})
    said = "middleware 1, routes: table: '/a' leads to no callable but to a value of type int"
    assert error(wrong).sentence == f"misrouting/app.toml: {said}"
