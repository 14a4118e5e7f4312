"""write() first, the iterable behind it."""


def application(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"one ")
    write(b"")
    write(b"two ")
    return [b"three"]
