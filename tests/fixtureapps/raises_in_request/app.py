"""Raises before it has started its answer."""


def application(environ, start_response):
    raise ValueError("as it must")
