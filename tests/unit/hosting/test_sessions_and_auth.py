"""Sessions and authorization in app.toml: keys and users from the app's own variables, a delegate of the app's own."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from hedgerow.config import Settings
from hedgerow.hosting.app import HostedApp, load_app
from hedgerow.middleware.credentials import password_entry

APP = """
def application(environ, start_response):
    session = environ.get("hedgerow.session", {})
    session["count"] = session.get("count", 0) + 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{session['count']} {environ.get('REMOTE_USER')}".encode()]

def may(environ, start_response):
    start_response("204 No Content" if environ.get("HTTP_X_KEY") == "NAME" else "403 No", [("Remote-User", "NAME")])
    return []
"""
SESSION = '[[middleware]]\nuse = "session"\n'
AUTH = '[[middleware]]\nuse = "auth"\n'
USERS, ENTRY = 'users = "USERS"\n', password_entry("anna", "horse", 16)
Load = Callable[..., HostedApp]


@pytest.fixture
def load(make_app: Callable[..., Path], tmp_path: Path) -> Load:
    def load(manifest: str, name: str = "shop", **secret: str) -> HostedApp:
        folder = make_app(name, {"app.py": APP.replace("NAME", name), "app.toml": manifest})
        (tmp_path / f"{name}.env").write_text("".join(f"{key}={value}\n" for key, value in secret.items()))
        return load_app(name, folder, Settings(secrets=tmp_path))

    return load


def ask(app: HostedApp, **environ: str) -> tuple[str, dict[str, str], bytes]:
    assert app.application is not None, app.error
    asked: dict[str, Any] = {"PATH_INFO": "/", "REQUEST_METHOD": "GET", **environ}
    setup_testing_defaults(asked)
    told: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        told.append((status, dict(headers)))

    body = b"".join(app.application(asked, start))
    return *told[-1], body


def sentence(app: HostedApp) -> str:
    assert app.application is None
    assert app.error is not None
    return app.error.sentence


def test_a_key_of_the_apps_secrets_opens_a_session_in_the_apps_data(load: Load) -> None:
    app = load(f'{SESSION}folder = "data/sessions"\n', SESSION_KEY="k" * 40)
    _, headers, body = ask(app)
    assert body == b"1 None"
    assert list((app.folder / "data" / "sessions").iterdir())
    assert ask(app, HTTP_COOKIE=headers["Set-Cookie"].partition(";")[0])[2] == b"2 None"


def test_another_app_does_not_find_the_key(load: Load) -> None:
    assert load(SESSION, "shop", SESSION_KEY="k" * 40).error is None
    told = sentence(load(SESSION, "blog", OTHER="k" * 40))
    assert told.startswith("blog/app.toml: middleware 1, session: key: the environment variable SESSION_KEY is not set")


def test_users_of_the_apps_secrets_come_in(load: Load) -> None:
    app = load(AUTH + USERS, USERS=ENTRY)
    given = "Basic " + base64.b64encode(b"anna:horse").decode()
    assert (ask(app)[0], ask(app, HTTP_AUTHORIZATION=given)[2]) == ("401 Unauthorized", b"1 anna")


def test_a_delegate_is_the_apps_own(load: Load) -> None:
    """Each app has its own module of the same name."""
    apps = {name: load(f'{AUTH}delegate = "app:may"\n', name) for name in ("shop", "blog")}
    for name, app in apps.items():
        assert ask(app, HTTP_X_KEY=name)[2] == f"1 {name}".encode()
        assert ask(app, HTTP_X_KEY="other")[0] == "403 Forbidden"


WHERE = "shop/app.toml: middleware 1, "


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (SESSION + "idle_s = 0", "session: idle_s = 0: 1 second to 366 days are wanted"),
        (SESSION + 'cookie = "a;b"', "session: cookie = 'a;b': a token is wanted"),
        (SESSION + 'same_site = "lax"', "session: same_site = 'lax': one of Strict, Lax, None is wanted"),
        (SESSION + "clock = 3", "session: unknown key 'clock': did you mean 'lock'?"),
        (AUTH, "auth: one of users, file and delegate is wanted"),
        (AUTH + USERS + 'paths = ["admin"]', "auth: paths = ['admin']: 'admin' does not start with '/'"),
        (AUTH + USERS + "schemes = []", "auth: schemes = []: a list of basic and bearer is wanted"),
        (AUTH + USERS + 'realm = "é"', "auth: realm = 'é': printable ASCII without quotes is wanted"),
        (AUTH + USERS + 'hand_on = ["a b"]', "auth: hand_on = ['a b']: 'a b' is no name of a field"),
        (AUTH + USERS + "tries = 0", "auth: tries = 0: 1 at least is wanted"),
        (
            AUTH + 'delegate = "app:gone"',
            "auth: delegate = 'app:gone': module '_hedgerow_app_shop.app' has no attribute",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(load: Load, table: str, told: str) -> None:
    assert sentence(load(table, SESSION_KEY="k" * 40, USERS=ENTRY)).startswith((WHERE + told).partition("did you")[0])
