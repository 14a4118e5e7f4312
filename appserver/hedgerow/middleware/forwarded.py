"""Who the client is, when one trusted proxy stands in between: its X-Forwarded-* replace what the connection says.

The proxy must overwrite these headers, never append to what a client sent; ours does (nginx/snippets). Where no
trusted proxy stands in front, this middleware is not used and the headers mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


class Forwarded:
    """Wraps one application. X-Forwarded-For becomes REMOTE_ADDR, -Proto wsgi.url_scheme, -Port SERVER_PORT."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "HTTP_X_FORWARDED_FOR" in environ:
            environ["REMOTE_ADDR"] = environ["HTTP_X_FORWARDED_FOR"]
            environ.pop("REMOTE_PORT", None)  # it was the proxy's
        if "HTTP_X_FORWARDED_PROTO" in environ:
            environ["wsgi.url_scheme"] = environ["HTTP_X_FORWARDED_PROTO"]
        if "HTTP_X_FORWARDED_PORT" in environ:
            environ["SERVER_PORT"] = environ["HTTP_X_FORWARDED_PORT"]
        return self._application(environ, start_response)
