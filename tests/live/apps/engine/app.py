"""One application with a behaviour a path, for the live tests of the worker."""

import hashlib
import logging
import os
import subprocess
import sys
import threading
import time

import gevent
from gevent.pool import Pool

STARTED = []


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/").split("/")[0] or "hello"
    return globals()[f"do_{name}"](environ, start_response)


def text(start_response, body, status="200 OK"):
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [body.encode()]


def do_hello(environ, start_response):
    return text(start_response, "hello")


def do_echo(environ, start_response):
    """The body, as it comes."""
    start_response("200 OK", [])
    return iter(lambda: environ["wsgi.input"].read(10_000), b"")


def do_digest(environ, start_response):
    """The body's length and digest, read slowly enough for a fast client to run ahead."""
    digest, size = hashlib.sha256(), 0
    while block := environ["wsgi.input"].read(65_536):
        digest.update(block)
        size += len(block)
        if size % 2**24 == 0:
            time.sleep(0.02)
    return text(start_response, f"{size} {digest.hexdigest()}")


def do_whole(environ, start_response):
    """As many bytes as the query says, in one block."""
    return text(start_response, "".join(chr(97 + n % 26) for n in range(int(environ["QUERY_STRING"]))))


def do_count(environ, start_response):
    """As many MiB as the query says, block by block."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (bytes([n % 251]) * 2**20 for n in range(int(environ["QUERY_STRING"])))


def do_exit(environ, start_response):
    sys.exit("the app wants to end")


def do_raise(environ, start_response):
    raise RuntimeError("a test's exception")


def do_midway(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"half of it"
    raise RuntimeError("midway")


def do_short(environ, start_response):
    start_response("200 OK", [("Content-Length", "100")])
    return [b"too short"]


def do_sleep(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    return text(start_response, "slept")


def do_log(environ, start_response):
    print("printed: snow ☃ \x1b[31m red")
    print("to stderr", file=sys.stderr)
    logging.getLogger("engine.test").warning("logged %d", 42)
    environ["wsgi.errors"].write("to wsgi.errors\n")
    try:
        raise KeyError("caught")
    except KeyError:
        logging.getLogger().exception("with a traceback")
    return text(start_response, environ["HTTP_X_REQUEST_ID"])


def do_environ(environ, start_response):
    keys = ["SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_URI", "RAW_URI", "REMOTE_ADDR", "wsgi.url_scheme"]
    keys += ["hedgerow.app", "hedgerow.address"]
    return text(start_response, "\n".join(f"{key}={environ[key]}" for key in keys))


def do_child(environ, start_response):
    """Start a child that lives on, as a careless app would."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
    STARTED.append(child)
    return text(start_response, str(child.pid))


def do_descriptors(environ, start_response):
    return text(start_response, os.readlink("/proc/self/fd/0"))


def do_ignore(environ, start_response):
    """Answer without reading the body."""
    return text(start_response, "not read")


def do_accel(environ, start_response):
    start_response("200 OK", [("X-Accel-Redirect", "@refused"), ("Content-Type", "text/plain")])
    return [b"not mine to say"]


def do_spawn(environ, start_response):
    """Print from everything that an app can start."""
    started = [
        gevent.spawn(print, "by spawn"),
        gevent.spawn_later(0.01, print, "by spawn_later"),
        Pool(2).spawn(print, "by pool"),
    ]
    gevent.spawn_raw(print, "by spawn_raw")
    thread = threading.Thread(target=print, args=("by thread",))
    thread.start()
    thread.join()
    gevent.joinall(started)
    return text(start_response, environ["HTTP_X_REQUEST_ID"])
