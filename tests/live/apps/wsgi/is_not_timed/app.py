"""Takes a while until its first block, and tells in Server-Timing what it knows itself."""

import time


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Server-Timing", "db;dur=1.5")])
    time.sleep(0.05)
    yield b"timed"
    time.sleep(0.2)
    yield b" out"
