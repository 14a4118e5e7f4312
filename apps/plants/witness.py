"""Middleware in a dozen lines: it writes on each answer that passes in what shape it came by.

To the server it is the app, since it is called with environ and start_response; to the app it is the server, since it
calls. It imports nothing, so it runs in front of any app, under any server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def witness(application: WSGIApplication, *, place: str) -> WSGIApplication:
    """The application, and a field more in its answers: where this stood, and what passed."""

    def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *error: object) -> Callable[[bytes], object]:
            kind = next((value for name, value in headers if name.lower() == "content-type"), "nothing")
            return start_response(status, [*headers, ("X-Witness", f"{place}: {kind}")], *error)

        return application(environ, start)

    return wrapped
