"""Sends a header that is the front's."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Accel-Redirect", "@refused")])
    return [b"mine\n"]
