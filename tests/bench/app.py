"""The measured app: it does next to nothing, so that what is measured is the server. One callable, a path a shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

HELLO = b"Hello, world!"
PIECE = b"x" * 1024
PIECES = 4
READ_BYTES = 65_536


def of_length(body: bytes) -> App:
    """An app that answers these bytes, with their length."""
    fields = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    blocks = [body]

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", fields[:])
        return blocks

    return answer


def pieces(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """A generator without a length: the server must frame it."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for _ in range(PIECES):
        yield PIECE


def upload(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Reads the whole body in blocks of 64 KiB, and says how much it was."""
    left = total = int(environ["CONTENT_LENGTH"])
    read = environ["wsgi.input"].read
    while left > 0:
        block = read(min(left, READ_BYTES))
        if not block:
            break
        left -= len(block)
    body = b"%d of %d bytes" % (total - left, total)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


PATHS: dict[str, App] = {
    "/": of_length(HELLO),
    "/1k": of_length(PIECE),
    "/64k": of_length(b"x" * 2**16),
    "/10m": of_length(b"x" * 10 * 2**20),
    "/pieces": pieces,
    "/upload": upload,
}


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The WSGI callable."""
    return PATHS[environ["PATH_INFO"]](environ, start_response)
