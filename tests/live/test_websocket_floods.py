"""WebSocket in one worker, asked without a front: a hostile client, an app that fails, and what is left of both."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from websocket_support import Talker
from worker_support import Worker, serving

from hedgerow.middleware.upstreams.tunnel import Offer
from hedgerow.middleware.websockets.conversation import Conversation, GoingAway
from hedgerow.middleware.websockets.handshake import Wish
from hedgerow.middleware.websockets.talk import TAKE_BYTES, WebSocket

PONG = b"\x8a\x80\0\0\0\0"  # an empty one, masked

APP = """
import gc, weakref
from hedgerow.middleware.websocket import Closed, Websocket

gc.disable()
seen = weakref.WeakSet()

def talks(environ, start_response):
    path, websocket = environ["PATH_INFO"], environ.get("wsgi.websocket")
    if websocket is None:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(len(seen)).encode()]
    seen.add(websocket)
    websocket.send("begun")
    if path == "/file":
        open("/nowhere/at-all")
    if path == "/time":
        websocket.receive(timeout_s=0)
    if path == "/stop":
        raise StopIteration("of the app")
    for message in websocket:
        websocket.send(message)
    return []

application = Websocket(talks)
"""


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("floods")
    (folder / "talks").mkdir()
    (folder / "talks" / "app.py").write_text(APP)
    with serving(folder, {"talks": folder / "talks"}) as worker:
        yield worker


@pytest.mark.parametrize(
    ("path", "name"), [("/file", "FileNotFoundError"), ("/time", "TimeoutError"), ("/stop", "StopIteration")]
)
def test_an_app_that_fails_as_a_lost_client_does_is_logged(worker: Worker, path: str, name: str) -> None:
    with Talker(worker.address[1], "/talks" + path) as talker:
        assert talker.code() == 1011
    worker.lines(f"the app raised {name} in a WebSocket")


def test_a_conversation_that_has_ended_is_not_kept(worker: Worker) -> None:
    """The app has the cycle collector off. A parked greenlet keeps the first request that it has served."""

    def kept() -> int:
        return int(worker.ask("/talks/page")[1])

    end = time.monotonic() + 5
    for _ in range(20):
        with Talker(worker.address[1], "/talks/echo") as talker:
            assert talker.receive() == "begun"
            talker.close()
            assert talker.code() == 1000
    while kept() > 10:
        assert time.monotonic() < end, f"{kept()} are kept"
        time.sleep(0.02)


def test_a_send_takes_in_one_block_and_leaves_the_rest() -> None:
    """Else a client that goes on sending would never let it return."""
    ours, theirs = socket.socketpair()
    wish = Wish("AAAAAAAAAAAAAAAAAAAAAA==", ())
    websocket = WebSocket(Offer(theirs, ConnectionError), wish, "", Conversation(1000, 0, 5, 0.0))
    websocket.accept()
    ours.sendall(PONG * 10_000)
    websocket.send("x")
    left = len(theirs.recv(100_000))
    assert len(PONG) * 10_000 - left == TAKE_BYTES
    websocket.end()
    ours.close()


IN_GREENLETS = f"""
from gevent import monkey; monkey.patch_all()
import gevent, socket
from hedgerow.middleware.upstreams.tunnel import Offer
from hedgerow.middleware.websockets.conversation import Conversation
from hedgerow.middleware.websockets.handshake import Wish
from hedgerow.middleware.websockets.talk import WebSocket

ours, theirs = socket.socketpair()
wish = Wish("AAAAAAAAAAAAAAAAAAAAAA==", ())
websocket = WebSocket(Offer(theirs, ConnectionError), wish, "", Conversation(1000, 0, 5, 0.0))
websocket.accept()
ours.sendall({PONG!r} * 10_000)
gevent.spawn(print, "another's turn")
websocket.send("x")
print("sent")
"""


def test_who_sends_to_a_client_that_floods_gives_the_others_a_turn() -> None:
    done = subprocess.run([sys.executable, "-c", IN_GREENLETS], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["another's turn", "sent"]


def test_a_farewell_to_a_client_that_has_gone_is_no_error() -> None:
    ours, theirs = socket.socketpair()
    wish = Wish("AAAAAAAAAAAAAAAAAAAAAA==", ())
    websocket = WebSocket(Offer(theirs, ConnectionError), wish, "", Conversation(1000, 0, 5, 0.0))
    websocket.accept()
    ours.close()
    websocket.say_farewell()
    assert isinstance(websocket.ended, GoingAway)
    websocket.end()
