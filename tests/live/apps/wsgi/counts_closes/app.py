"""How often close() of the iterable was called, for each way that an answer can end."""

import json

import gevent

CLOSED = {}


def application(environ, start_response):
    way = environ["PATH_INFO"].strip("/")
    start_response("200 OK", [("Content-Type", "text/plain")])
    if way == "counts":
        return [json.dumps(CLOSED).encode()]
    return Blocks(way + environ["QUERY_STRING"], BLOCKS[way])


class Blocks:
    def __init__(self, way, blocks):
        self.way = way
        self.blocks = iter(blocks())
        CLOSED.setdefault(way, 0)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.blocks)

    def close(self):
        CLOSED[self.way] += 1
        if self.way == "failsinclose":
            raise RuntimeError("in close")


def whole():
    yield from (b"a", b"b")


def nothing():
    yield from ()


def fails():
    raise RuntimeError("before the first block")
    yield b""


def failsmidway():
    yield b"half"
    raise RuntimeError("midway")


def timesout():
    """What a deadline does: something is raised in the greenlet while it waits."""
    yield b"half"
    with gevent.Timeout(0.05):
        gevent.sleep(10)


def endless():
    while True:
        yield b"x" * 100_000


BLOCKS = {
    "whole": whole,
    "nothing": nothing,
    "fails": fails,
    "failsmidway": failsmidway,
    "timesout": timesout,
    "endless": endless,
    "failsinclose": whole,
}
