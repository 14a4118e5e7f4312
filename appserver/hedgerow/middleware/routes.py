"""Other applications for some of the requests: by path and host with the router of the host, or by a field's value.

The longest prefix wins, by whole segments; a key `host/prefix` comes before one of every host. What is chosen finds
its prefix at the end of SCRIPT_NAME and the rest in PATH_INFO, so one Routes may stand in another. `GET /prefix` is
answered 308 to `/prefix/`. What nothing fits goes to the application that is wrapped, as it came.

The router wants the path as the client has sent it, percent-encoded: it is the part of REQUEST_URI or RAW_URI that
PATH_INFO was made of. A server that sets neither, or has rewritten the path since, has PATH_INFO encoded anew: then an
encoded slash in it has become one that separates segments. One that does not decode (Passenger) has it decoded here:
where both end alike with an escape in them, nobody has.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple, cast
from wsgiref.types import StartResponse, WSGIApplication

from ..hosting.mounts import Mount, Mounts, decode, encode, host_name
from ..options import REQUIRED, option
from .answer import Environ, text, whole

_CHARACTER = re.compile(r"%[0-9A-Fa-f]{2}|.", re.DOTALL)  # one of the decoded path
_PREFIX = re.compile(r"[!$-.0->@-~]+(?:/[!$-.0->@-~]+)*")  # segments without '"', '#', '?' and what is not printable


def _check_header(name: str) -> str | None:
    return None if re.fullmatch(r"[A-Za-z0-9-]*", name) else "the name of a header field is wanted"


def not_found(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """404: for a Routes that wraps nothing else."""
    return text(start_response, HTTPStatus.NOT_FOUND, "No application answers at this address.\n")


class _Mounted(NamedTuple):
    name: str
    mount: Mount
    application: WSGIApplication


@dataclass(eq=False)
class Routes:
    """Other applications for some of the requests, by path and host, or by the value of a field."""

    application: WSGIApplication
    table: Mapping[str, WSGIApplication | str] = option(
        REQUIRED, "what goes where: '/prefix', 'host/prefix' or 'host/', or a field's value; to 'module:name'"
    )
    header: str = option("", "field of the request whose whole value chooses instead of the path", _check_header)
    _mounts: Mounts = field(init=False, repr=False)
    _by_value: Mapping[str, WSGIApplication] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found = {key: _application(key, given) for key, given in self.table.items()}
        self._by_value = found
        self._mounts = Mounts(() if self.header else [_Mounted(key, _mount(key), one) for key, one in found.items()])
        for key in self._mounts.conflicts:
            raise ValueError(f"table: {key!r} is there twice, in two spellings")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if self.header:
            value = environ.get("HTTP_" + self.header.upper().replace("-", "_"), "")
            return self._by_value.get(value, self.application)(environ, start_response)
        route = self._mounts.route(raw_path(environ), environ.get("HTTP_HOST") or environ.get("SERVER_NAME", ""))
        if route is None:
            return self.application(environ, start_response)
        outer = environ.get("SCRIPT_NAME", "")
        redirect = route.redirect(environ["REQUEST_METHOD"], environ.get("QUERY_STRING", ""))
        if redirect is not None:
            location = "Location", encode(outer) + redirect.location
            return whole(start_response, HTTPStatus.PERMANENT_REDIRECT, b"", "text/plain", location)
        environ["SCRIPT_NAME"] = outer + route.script_name
        environ["PATH_INFO"] = route.path_info
        return cast("_Mounted", route.app).application(environ, start_response)


def raw_path(environ: Environ) -> str:
    """PATH_INFO as the client has sent it, or encoded anew (see above)."""
    path: str = environ.get("PATH_INFO", "")
    for name in ("REQUEST_URI", "RAW_URI"):
        sent = str(environ.get(name, "")).partition("?")[0]
        if "%" in path and path.isascii() and sent.endswith(path) and decode(path) != path:
            return path
        raw = _end(sent, len(path)) if "%" in sent else sent[max(0, len(sent) - len(path)) :]
        if raw[:1] == path[:1] and raw.isascii() and decode(raw) == path:
            return raw
    return encode(path)


def _end(raw: str, length: int) -> str:
    """The end of a raw path which is that long when it is decoded."""
    characters = _CHARACTER.findall(raw)
    return "".join(characters[max(0, len(characters) - length) :])


def _application(key: str, given: WSGIApplication | str) -> WSGIApplication:
    found: object = given
    if isinstance(given, str):
        module, colon, names = given.partition(":")
        if not colon or not all(map(str.isidentifier, [*module.split("."), *names.split(".")])):
            raise ValueError(f"table: {key!r}: {given!r} is not 'module:name'")
        found = functools.reduce(getattr, names.split("."), importlib.import_module(module))
    if not callable(found):
        raise ValueError(f"table: {key!r} leads to no callable but to a value of type {type(found).__name__}")
    return cast("WSGIApplication", found)


def _mount(key: str) -> Mount:
    host, slash, path = key.partition("/")
    if not slash or host_name(host) != host:
        raise ValueError(f"table: {key!r} is neither '/prefix' nor 'host/prefix', with the host lower-case and no port")
    if (path and not _PREFIX.fullmatch(path)) or not {".", ".."}.isdisjoint(path.split("/")):
        raise ValueError(f"table: {key!r} has an empty or a dot segment, ends with '/', or is not percent-encoded")
    return Mount(f"/{path}" if path else "", host)
