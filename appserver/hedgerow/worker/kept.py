"""Which of an app's answers the front keeps, and which requests it may answer with them.

The front knows no apps, so it asks a worker first, and the worker sends the request on to what the front has kept
(`X-Accel-Redirect: @cached`, or `@stale_cached` where a former answer is better than an error). What is not there is
asked again, as step 2, and the answer tells how long it may be kept. nginx/snippets/cache.conf.
"""

from __future__ import annotations

import re
from functools import partial
from time import time

from ..hosting.cache_table import CacheTable
from ..http.request import NONE
from ..http.response import ResponseHead
from ..middleware.answer import value
from ..middleware.conditional import seconds
from ..pep3333.bridge import Lines
from .job import MOVED, Job

ASK, FILL = "1", "2"  # X-Hedgerow-Cache: may be sent on to what is kept; may be kept
LARGEST_BYTES = 131_072 - 4096  # of a body that is kept: with its head what nginx/cache.sh reckons with
LONGEST_VARY = 100  # characters; nginx has room for 128, and cuts what is longer
# What nothing but the request decides (RFC 9110, 15.1), as far as apps give it to GET.
_STATUSES = frozenset({"200", "301", "308", "404", "410"})
_NOT_KEPT = frozenset({"no-store", "private", "no-cache"})

# As middleware/sending.py makes them for files, which are not kept. For what may be, nginx asks without If-None-Match.
_OF_A_FILE = re.compile(r'(?:W/)?"[0-9a-f]{15,16}-[0-9a-f]+(?:-[a-z]+)?"').fullmatch


def asks(job: Job) -> bool:
    """Whether the answer may be one that the front has kept: to a request without credentials (RFC 9111, 3.5), body or
    range, of a client that has no file for it.
    """
    request = job.request
    fields = request.fields
    return (
        request.method in ("GET", "HEAD")
        and request.framing is NONE
        and "HTTP_AUTHORIZATION" not in fields
        and "HTTP_RANGE" not in fields
        and "HTTP_UPGRADE" not in fields
        and not _OF_A_FILE(fields.get("HTTP_IF_NONE_MATCH", ""))
    )


def send_to_kept(job: Job, table: CacheTable) -> None:
    """Have the front look into what it has kept first. Nothing but the redirect: it would carry other fields along."""
    job.cause, job.refused = "cache", MOVED
    job.own_headers += (f"X-Accel-Redirect: {'@stale_cached' if table.stale_if_error else '@cached'}",)


def beside(asked: Lines | None, table: CacheTable) -> Lines:
    """Those lines, and what tells the front how long it may keep the answer."""
    if asked is None:
        return partial(lines, table)
    return lambda status, head, length: asked(status, head, length) + lines(table, status, head, length)


def lines(table: CacheTable, status: str, head: ResponseHead, length: int | None) -> tuple[str, ...]:
    """For an answer with this head and so many bytes. () if it is not to be kept."""
    # Where a former answer is better than an error, nginx would keep the error for as long as its max-age says.
    if status.startswith("5"):
        return ("X-Accel-Expires: 0",)
    if status[:3] not in _STATUSES or head.redirect or length is None or length > LARGEST_BYTES:
        return ()
    if not length and status.startswith("200"):  # nothing to keep; so looks what a file is sent instead of
        return ()
    fields = head.fields()
    told = {name: value(fields, name) for name in ("set-cookie", "vary", "x-accel-buffering", "content-range")}
    vary = {name.strip().lower() for name in told["vary"].split(",")}
    if told["set-cookie"] or told["content-range"] or told["x-accel-buffering"] or "*" in vary:
        return ()
    wants_cookie = table.cookies and "cookie" not in vary
    directives = _directives(value(fields, "cache-control"))
    age = int(min(table.max_age, _age(directives, value(fields, "expires"), value(fields, "pragma"))))
    if age <= 0 or len(told["vary"]) > LONGEST_VARY:
        return ()
    strict = not directives.keys().isdisjoint({"must-revalidate", "proxy-revalidate"})
    stale = 0 if strict else table.stale_if_error
    # While one request renews an answer the others get the former one, for as long again as it was good.
    line = f"Cache-Control: stale-while-revalidate={0 if strict else age}, stale-if-error={stale}"
    return (f"X-Accel-Expires: {age}", line, *(("Vary: Cookie",) if wants_cookie else ()))


def _directives(text: str) -> dict[str, str]:
    """Those of a Cache-Control, in lower case, with their arguments."""
    pairs = (one.strip().partition("=") for one in text.lower().split(","))
    return {name.strip(): argument.strip(' "') for name, _, argument in pairs}


def _age(directives: dict[str, str], expires: str, pragma: str) -> float:
    """For how many seconds the app lets shared caches keep an answer; 0: it does not; endless if it does not say."""
    if not _NOT_KEPT.isdisjoint(directives):
        return 0
    for name in ("s-maxage", "max-age"):
        if name in directives:
            return float(directives[name]) if directives[name].isdecimal() else 0  # however many digits it has
    if expires:
        return (seconds(expires) or 0) - time()
    return 0 if "no-cache" in pragma.lower() else float("inf")
