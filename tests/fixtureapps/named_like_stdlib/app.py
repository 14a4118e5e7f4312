"""Has its own calendar.py: its imports get it, the standard library keeps its own."""

import calendar
import email.utils  # imports calendar for itself


def application(environ, start_response):
    assert email.utils.formatdate(0).startswith("Thu, 01 Jan 1970")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [calendar.WHOSE]
