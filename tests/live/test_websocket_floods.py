"""WebSocket in one worker, asked without a front: a hostile client, an app that fails, and what is left of both."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from websocket_support import Talker
from worker_support import Worker, serving

from hedgerow.middleware.upstreams.tunnel import Offer
from hedgerow.middleware.websockets.conversation import Conversation, GoingAway
from hedgerow.middleware.websockets.handshake import Wish
from hedgerow.middleware.websockets.talk import WebSocket

PONG, TEXT = b"\x8a\x80\0\0\0\0", b"\x81\x80\0\0\0\0"  # empty ones, masked

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
    if path == "/sends":
        while True:
            websocket.send("x")
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


def _flood(sock: socket.socket, data: bytes, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            sock.sendall(data)
        except OSError:
            return


def _read(sock: socket.socket) -> None:
    try:
        while sock.recv(65_536):
            pass
    except OSError:
        pass


@pytest.mark.parametrize("path", ["/sends", "/echo"])
@pytest.mark.parametrize("data", [PONG, TEXT], ids=["pongs", "empty messages"])
def test_a_client_that_floods_does_not_hold_up_the_others(worker: Worker, path: str, data: bytes) -> None:
    stop = threading.Event()
    with Talker(worker.address[1], "/talks" + path) as talker:
        threads = [
            threading.Thread(target=_flood, args=(talker.socket, data * 10_000, stop)),
            threading.Thread(target=_read, args=(talker.socket,)),
        ]
        for thread in threads:
            thread.start()
        try:
            assert [worker.ask("/talks/page")[0].status for _ in range(5)] == [200] * 5
        finally:
            stop.set()
            talker.socket.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


@pytest.mark.parametrize(
    ("path", "name"), [("/file", "FileNotFoundError"), ("/time", "TimeoutError"), ("/stop", "StopIteration")]
)
def test_an_app_that_fails_as_a_lost_client_does_is_logged(worker: Worker, path: str, name: str) -> None:
    with Talker(worker.address[1], "/talks" + path) as talker:
        assert talker.code() == 1011
    worker.lines(f"the app raised {name} in a WebSocket")


def test_a_conversation_that_has_ended_is_not_kept(worker: Worker) -> None:
    """The app has the cycle collector off. The newest one may still be there."""

    def kept() -> int:
        return int(worker.ask("/talks/page")[1])

    end = time.monotonic() + 5
    for _ in range(3):
        with Talker(worker.address[1], "/talks/echo") as talker:
            assert talker.receive() == "begun"
            talker.close()
            assert talker.code() == 1000
    while kept() > 1:
        assert time.monotonic() < end, f"{kept()} are kept"
        time.sleep(0.02)


def test_a_farewell_to_a_client_that_has_gone_is_no_error() -> None:
    ours, theirs = socket.socketpair()
    wish = Wish("AAAAAAAAAAAAAAAAAAAAAA==", ())
    websocket = WebSocket(Offer(theirs, ConnectionError), wish, "", Conversation(1000, 0, 5, 0.0))
    websocket.accept()
    ours.close()
    websocket.say_farewell()
    assert isinstance(websocket.ended, GoingAway)
    websocket.end()
