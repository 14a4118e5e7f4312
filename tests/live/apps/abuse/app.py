"""What an app should not do, one thing a path, for tests/live/test_worker_abuse.py."""

import faulthandler
import logging.config
import os
import subprocess
import sys
import time

import gevent

KEPT = {}

STOLEN = []


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/").split("/")[0]
    return globals()[f"do_{name}"](environ, start_response)


def text(start_response, body, status="200 OK", headers=()):
    start_response(status, [("Content-Type", "text/plain"), *headers])
    return [body.encode()]


def do_hello(environ, start_response):
    return text(start_response, "hello")


def do_spawnexit(environ, start_response):
    gevent.spawn(sys.exit, "from a greenlet")
    gevent.spawn_raw(sys.exit)
    gevent.spawn_later(0.01, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    gevent.get_hub().loop.run_callback(sys.exit)
    gevent.sleep(0.1)
    return text(start_response, "still here")


def do_timer(environ, start_response):
    """A time-out that is never cancelled: it fires when this request is long over."""
    gevent.Timeout(0.15).start()
    gevent.spawn_later(0.15, gevent.kill, gevent.getcurrent(), block=False)
    gevent.spawn_later(0.2, gevent.getcurrent().switch)
    return text(start_response, "left behind")


def do_keep(environ, start_response):
    """Keep what belongs to this request alone, and use it when it is over."""
    write = start_response("200 OK", [("Content-Length", "4")])
    body = environ["wsgi.input"]

    def later():
        for act in (lambda: write(b"EVIL"), lambda: body.read(3), lambda: start_response("200 OK", [])):
            try:
                act()
            except Exception as error:
                KEPT.setdefault("errors", []).append(type(error).__name__)

    gevent.spawn_later(0.2, later)
    return [b"kept"]


def do_kept(environ, start_response):
    return text(start_response, " ".join(KEPT.get("errors", [])))


def do_fork(environ, start_response):
    pid = os.fork()
    if pid == 0:
        print("in the child")
        gevent.sleep(1.5)  # the hub runs: whatever is watched would be served
        os._exit(0)
    KEPT["child"] = pid
    return text(start_response, "forked")


def do_pid(environ, start_response):
    return text(start_response, str(os.getpid()))


def do_readall(environ, start_response):
    try:
        environ["wsgi.input"].read()
    except Exception:
        return text(start_response, "the app goes on")
    return text(start_response, "read")


def do_timeoutwrite(environ, start_response):
    """A time-out of the app's own around a write to a client that does not read."""
    write = start_response("200 OK", [("Content-Length", "8000000")])
    with gevent.Timeout(0.3, False):
        write(b"x" * 8_000_000)
    return []


def do_stream(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    while True:
        yield b"data: 1\n\n"


def do_answerfirst(environ, start_response):
    write = start_response("200 OK", [])
    write(b"first ")
    try:
        environ["wsgi.input"].read()
    except OSError:
        write(b"no body")
    return []


def do_dictconfig(environ, start_response):
    logging.config.dictConfig({"version": 1, "handlers": {}, "root": {"handlers": []}})
    logging.getLogger().addHandler(Raising())
    raise RuntimeError("after dictConfig")


class Raising(logging.Handler):
    def emit(self, record):
        raise ValueError("a handler that raises")


def do_badlog(environ, start_response):
    logging.warning("%(a)s", {"b": 1})
    logging.warning("%d", object())
    return text(start_response, "logged")


def do_stdout(environ, start_response):
    sys.stdout.reconfigure(line_buffering=True)
    sys.stdout.buffer.write(b"by bytes\n")
    print("begun, not ended", end="", flush=True)
    faulthandler.enable()
    faulthandler.disable()
    subprocess.run(["true"], stdout=sys.stdout, check=True)
    return text(start_response, f"{sys.stdout.name} {sys.stdout.isatty()} {sys.stdout.encoding}")


def do_bigerror(environ, start_response):
    raise RuntimeError("x" * 1_000_000)


def do_closefd(environ, start_response):
    os.close(1)
    return text(start_response, "closed")


def do_header(environ, start_response):
    name, _, value = environ["QUERY_STRING"].encode().decode("unicode_escape").partition("=")
    return text(start_response, "x", headers=[(name, value)])


def do_status(environ, start_response):
    return text(start_response, "x", status=environ["QUERY_STRING"].encode().decode("unicode_escape").replace("+", " "))


def do_host(environ, start_response):
    return text(start_response, environ["HTTP_HOST"] + " " + environ["PATH_INFO"])


def do_slowstart(environ, start_response):
    start_response("200 OK", [])
    yield b"begun"
    time.sleep(1)
    yield b" ended"


def do_computing(environ, start_response):
    """Blocks of a stream with a tenth of a second of computing in front of each."""
    start_response("200 OK", [])
    for _ in range(20):
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            pass
        yield b"row"


def do_exitgreenlet(environ, start_response):
    raise gevent.GreenletExit


class Untellable(Exception):
    """Ends the process of who looks at it."""

    @property
    def __cause__(self):
        raise SystemExit("looked at")

    def __str__(self):
        raise SystemExit("told")


def do_untellable(environ, start_response):
    raise Untellable


def do_spawnread(environ, start_response):
    """Leaves a greenlet behind that waits for the body; GET /abuse/stolen tells what it got."""

    def read():
        try:
            STOLEN.append(environ["wsgi.input"].read(5))
        except OSError as error:
            STOLEN.append(str(error).encode())

    gevent.spawn(read)
    gevent.sleep(0.05)
    start_response("200 OK", [("Content-Length", "7")])
    return [b"spawned"]


def do_stolen(environ, start_response):
    start_response("200 OK", [])
    return [b"|".join(STOLEN)]


def do_turnwrite(environ, start_response):
    """Computes between two blocks, while a time-out becomes due that hits where others get their turn."""
    write = start_response("200 OK", [("Content-Length", "8")])
    write(b"aaaa")
    timeout = gevent.Timeout.start_new(0.01)
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        pass
    try:
        write(b"BBBB")
    except gevent.Timeout:
        pass
    finally:
        timeout.close()
    return []
