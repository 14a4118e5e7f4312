"""The two spellings of the time that a request needs; the slow part of each is made once a second."""

from __future__ import annotations

import time
from email.utils import formatdate

_date_second = 0
_date = ""
_stamp: tuple[int, str] = 0, ""  # in one: threads of apps ask too


def http_date() -> str:
    """Now, as the value of a Date field (RFC 9110 section 5.6.7)."""
    global _date_second, _date  # one clock a process
    second = int(time.time())
    if second != _date_second:
        _date_second, _date = second, formatdate(second, usegmt=True)
    return _date


def timestamp() -> str:
    """Now, in UTC, RFC 3339 with milliseconds."""
    global _stamp  # noqa: PLW0603  # one clock a process
    now = time.time()
    second = int(now)
    stamp = _stamp
    if second != stamp[0]:
        stamp = _stamp = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    milliseconds = int((now - second) * 1000)
    return f"{stamp[1]}.{milliseconds:03d}Z"
