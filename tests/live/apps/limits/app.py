"""What the live tests of the limits need of an app, a path each."""

import time

import gevent


class CountingLoop:
    """The hub's loop, as far as who asks it for timers."""

    def __init__(self, loop):
        self._loop = loop
        self.timers = 0

    def __getattr__(self, name):
        self.timers += name == "timer"
        return getattr(self._loop, name)


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/").split("/")[0]
    return globals()[f"do_{name}"](environ, start_response)


def text(start_response, body):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]


def do_readall(environ, start_response):
    return text(start_response, str(len(environ["wsgi.input"].read())))


def do_big(environ, start_response):
    return text(start_response, "x" * 2**24)


def do_readerror(environ, start_response):
    """The body's error, told to the client by the app itself."""
    try:
        environ["wsgi.input"].read()
    except OSError as error:
        return text(start_response, f"{type(error).__name__} {error}")
    return text(start_response, "no error")


def do_count(environ, start_response):
    """From now on timers are counted."""
    hub = gevent.get_hub()
    hub.loop = CountingLoop(hub.loop)
    return text(start_response, "counting")


def do_counted(environ, start_response):
    return text(start_response, f"{gevent.get_hub().loop.timers} timers")


def do_timer(environ, start_response):
    """A time-out that is never cancelled: due in a later request."""
    gevent.Timeout(0.15).start()
    return text(start_response, "left behind")


def do_nap(environ, start_response):
    time.sleep(0.4)
    return text(start_response, "rested")


def do_limited(environ, start_response):
    """A time-out of the app's own, in its own request."""
    try:
        with gevent.Timeout(0.1):
            time.sleep(5)
    except gevent.Timeout:
        return text(start_response, "ended by itself")
    return text(start_response, "not ended")
