"""Raises SystemExit while a request is served."""


def application(environ, start_response):
    raise SystemExit(3)
