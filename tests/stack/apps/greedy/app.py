"""Takes all the memory that there is, if it is asked to."""

import os

kept = []


def application(environ, start_response):
    while environ["PATH_INFO"] == "/all":
        kept.append(b"x" * 10_000_000)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
