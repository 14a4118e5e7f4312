"""A whole stack of middleware around one app with a page for each thing that servers may do differently. It is asked
the same under each of them.

FOLDER: where its files are; UPSTREAM: the server that `remote` sends to.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from hedgerow.middleware.answer import Environ, Headers, changed
from hedgerow.middleware.auth import Auth
from hedgerow.middleware.compress import Compress
from hedgerow.middleware.cors import Cors
from hedgerow.middleware.filters import Buffering, Streaming
from hedgerow.middleware.forwarded import Forwarded
from hedgerow.middleware.lint import Lint
from hedgerow.middleware.maintenance import Maintenance
from hedgerow.middleware.remote import Remote
from hedgerow.middleware.request_id import RequestId
from hedgerow.middleware.routes import Routes
from hedgerow.middleware.session import Session
from hedgerow.middleware.static import Static
from hedgerow.middleware.xslt import Xslt

FOLDER = Path(os.environ["FOLDER"])
PLAIN = ("Content-Type", "text/plain; charset=utf-8")
TOLD = (
    "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "SERVER_PROTOCOL", "REMOTE_ADDR",
    "REMOTE_USER", "AUTH_TYPE", "HTTP_HOST", "HTTP_X_REQUEST_ID", "HTTP_AUTHORIZATION", "HTTP_X_FORWARDED_FOR",
    "HTTP_FORWARDED", "HTTP_X_LATIN", "wsgi.url_scheme",
)  # fmt: skip


# --- the app ----------------------------------------------------------------------------------------------------------


def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
    page: Callable[..., Iterable[bytes]] = PAGES.get(environ["PATH_INFO"][1:].partition("/")[0], tell)
    return page(environ, start_response)


def tell(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """What has come, body included; it reads as much as there is."""
    digest, size = hashlib.sha256(), 0
    left = int(environ.get("CONTENT_LENGTH") or (-1 if environ.get("wsgi.input_terminated") else 0))
    while left and (block := environ["wsgi.input"].read(65_536 if left < 0 else min(left, 65_536))):
        digest.update(block)
        size, left = size + len(block), left - len(block)
    told = {name: environ.get(name) or "" for name in TOLD}
    body = json.dumps(told | {"long": len(environ.get("HTTP_X_LONG", "")), "body": [size, digest.hexdigest()]}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def stream(environ: Environ, start_response: Any) -> Iterator[bytes]:
    """It begins with its first block, and has empty ones."""
    start_response("200 OK", [PLAIN, ("X-Late", "yes")])
    for number in range(5):
        yield b"%d;" % number if number % 2 else b""


def blocks(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [PLAIN, ("ETag", '"strong"')])
    return (b"block %d\n" % number * 100 for number in range(10))


def write(environ: Environ, start_response: Any) -> Iterable[bytes]:
    send = start_response("200 OK", [PLAIN])
    send(b"by write, ")
    send(b"")
    send(b"twice, ")
    return [b"then by return"]


def file(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """The server's own way, if it has one."""
    body = b"0123456789" * 3000
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    wrap = environ.get("wsgi.file_wrapper")
    return wrap(BytesIO(body), 4096) if wrap else [body]  # type: ignore[no-any-return]


def head(status: str, *headers: tuple[str, str], body: bytes = b"") -> Callable[..., Iterable[bytes]]:
    def page(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(status, list(headers))
        return [body] if body else []

    return page


def replaced(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """An error before anything is sent: another head instead."""
    start_response("200 OK", [PLAIN, ("X-Gone", "yes")])
    try:
        raise ValueError("as it happens")
    except ValueError:
        start_response("503 In A While", [PLAIN, ("X-Instead", "yes")], sys.exc_info())
    return [b"instead"]


def raising(environ: Environ, start_response: Any) -> Iterable[bytes]:
    raise ValueError("nobody catches it")


def visits(environ: Environ, start_response: Any) -> Iterable[bytes]:
    session = environ["hedgerow.session"]
    if environ["PATH_INFO"].endswith("/out"):
        session.clear()
    else:
        session["count"] = session.get("count", 0) + 1
    start_response("200 OK", [PLAIN])
    return [f"visit {session.get('count')}".encode()]


def document(environ: Environ, start_response: Any) -> Iterable[bytes]:
    good = b"<plants><plant>Hazel</plant><plant>Blackthorn</plant></plants>"
    start_response("200 OK", [("Content-Type", "application/xml"), ("ETag", '"xml"')])
    return [good[:20], good[20:] if "broken" not in environ["PATH_INFO"] else b""]


LONG = tuple((f"X-Long-{number}", "l" * 900) for number in range(4))
COOKIES = tuple(("Set-Cookie", f"{name}={name * 3}; Path=/") for name in ("second", "first", "second"))
PAGES: dict[str, Callable[..., Iterable[bytes]]] = {
    "stream": stream,
    "blocks": blocks,
    "write": write,
    "file": file,
    "replaced": replaced,
    "raising": raising,
    "visits": visits,
    "xml": document,
    "204": head("204 No Content", ("ETag", '"none"')),
    "304": head("304 Not Modified", ("ETag", '"same"'), ("Vary", "Accept")),
    "206": head("206 Partial Content", PLAIN, ("Content-Range", "bytes 0-2/10"), ("Content-Length", "3"), body=b"abc"),
    "299": head("299 A Status Of Ours", PLAIN, ("Content-Length", "4"), body=b"mine"),
    "418": head("418 Short And Stout", PLAIN, ("Content-Length", "0")),
    "303": head("303 See Other", PLAIN, ("Location", "../there?a=b#c"), ("Content-Length", "0")),
    "500": head("500 Internal Server Error", PLAIN, ("Content-Length", "6"), body=b"broken"),
    "empty": head("200 OK", PLAIN, ("Content-Length", "0")),
    "nothing": head("200 OK", PLAIN),
    "bare": head("200 OK", ("Content-Length", "4"), body=b"bare"),
    "cookies": head("200 OK", PLAIN, *COOKIES, ("Link", "</a>"), ("Link", "</b>"), body=b"crumbs"),
    "long": head("200 OK", PLAIN, *LONG, body=b"long"),
    "latin": head("200 OK", PLAIN, ("X-Latin", "caf\xe9 \xfc"), ("X-Empty", ""), ("x-lower", " a  b "), body=b"latin"),
    "loud": head("200 OK", ("Content-Type", "text/x-loud"), ("Content-Length", "5"), ("ETag", '"l"'), body=b"quiet"),
    "foot": head("200 OK", ("Content-Type", "text/x-foot"), ("ETag", '"f"'), ("Accept-Ranges", "bytes"), body=b"page"),
    "large": head("200 OK", ("Content-Type", "text/x-foot"), ("Content-Length", "60000"), body=b"b" * 60_000),
    "own": head("200 OK", PLAIN, ("Content-Encoding", "gzip"), ("Content-Length", "600"), body=b"g" * 600),
}


# --- its middleware ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Footer(Buffering):
    def body(self, environ: Environ, body: bytes) -> bytes:
        return body + b" and its foot"


class _Upper:
    def block(self, block: bytes) -> bytes:
        return block.upper()

    def end(self) -> bytes:
        return b"!"


@dataclass(frozen=True, kw_only=True)
class Louder(Streaming):
    def stage(self, headers: Headers) -> _Upper:
        return _Upper()


@dataclass(frozen=True)
class Telling:
    """Tells in one more field which ones it hands to the server: of the others none is ours."""

    application: Any

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        def name(status: str, headers: Headers) -> tuple[str, Headers]:
            return status, [*headers, ("X-Set-By-Ours", ",".join(dict.fromkeys(key.lower() for key, _ in headers)))]

        return self.application(environ, changed(start_response, name))  # type: ignore[no-any-return]


layers: Any = application
for layer, options in reversed((
    (Telling, {}),
    (RequestId, {}),
    (Forwarded, {"host": True, "prefix": True}),
    (Cors, {"origins": ("https://shop.example",), "credentials": True, "expose": ("X-Late",)}),
    (Maintenance, {"file": FOLDER / "down", "allow": ("/tell",)}),
    (Compress, {"minimum": 100}),
    (Louder, {"types": ("text/x-loud",)}),
    (Footer, {"types": ("text/x-foot",), "limit": 50_000}),
    (Xslt, {"stylesheet": FOLDER / "page.xsl", "query": ("title",)}),
    (Session, {"folder": FOLDER / "sessions"}),
    (Auth, {"users": "USERS", "paths": ("/guarded",), "open": ("/guarded/open",)}),
    (Routes, {"table": {"/sub": application, "/sub/deeper": application, "other.example/x": application}}),
    (Static, {"folder": FOLDER / "static", "path": "/static", "index": True, "immutable": r"\.[0-9a-f]{8}\."}),
    (Remote, {"upstreams": (os.environ["UPSTREAM"],), "paths": ("/remote",), "strip_path": True}),
    (Lint, {"every": 1}),
)):  # fmt: skip
    layers = layer(layers, **options)
stack = layers
