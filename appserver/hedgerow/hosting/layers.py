"""What requests pass on their way to an app: the list `middleware` of its app.toml, put around its callable, the first
one outermost.

Ours are found by name, and their options checked as those of app.toml are; `module:name` is any other WSGI middleware,
of the app or of a library: called with the callable and its options. It is loaded with the app, so what is wrong with
it is known when the release is tried.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from wsgiref.types import WSGIApplication

from ..errors import LoadError
from ..options import nearest, read_values
from .manifest import FILE_NAME

# Those of ours: the module's name, and in it the class's.
NAMES = {
    "auth": "Auth",
    "compress": "Compress",
    "cors": "Cors",
    "forwarded": "Forwarded",
    "lint": "Lint",
    "maintenance": "Maintenance",
    "remote": "Remote",
    "request_id": "RequestId",
    "routes": "Routes",
    "session": "Session",
    "static": "Static",
    "websocket": "Websocket",
    "xslt": "Xslt",
}


def wrap(application: WSGIApplication, tables: Sequence[Mapping[str, Any]], folder: Path) -> WSGIApplication:
    """The callable with all of them around it. folder: the app's, to which paths in options are relative.

    Raises LoadError with file and place; what middleware of the app or of a library raises passes.
    """
    for number, table in reversed([*enumerate(tables, 1)]):
        where = f"{folder.name}/{FILE_NAME}: middleware {number}, {table['use']}"
        given = {key: value for key, value in table.items() if key != "use"}
        application = _layer(application, table["use"], given, folder, where)
    return application


def _layer(
    application: WSGIApplication, use: str, given: Mapping[str, Any], folder: Path, where: str
) -> WSGIApplication:
    if ":" in use:
        made = _other(use, where)(application, **given)
        if not callable(made):
            raise LoadError(f"{where}: it makes no callable but a value of type {type(made).__name__}")
        return cast("WSGIApplication", made)
    kind, mistakes = _ours(use, where), list[str]()
    values = read_values(kind, given, "", mistakes)
    if mistakes:
        raise LoadError(f"{where}: " + "; ".join(mistakes))
    paths = {key: folder / value for key, value in values.items() if isinstance(value, Path)}
    try:
        return cast("WSGIApplication", kind(application, **(values | paths)))
    except ValueError as error:
        raise LoadError(f"{where}: {error}") from error


def ours(use: str) -> type:
    """The class of one of ours. Raises ImportError if a library that it needs is not there."""
    return cast(type, getattr(importlib.import_module(f"hedgerow.middleware.{use}"), NAMES[use]))


def _ours(use: str, where: str) -> type:
    if use not in NAMES:
        near = nearest(use, NAMES)
        hint = f"did you mean {near!r}?" if near else f"there is {', '.join(NAMES)}, or module:name of your own"
        raise LoadError(f"{where}: unknown; {hint}")
    try:
        return ours(use)
    except ImportError as error:
        raise LoadError(f"{where}: it needs {error.name}, which is not installed where the app runs") from error


def _other(use: str, where: str) -> Any:
    module, _, names = use.partition(":")
    try:
        return functools.reduce(getattr, names.split("."), importlib.import_module(module))
    except AttributeError as error:
        raise LoadError(f"{where}: {error}") from error
