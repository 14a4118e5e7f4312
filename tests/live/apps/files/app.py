"""Answers with files in the ways that WSGI and nginx know: one behaviour a path, below which is the file."""

import gzip
import os
from pathlib import Path
from urllib.parse import parse_qs

HERE = Path(__file__).parent


def application(environ, start_response):
    name, _, rest = environ["PATH_INFO"].lstrip("/").partition("/")
    return globals().get(f"do_{name}", missing)(environ, start_response, rest)


def missing(environ, start_response, rest):
    start_response("404 Not Here", [("Content-Type", "text/plain")])
    return [b"the app: " + environ["PATH_INFO"].encode("latin-1")]


def do_redirect(environ, start_response, rest):
    """?to: the value; ?more: a further field; ?status."""
    asked = parse_qs(environ["QUERY_STRING"], encoding="latin-1")
    headers = [("Content-Type", "text/x-own"), ("X-Accel-Redirect", asked["to"][0])]
    headers += [tuple(one.split(":", 1)) for one in asked.get("more", ())]
    start_response(asked.get("status", ["200 OK"])[0], headers)
    return [b""]


def do_late(environ, start_response, rest):
    """As a generator it says so when it is too late."""
    start_response("200 OK", [("X-Accel-Redirect", f"/data/{rest}")])
    yield b""


def do_wrapped(environ, start_response, rest):
    """?more: a further field; ?skip: bytes that are left out; ?kind: how it is opened; ?gone: it is deleted."""
    asked = parse_qs(environ["QUERY_STRING"])
    path = HERE / "data" / rest
    kind = asked.get("kind", [""])[0]
    opener = gzip.open if kind == "gzip" else open
    file = opener(path, "rb", **({"buffering": 0} if kind == "raw" else {}))
    file.seek(int(asked.get("skip", ["0"])[0]))
    if "gone" in asked:
        os.unlink(path)
    headers = [("Content-Type", "text/x-own")]
    headers += [tuple(one.split(":", 1)) for one in asked.get("more", ())]
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](file)
