"""A worker that drains keeps its promise: a connection whose head did not say `close` takes another request."""

from __future__ import annotations

import http.client

from control_support import drop, stack, until

from hedgerow.control import client
from hedgerow.control.plan import slot_socket

APP = """
import os, time
HERE = os.path.dirname(__file__)

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] != "/slow":
        return [b"quick"]
    return slowly()

def slowly():
    yield b"first "
    while not os.path.exists(os.path.join(HERE, "data", "go")):
        time.sleep(0.02)
    yield b"last"
"""


def test_an_answer_that_ends_while_its_worker_drains_leaves_the_connection_as_its_head_said() -> None:
    with stack(workers=1) as here:
        drop(here.apps, "slow", APP)
        here.up()
        connection = http.client.HTTPConnection("127.0.0.1", here.first, timeout=10)
        connection.request("GET", "/slow/slow")
        answer = connection.getresponse()
        assert answer.headers["Connection"] != "close"
        run = here.base / "run"
        client.post(slot_socket(run, str(here.first), "a"), "/drain")
        until(lambda: (client.status(slot_socket(run, str(here.first), "a")) or {}).get("state") == "draining", 5, "it")
        (here.state / "data" / "slow" / "data").mkdir(parents=True, exist_ok=True)
        (here.state / "data" / "slow" / "data" / "go").touch()
        assert answer.read() == b"first last"
        assert connection.sock is not None
        connection.request("POST", "/slow/", b"more")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"quick")
        assert connection.sock is None, "and this head says that it was the last one"
        connection.close()
