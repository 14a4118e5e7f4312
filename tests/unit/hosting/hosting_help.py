"""What the tests of hosting share: the fixture apps, and a request as a plain call in a copy of the app's context."""

from __future__ import annotations

from pathlib import Path
from wsgiref.util import setup_testing_defaults

from hedgerow.config import Settings
from hedgerow.hosting.app import HostedApp, load_app

FIXTURE_APPS = Path(__file__).parents[2] / "fixtureapps"


def load_fixture(name: str) -> HostedApp:
    return load_app(name, FIXTURE_APPS / name, Settings())


def get(app: HostedApp, path: str = "/") -> str:
    """The body that the app answers with 200."""
    assert app.error is None, app.error.traceback or app.error.sentence
    told = []

    def request() -> str:
        environ: dict[str, object] = {"PATH_INFO": path}
        setup_testing_defaults(environ)
        chunks = app.application(environ, lambda status, headers, exc_info=None: told.append(status))
        try:
            return b"".join(chunks).decode()
        finally:
            getattr(chunks, "close", lambda: None)()

    body = app.context.copy().run(request)
    assert told == ["200 OK"], body
    return body
