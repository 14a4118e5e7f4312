"""Raises in the middle of its body."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"begun\n"
    raise ValueError("as it must")
