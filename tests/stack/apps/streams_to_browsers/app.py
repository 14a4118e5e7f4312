"""A page whose script uses what a browser has for streams: WebSocket, EventSource, and an upload with progress."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

PAGE = Path(__file__).parent / "page.html"
EVENTS = 5
BLOCK = 65_536


def events() -> Iterator[bytes]:
    for number in range(EVENTS):
        yield f"id: {number}\ndata: {number}\n\n".encode()
    yield b"event: end\ndata: \n\n"


def received(environ: WSGIEnvironment) -> bytes:
    """What arrived of a body: its length and digest. It is not read at once, so that a browser has time to tell how
    far it has come: buffers on the way hold less than it.
    """
    digest, length = hashlib.sha256(), 0
    time.sleep(1)
    while block := environ["wsgi.input"].read(BLOCK):
        digest.update(block)
        length += len(block)
    return json.dumps({"length": length, "digest": digest.hexdigest()}).encode()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path, websocket = environ["PATH_INFO"], environ.get("wsgi.websocket")
    if websocket is not None:
        for message in websocket:
            websocket.send(message)
        return []
    if path == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")])
        return events()
    if path == "/upload":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [received(environ)]
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [PAGE.read_bytes()]
