"""A generator: start_response is called when the first block is asked for."""


def application(environ, start_response):
    start_response("201 Created", [("Content-Type", "text/plain")])
    yield b"made "
    yield b""
    yield b"late"
