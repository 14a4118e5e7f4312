"""Answers that come in pieces: the next one is made only when POST /next?NAME has been asked for that stream once more,
so a client that has not got the last one waits for ever. For one worker, since what is asked is in its memory.
"""

import itertools
import threading
from collections import Counter

asked = Counter()
ended = set()
news = threading.Condition()


def wait_for_next(name, number):
    with news:
        news.wait_for(lambda: asked[name] >= number)


def events(name, numbers):
    """It is noted when it ends, for whatever reason."""
    try:
        for number in numbers:
            yield f"id: {number}\ndata: event {number}\n\n".encode()
            wait_for_next(name, number + 1)
    finally:
        ended.add(name)


def poll(name):
    """Nothing, until there is something: a whole answer then."""
    wait_for_next(name, 1)
    return [b"something has happened"]


def application(environ, start_response):
    kind, name = environ["PATH_INFO"], environ["QUERY_STRING"]
    if kind == "/next":
        with news:
            asked[name] += 1
            news.notify_all()
    if kind == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return events(name, range(5))
    if kind == "/endless":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return events(name, itertools.count())
    if kind == "/pieces":
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Accel-Buffering", "no")])
        return events(name, range(5))
    if kind == "/hints":
        environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload; as=style")])
        wait_for_next(name, 1)
    told = poll(name) if kind == "/poll" else [b"ended" if name in ended else b"goes on"]
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Keys", ",".join(sorted(environ)))])
    return told
