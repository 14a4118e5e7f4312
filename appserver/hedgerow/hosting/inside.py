"""An app's callable for servers that know nothing of apps: each request runs in a copy of the app's own context, from
the call to `close()`, so that its modules, variables and log settings are right in every thread and greenlet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import Context
from typing import Any, ParamSpec, TypeVar
from wsgiref.types import StartResponse

from . import missed
from .app import HostedApp

Given = ParamSpec("Given")
Found = TypeVar("Found")


class Inside:
    """The callable of an app that is up. What it raises is the server's to tell and to answer."""

    def __init__(self, app: HostedApp) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        context = self._app.context.copy()
        environ["hedgerow.app"] = self._app.name
        wrapper = environ.get("wsgi.file_wrapper")
        body = _run(context, self._app.application, environ, start_response)  # type: ignore[arg-type]  # it is up
        # Of the app nothing runs in these; and servers treat them in ways of their own.
        if type(body) in (list, tuple) or (isinstance(wrapper, type) and isinstance(body, wrapper)):
            return body
        return _Body(context, body)

    def __repr__(self) -> str:
        return f"<Inside {self._app!r}>"


class _Body:
    def __init__(self, context: Context, body: Iterable[bytes]) -> None:
        self._context = context
        self._body = body
        self._blocks: Iterator[bytes] = iter(())

    def __iter__(self) -> Iterator[bytes]:
        self._blocks = _run(self._context, iter, self._body)
        return self

    def __next__(self) -> bytes:
        return _run(self._context, self._blocks.__next__)

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            _run(self._context, close)


def _run(context: Context, call: Callable[Given, Found], *given: Given.args, **named: Given.kwargs) -> Found:
    try:
        return context.run(call, *given, **named)
    except StopIteration:
        raise
    except BaseException as error:
        context.run(missed.notice, error)
        raise
