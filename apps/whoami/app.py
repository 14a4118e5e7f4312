"""Who served this request, and what did the server hand over?

A WSGI app knows nothing of the web server before it but what stands in `environ`. This one shows what that tells of the
way of a request: browser, front, address, slot, worker, greenlet. The keys that begin with `hedgerow.` are extras of
one server; PEP 3333 allows a server to add its own, and an app must do without them: here they are then "not told".
The same facts come as HTML and, with `Accept: application/json` or `?format=json`, as JSON; `?format=environ` is
environ itself, a line for each key.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

PAGE = Template(Path(__file__).with_name("page.html").read_text("utf-8"))
NOT_TOLD = "not told"

# How keys begin that tell of a request. Some servers add the variables of their process: nobody else's business.
REQUEST = (
    *("REQUEST_", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "RAW_URI", "CONTENT_", "HTTP_", "SERVER_", "REMOTE_"),
    *("wsgi.", "hedgerow."),
)
# The name of a fact, the key of environ that tells it, and what it means.
FACTS = [
    ("front", "hedgerow.front", "the nginx that took the request"),
    ("replica", "hedgerow.replica", "the app server it chose"),
    ("address", "hedgerow.address", "the listening socket of that app server"),
    ("slot", "hedgerow.slot", "which of the two process places behind the address"),
    ("worker", "hedgerow.worker", "the process in the slot"),
    ("app", "hedgerow.app", "the folder that this app lives in"),
    ("request_id", "hedgerow.request_id", "made by the front, written in every log"),
    ("script_name", "SCRIPT_NAME", "where the app is mounted"),
    ("path_info", "PATH_INFO", "the rest of the path: the app's own"),
    ("query_string", "QUERY_STRING", "what followed the question mark"),
    ("request_uri", "REQUEST_URI", "the target as the client wrote it"),
    ("method", "REQUEST_METHOD", "what the client wants done"),
    ("protocol", "SERVER_PROTOCOL", "what the front spoke with the app server"),
    ("scheme", "wsgi.url_scheme", "what the browser spoke with the front"),
    ("host", "HTTP_HOST", "the name the browser asked for"),
    ("client", "REMOTE_ADDR", "who asked, as far as the server believes it"),
    ("forwarded_for", "HTTP_X_FORWARDED_FOR", "who asked, as the front says"),
    ("server", "SERVER_SOFTWARE", "the program that called this app"),
]


def facts(environ: WSGIEnvironment) -> dict[str, str]:
    told = {name: _text(environ[key]) if key in environ else NOT_TOLD for name, key, _ in FACTS}
    if told["worker"] == NOT_TOLD:
        told["worker"] = str(os.getpid())  # this much a process knows about itself
    told["greenlet"] = _flow()
    return told


def _text(value: object) -> str:
    """PEP 3333 hands over bytes as Latin-1; browsers send UTF-8."""
    return str(value).encode("latin-1", "replace").decode("utf-8", "replace")


def _flow() -> str:
    """What runs this call: a greenlet if the server uses them, else a thread. Asked without importing any of them."""
    module = sys.modules.get("greenlet")
    current = module.getcurrent() if module else None
    if current is None or current.parent is None:
        return f"thread {threading.get_native_id()}"
    return f"greenlet {id(current) // 16 & 0xFFFFFF:06x}"


def wanted_format(environ: WSGIEnvironment) -> str:
    wanted = parse_qs(environ.get("QUERY_STRING", "")).get("format")
    if wanted:
        return wanted[-1]
    accepted: str = environ.get("HTTP_ACCEPT", "").lower()
    return "json" if "application/json" in accepted and "text/html" not in accepted else "html"


def _lines(environ: WSGIEnvironment) -> str:
    """environ as it is. Texts and numbers are shown; of a stream or a function only what it is."""
    return "".join(
        f"{key} = {value!r}\n" if isinstance(value, str | int | tuple) else f"{key}: {type(value).__name__}\n"
        for key, value in sorted(environ.items())
        if key.startswith(REQUEST)
    )


def _html(told: dict[str, str]) -> str:
    meanings = {name: meaning for name, _, meaning in FACTS} | {"greenlet": "what ran this call; it is used again"}
    row = "<tr><th scope=row>{}</th><td{}>{}</td><td>{}</td></tr>"
    rows = "\n".join(
        row.format(name, _dim(value), escape(value), escape(meanings[name])) for name, value in told.items()
    )
    shown = {name: f"<b{_dim(value)}>{escape(value or '(empty)')}</b>" for name, value in told.items()}
    return PAGE.substitute(shown, rows=rows)


def _dim(value: str) -> str:
    return ' class="dim"' if value == NOT_TOLD else ""


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    match wanted_format(environ):
        case "json":
            kind, text = "application/json", json.dumps(facts(environ), indent=2, ensure_ascii=False) + "\n"
        case "environ":
            kind, text = "text/plain; charset=utf-8", _lines(environ)
        case _:
            kind, text = "text/html; charset=utf-8", _html(facts(environ))
    body = text.encode()
    headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
    start_response("200 OK", [*headers, ("Cache-Control", "no-store"), ("Vary", "Accept")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
