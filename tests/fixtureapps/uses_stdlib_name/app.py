"""The neighbour of named_like_stdlib: here calendar is the standard one."""

import calendar


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{calendar.monthrange(2026, 2)[1]}\n".encode()]
