"""An error after an empty block: as nothing was sent, the answer is replaced."""

import sys


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html"), ("X-Old", "1")])
    yield b""
    try:
        raise KeyError("midway")
    except KeyError:
        start_response("500 Replaced", [("Content-Type", "text/plain")], sys.exc_info())
    yield b"replaced"
