"""What an app in a pool is asked to do in the tests: one behaviour a path."""

import json
import os
import sys
import time

import gevent
import helper  # beside it, by its plain name

GONE = []


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/").split("/")[0] or "pid"
    return globals()[f"do_{name}"](environ, start_response)


def text(start_response, body, status="200 OK", *headers):
    start_response(status, [("Content-Type", "text/plain"), *headers])
    return [body.encode()]


def do_pid(environ, start_response):
    return text(start_response, str(os.getpid()))


def do_alone(environ, start_response):
    facts = {
        "name": __name__,
        "helper": helper.__name__,
        "cwd": os.getcwd(),
        "path": sys.path[0],
        "variable": os.environ.get("POOLED"),
        "zone": time.tzname[0],
        "builtins": type(__builtins__).__name__,
        "import": __import__.__module__ if hasattr(__import__, "__module__") else "",
        "environ": type(os.environ).__name__,
    }
    print("printed alone")
    gevent.spawn(print, "printed by a greenlet").join()
    return text(start_response, json.dumps(facts))


def do_environ(environ, start_response):
    told = {
        key: value if isinstance(value, str | int | bool) else type(value).__name__ for key, value in environ.items()
    }
    return text(start_response, json.dumps(told))


def do_first(environ, start_response):
    """Answers each piece of the body as soon as it has come: 4 bytes each."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"begun\n"
    while piece := environ["wsgi.input"].read(4):
        yield piece.upper()


def do_digits(environ, start_response):
    """A digit when the client says so."""
    start_response("200 OK", [("Content-Length", "3")])
    for digit in b"012":
        yield bytes([digit])
        environ["wsgi.input"].read(1)


def do_sink(environ, start_response):
    """Counts the body."""
    size = 0
    while block := environ["wsgi.input"].read(65_536):
        size += len(block)
    return text(start_response, str(size))


def do_source(environ, start_response):
    """As many MiB as the query says; chunked, or with their length."""
    count, _, length = environ["QUERY_STRING"].partition("&")
    headers = [("Content-Length", str(int(count) * 2**20))] if length else []
    start_response("200 OK", headers)
    return (bytes([n % 251]) * 2**20 for n in range(int(count)))


def do_status(environ, start_response):
    """The status of the query, with a body where it may have one."""
    status = environ["QUERY_STRING"]
    if status == "304":
        start_response("304 Not Modified", [("ETag", '"x"')])
        return []
    if status == "204":
        start_response("204 No Content", [])
        return []
    return text(start_response, "a body", f"{status} Some Reason", ("X-Twice", "1"), ("X-Twice", "2"))


def do_fields(environ, start_response):
    """Fields that are not all an app's to send, and its own Date and Server."""
    headers = [("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Server", "mine"), ("X-Accel-Buffering", "no")]
    headers += [
        ("X-Accel-Redirect", "@refused"),
        ("X-Hedgerow-Cause", "mine"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
    ]
    return text(start_response, "fields", "200 OK", *headers)


def do_midway(environ, start_response):
    start_response("200 OK", [("Content-Length", "1000")] if environ["QUERY_STRING"] else [])
    yield b"half of it"
    raise RuntimeError("midway")


def do_wait(environ, start_response):
    """Streams until nobody reads any more, and notes it."""
    start_response("200 OK", [])
    try:
        while True:
            yield b"x" * 1000
            time.sleep(0.01)
    finally:
        GONE.append("wait")


def do_ask(environ, start_response):
    """Waits until its client has gone, and notes it."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if environ["hedgerow.client_disconnected"]():
            GONE.append("ask")
            break
        time.sleep(0.01)
    return text(start_response, "asked")


def do_gone(environ, start_response):
    return text(start_response, " ".join(GONE))


def do_ignore(environ, start_response):
    return text(start_response, "not read")


def do_sleep(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    return text(start_response, str(os.getpid()))


def do_hints(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    return text(start_response, "hinted")


def do_fork(environ, start_response):
    """Leaves a child behind that goes on for a second, and lets its hub run."""
    pid = os.fork()
    if not pid:
        gevent.sleep(1)
        os._exit(0)
    return text(start_response, str(pid))


def do_raise(environ, start_response):
    raise RuntimeError("a pooled exception")
