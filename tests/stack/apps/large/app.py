"""Has much memory from the beginning, and does no harm."""

import os

KEPT = b"x" * 150_000_000


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
