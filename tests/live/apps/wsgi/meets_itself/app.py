"""Answers only when two requests run at the same time."""

import threading

MEETING = threading.Barrier(2, timeout=10)


def application(environ, start_response):
    MEETING.wait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"met, multithread is {environ['wsgi.multithread']}".encode()]
