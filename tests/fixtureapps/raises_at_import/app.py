"""Fails two modules deep."""

from settings import PORT


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(PORT).encode()]
