"""What wants native threads, one thing a path, for tests/live/test_threads.py and the tests of the patch audit."""

import asyncio
import concurrent.futures
import contextvars
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time

import gevent.monkey

SEEN = contextvars.ContextVar("SEEN", default="nothing")
LOCAL = threading.local()
HOLD = threading.Event()
COMPUTED = threading.Event()
LEFT = []
GONE = []


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/").split("/")[0] or "hello"
    return globals()[f"do_{name}"](environ, start_response)


def text(start_response, body):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [str(body).encode()]


def do_hello(environ, start_response):
    return text(start_response, "hello")


def do_where(environ, start_response):
    patched = gevent.monkey.is_module_patched("socket")
    native = threading.get_native_id() != os.getpid()
    return text(start_response, f"{patched=} {native=} {threading.current_thread().name} {environ['wsgi.multithread']}")


def do_sleep(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    return text(start_response, "slept")


def do_hold(environ, start_response):
    """Until /release: whoever waits for this waits in C."""
    HOLD.wait()
    return text(start_response, "held")


def do_release(environ, start_response):
    HOLD.set()
    return text(start_response, "released")


def do_compute(environ, start_response):
    """Until /computed."""
    while not COMPUTED.is_set():
        pass
    return text(start_response, "computed")


def do_computed(environ, start_response):
    COMPUTED.set()
    return text(start_response, "told")


async def view():
    await asyncio.sleep(0.05)
    return "awaited"


def do_async(environ, start_response):
    return text(start_response, asyncio.run(view()))


def do_lookup(environ, start_response):
    return text(start_response, socket.getaddrinfo("localhost", 80)[0][4][0])


def do_block(environ, start_response):
    """As many bytes as the query says, in one block."""
    return text(start_response, "x" * int(environ["QUERY_STRING"]))


def do_pool(environ, start_response):
    """Processes, by the way that the query names."""
    way = multiprocessing.get_context(environ["QUERY_STRING"])
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=way) as pool:
        return text(start_response, list(pool.map(abs, range(-3, 1))))


def do_fork(environ, start_response):
    """A child that comes back from the app's call, as no child should; the parent tells how it ended."""
    pid = os.fork()
    if pid == 0:
        print("in the child")
        return text(start_response, "from the child" * 10_000) * 3  # more than may wait to be sent
    return text(start_response, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def do_context(environ, start_response):
    """What the last request left in the context, and in the thread."""
    told = f"{SEEN.get()} {getattr(LOCAL, 'seen', 0)}"
    SEEN.set("something")
    LOCAL.seen = getattr(LOCAL, "seen", 0) + 1
    return text(start_response, told)


def do_log(environ, start_response):
    print("printed")
    logging.getLogger("threaded").warning("logged")
    environ["wsgi.errors"].write("to wsgi.errors\n")
    thread = threading.Thread(target=print, args=("by a thread",))
    thread.start()
    thread.join()
    print("begun", end="")
    return text(start_response, environ["HTTP_X_REQUEST_ID"])


def do_lines(environ, start_response):
    """Many lines, each in pieces, from several threads of one request at once."""

    def write(number):
        for line in range(200):
            print(f"line-{number}", line, sep="-", end="-end\n")

    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(0.005)
    return text(start_response, "written")


class Nameless(type):
    @property
    def __name__(cls):
        raise SystemExit("asked for its name")


class NamelessError(Exception, metaclass=Nameless):
    """One that not even the engine can tell of."""


def do_nameless(environ, start_response):
    raise NamelessError


def do_interrupt(environ, start_response):
    raise KeyboardInterrupt


def do_stream(environ, start_response):
    """Events without an end; /gone tells how it ended."""
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    try:
        while True:
            yield b"data: 1\n\n"
            time.sleep(0.01)
    finally:
        GONE.append("closed")


def do_watch(environ, start_response):
    """Until its client has gone."""
    while not environ["hedgerow.client_disconnected"]():
        time.sleep(0.01)
    GONE.append("disconnected")
    return text(start_response, "nobody")


def do_flood(environ, start_response):
    """A MiB after the other, for a client that takes none; /gone tells what it got."""
    write = start_response("200 OK", [])
    sent = 0
    try:
        while sent < 200:
            write(b"x" * 2**20)
            sent += 1
    except OSError as error:
        GONE.append(f"{type(error).__name__} after {sent}")
    return []


def do_gone(environ, start_response):
    return text(start_response, " ".join(GONE))


def do_read(environ, start_response):
    try:
        return text(start_response, len(environ["wsgi.input"].read()))
    except OSError as error:
        return text(start_response, f"{type(error).__name__} {error}")


def do_leave(environ, start_response):
    """Leaves threads behind that read and write when the request is over, and one that does so already; /left tells."""
    write = start_response("200 OK", [("Content-Length", "4")])
    body = environ["wsgi.input"]

    def act(action):
        try:
            LEFT.append(action())
        except Exception as error:
            LEFT.append(type(error).__name__)

    def later():
        time.sleep(0.2)
        for action in (lambda: write(b"EVIL"), lambda: body.read(4), lambda: start_response("200 OK", [])):
            act(action)

    threading.Thread(target=later).start()
    threading.Thread(target=act, args=(lambda: body.read(5),)).start()
    time.sleep(0.05)
    return [b"left"]


def do_left(environ, start_response):
    return text(start_response, LEFT)


def do_hints(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    return text(start_response, "hinted")


def do_signals(environ, start_response):
    try:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    except ValueError:
        return text(start_response, "refused")
    return text(start_response, "set")
