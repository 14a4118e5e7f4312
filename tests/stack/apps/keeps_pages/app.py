"""Tells how often this process has answered."""

import itertools

calls = itertools.count(1)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(next(calls)).encode()]
