"""An error after a block was sent: start_response raises it again."""

import sys

SWALLOWED = []


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"sent"
    try:
        raise KeyError("midway")
    except KeyError:
        start_response("500 Replaced", [("Content-Type", "text/plain")], sys.exc_info())
    yield b"never sent"
