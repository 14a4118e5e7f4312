"""WebSocket through the real front to real workers: what is said arrives, however much and however many at once; each
end has its code; and whoever is refused is told in HTTP.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from control_support import Stack, free_port, stack, until
from front_backends import PATIENCE_S
from front_support import Answer, Client
from websocket_support import Talker, read_head
from worker_support import APPS
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Ping, Pong

from hedgerow.middleware.upstreams.tunnel import Offer
from hedgerow.middleware.websockets.conversation import Closed, Conversation
from hedgerow.middleware.websockets.handshake import Wish
from hedgerow.middleware.websockets.talk import WebSocket

MANY = 200
LARGE = 900_000
FRAMED_TEXT = b"\x81\x85\x00\x00\x00\x00early"


@dataclass
class Here:
    """A running stack with the app, and one way to it. workers: how many addresses."""

    stack: Stack
    app: str = "talks"

    @property
    def port(self) -> int:
        return self.stack.port

    def talk(self, path: str, *lines: str, early: bytes = b"") -> Talker:
        return Talker(self.port, f"/{self.app}{path}", *lines, host=f"127.0.0.1:{self.port}", early=early)

    def ask(self, method: str, path: str, *lines: str, body: bytes = b"") -> Answer:
        with Client(self.port) as client:
            client.head(method, f"/{self.app}{path}", *lines, f"Content-Length: {len(body)}")
            client.send(body)
            return client.answer(method)

    def seen(self) -> list[dict[str, object]]:
        """What the app has noted of its conversations, in all its processes."""
        file = self.stack.state / "data" / self.app / "data" / "seen"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def saw(self, path: str, code: int) -> bool:
        """Whether one on this path ended with this code to the app."""
        return any(line["path"] == path and line["how"] and line["how"][1] == code for line in self.seen())


def put(apps: Path, name: str = "talks", more: str = "") -> None:
    shutil.copytree(APPS / "talks", apps / name)
    (apps / name / "data").mkdir()
    manifest = apps / name / "app.toml"
    manifest.write_text(more + manifest.read_text())


@contextmanager
def serving(more: str = "", workers: int = 2, **environ: str) -> Iterator[Here]:
    with stack(workers=workers, **environ) as made:
        put(made.apps, more=more)
        made.up()
        here = Here(made)
        until(lambda: here.ask("GET", "/page").status == 200, 30, "the app answers")
        yield here


WAYS = {"greenlets": "", "threads": 'concurrency = "threads"\nthreads = 250\n', "own pool": 'pool = "own"\n'}


@pytest.fixture(scope="module", params=WAYS)
def here(request: pytest.FixtureRequest) -> Iterator[Here]:
    with serving(WAYS[request.param]) as here:
        yield here


# --- what is said -----------------------------------------------------------------------------------------------------


def test_text_and_bytes_come_back_as_what_they_were(here: Here) -> None:
    with here.talk("/echo") as talker:
        for message in ("tëxt 🌿", b"\x00\xff", "", b"", "x" * LARGE, os.urandom(LARGE)):
            talker.send(message)
            assert talker.receive() == message
        talker.close()
        assert talker.code() == 1000


def test_what_is_sent_right_behind_the_handshake_is_not_lost(here: Here) -> None:
    with here.talk("/echo", early=FRAMED_TEXT) as talker:
        assert talker.receive() == "early"


def test_many_at_once_each_get_their_own(here: Here) -> None:
    talkers = [here.talk("/echo") for _ in range(MANY)]
    try:
        assert {talker.status for talker in talkers} == {101}
        for turn in range(3):
            for number, talker in enumerate(talkers):
                talker.send(f"{turn} of {number}")
            answers = [talker.receive() for talker in talkers]
            assert answers == [f"{turn} of {number}" for number in range(MANY)]
        assert here.ask("GET", "/page").body == b"GET ", "and other requests are answered beside them"
    finally:
        for talker in talkers:
            talker.socket.close()


def test_requests_of_all_kinds_are_answered_while_they_talk(here: Here) -> None:
    def ask(number: int) -> bool:
        body = f"number {number}".encode()
        with here.talk("/echo") as talker:
            talker.send(body)
            answer = here.ask("POST", "/page", body=body)
            return (answer.status, answer.body, talker.receive()) == (200, b"POST " + body, body)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(80)))


def test_pings_go_both_ways(here: Here) -> None:
    with here.talk("/pings") as talker:
        asked = talker.event()
        assert isinstance(asked, Ping)
        assert bytes(asked.payload) == b"are you there"
        talker.ping(b"and you")
        answered = talker.event()
        assert isinstance(answered, Pong)
        assert bytes(answered.payload) == b"and you"
        talker.send("still open")
        assert talker.receive() == "still open"


def test_an_app_that_only_sends_answers_pings_and_hears_its_client_close(here: Here) -> None:
    with here.talk("/sends_only") as talker:
        assert talker.receive() == "tick 0"
        talker.ping(b"now")
        while not isinstance(talker.event(), Pong):
            pass
        talker.close(4001)
        assert talker.code() == 4001
    until(lambda: here.saw("/sends_only", 4001), 20, "the app has heard of it")


def test_an_app_may_wait_for_so_long_only(here: Here) -> None:
    with here.talk("/waits_a_moment") as talker:
        assert talker.receive() == "nothing came"


def test_an_app_that_is_a_generator_talks_too(here: Here) -> None:
    with here.talk("/generates") as talker:
        talker.send("one")
        talker.send("two")
        assert [talker.receive(), talker.receive()] == ["one", "two"]
        talker.close()
        assert talker.code() == 1000


@pytest.mark.parametrize(
    ("offered", "spoken"),
    [
        ([], ""),
        (["unknown.example"], ""),
        (["first.example"], "first.example"),
        (["unknown.example, first.example", "second.example"], "second.example"),
    ],
)
def test_a_subprotocol_is_agreed_on(here: Here, offered: list[str], spoken: str) -> None:
    with here.talk("/tells", *(f"Sec-WebSocket-Protocol: {names}" for names in offered)) as talker:
        assert talker.fields.get("sec-websocket-protocol", "") == spoken
        assert json.loads(talker.receive())["subprotocol"] == spoken


def test_no_extension_is_spoken(here: Here) -> None:
    with here.talk("/echo", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits") as talker:
        assert talker.opened
        assert "sec-websocket-extensions" not in talker.fields


# --- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "code", "reason"),
    [
        ("/leaves", 1000, ""),
        ("/closes", 4000, "hear this"),
        ("/fails", 1011, ""),
        ("/swallows_its_failure", 1011, ""),
    ],
)
def test_the_end_of_the_apps_call_has_its_code(here: Here, path: str, code: int, reason: str) -> None:
    with here.talk(path) as talker:
        talker.send("hear this")
        told = talker.closed()
        assert told is not None
        assert (told.code, told.reason) == (code, reason)
        assert talker.event() is None, "and the connection ends"


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\x81\x05early", 1002), (b"\x81\x81\0\0\0\0\xff", 1007), (b"\x82\xff\0\0\0\0\0\x20\0\0" + bytes(2**20), 1009)],
)
def test_a_client_at_fault_is_told_by_its_code_and_so_is_the_app(here: Here, data: bytes, code: int) -> None:
    with here.talk("/echo") as talker:
        talker.send_bytes(data)
        assert talker.code() == code
        assert talker.event() is None
    until(lambda: here.saw("/echo", code), 20, "the app has heard of it")


def test_a_client_that_goes_without_a_word_is_1006_to_the_app(here: Here) -> None:
    before = len([line for line in here.seen() if line["how"] == ["Lost", 1006, "the client has gone"]])
    with here.talk("/echo") as talker:
        talker.send("x")
        talker.receive()

    def noticed() -> bool:
        return len([line for line in here.seen() if line["how"] == ["Lost", 1006, "the client has gone"]]) > before

    until(noticed, 20, "the app has heard of it")


# --- who is refused ---------------------------------------------------------------------------------------------------


def test_what_asks_for_no_websocket_is_told_what_is_needed(here: Here) -> None:
    answer = here.ask("GET", "/echo")
    assert answer.status == 426
    assert answer.header("Sec-WebSocket-Version") == ["13"]
    assert here.ask("GET", "/only/below").status == 426
    assert here.ask("GET", "/page").status == 200, "paths that are not in the list are the app's as ever"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Sec-WebSocket-Version: 13"], 400),
        (["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short"], 400),
        (["Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="], 426),
        (["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="], 426),
    ],
)
def test_a_handshake_that_is_none_is_refused_in_http(here: Here, lines: list[str], status: int) -> None:
    answer = here.ask("GET", "/echo", "Connection: Upgrade", "Upgrade: websocket", *lines)
    assert answer.status == status


def test_a_page_of_another_origin_may_not_connect(here: Here) -> None:
    own, friend = f"http://127.0.0.1:{here.port}", "https://friend.example"
    foreign = ["https://evil.example", "null", f"{own}.evil.example", f"{friend}.evil.example"]
    for origin, status in [(own, 101), (friend, 101), *((one, 403) for one in foreign)]:
        with here.talk("/echo", f"Origin: {origin}") as talker:
            assert talker.status == status, origin


def test_the_app_may_answer_instead(here: Here) -> None:
    with here.talk("/refuses") as talker:
        assert talker.status == 401
        assert talker.fields["www-authenticate"] == "Basic"


# --- who leaves -------------------------------------------------------------------------------------------------------


def leave(here: Here, worker: int) -> None:
    """As a replica goes: each of its workers is asked to, while the front stays."""
    os.kill(worker, signal.SIGTERM)


def swap(here: Here, worker: int) -> None:
    file = here.stack.apps / "talks" / "app.py"
    file.write_text(file.read_text() + "\n# another release\n")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("act", [swap, leave])
def test_a_worker_that_goes_tells_all_it_talks_with(way: str, act: Callable[[Here, int], None]) -> None:
    """At another release, and when a replica goes: 1001, to those who listen and to those who only send."""
    with serving(WAYS[way], workers=1) as here:
        paths = ["/tells"] * 5 + ["/sends_only"]
        talkers = [here.talk(path) for path in paths]
        try:
            [worker] = {json.loads(talker.receive())["worker"] for talker in talkers[:5]}
            act(here, worker)
            assert [talker.code() for talker in talkers] == [1001] * len(talkers)
            assert all(talker.event() is None for talker in talkers)
        finally:
            for talker in talkers:
                talker.socket.close()
        until(lambda: len([line for line in here.seen() if line["how"]]) == len(paths), 20, "all are noted")
        assert {tuple(line["how"]) for line in here.seen()} == {("GoingAway", 1001, "")}  # type: ignore[arg-type]


def test_a_swap_is_not_held_up_by_who_talks() -> None:
    with serving(workers=1) as here, here.talk("/tells") as talker:
        old = json.loads(talker.receive())["worker"]
        swap(here, old)
        assert talker.code() == 1001
        until(lambda: not Path(f"/proc/{old}").exists(), 30, "the old worker has gone")
        with here.talk("/tells") as again:
            assert json.loads(again.receive())["worker"] != old


def test_who_talks_with_a_worker_that_is_killed_sees_the_end() -> None:
    with serving(workers=1) as here, here.talk("/tells") as talker:
        os.kill(json.loads(talker.receive())["worker"], signal.SIGKILL)
        assert talker.event() is None


# --- one socket, and nothing in between -------------------------------------------------------------------------------


@contextmanager
def echoing(max_message_bytes: int) -> Iterator[socket.socket]:
    """The client's end of a connection whose handshake is done; the other one is an echo's, in a thread."""
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE_S)
    wish = Wish("AAAAAAAAAAAAAAAAAAAAAA==", ())
    websocket = WebSocket(Offer(theirs, ConnectionError), wish, "", Conversation(max_message_bytes, 0, 5, 0.0))

    def echo() -> None:
        with suppress(Closed):
            for message in websocket:
                websocket.send(message)
        websocket.end()

    thread = threading.Thread(target=echo)
    thread.start()
    try:
        assert read_head(ours)[0] == 101
        yield ours
    finally:
        ours.close()
        thread.join()


def test_a_client_that_sends_some_messages_before_it_reads_is_heard() -> None:
    """The echo of one takes more than the socket holds: who did not read while it writes would wait for ever."""
    message = os.urandom(900_000)
    client = Connection(ConnectionType.CLIENT)
    with echoing(2_000_000) as sock:
        for _ in range(3):
            sock.sendall(client.send(BytesMessage(message)))
        heard = b""
        while len(heard) < 3 * len(message):
            client.receive_data(sock.recv(65_536))
            heard += b"".join(event.data for event in client.events() if isinstance(event, BytesMessage))
        assert heard == message * 3


def test_a_client_that_never_reads_is_not_read_from_for_ever() -> None:
    """What waits for the app is bounded: by its largest message, and what one read brings."""
    client = Connection(ConnectionType.CLIENT)
    with echoing(100_000) as sock:
        sock.settimeout(None)
        sock.setblocking(False)
        sent, data = 0, memoryview(client.send(BytesMessage(os.urandom(90_000))) * 50)
        while select.select([], [sock], [], 1.0)[1]:
            sent += sock.send(data[sent : sent + 65_536])
        assert sent < len(data) / 2
        print(f"{sent} of {len(data)} bytes were taken from a client that reads nothing")


# --- without Hedgerow's front and workers -----------------------------------------------------------------------------

SERVERS = {
    "hedgerow.gunicorn": ["--worker-class", "hedgerow.gunicorn.Worker"],
    "hedgerow.gunicorn with threads": ["--worker-class", "hedgerow.gunicorn.Worker", "--threads", "4"],
    "gunicorn gthread": ["--worker-class", "gthread", "--threads", "4"],
}


@pytest.mark.parametrize("server", SERVERS)
def test_another_server_that_gives_its_socket_will_do(tmp_path: Path, server: str) -> None:
    put(tmp_path)
    module = "from app import application\nfrom hedgerow.middleware.websocket import Websocket\n"
    (tmp_path / "talks" / "served.py").write_text(module + "application = Websocket(application)\n")
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--graceful-timeout", "5"]
    before = threading.active_count()
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen([*command, *SERVERS[server], "served"], cwd=tmp_path / "talks", stdout=log, stderr=log)
    log.close()
    try:
        until(lambda: "Booting worker" in (tmp_path / "log").read_text(), 30, "gunicorn is up")
        with Talker(port, "/echo") as talker:
            talker.send("hello")
            assert talker.receive() == "hello"
            talker.close()
            assert talker.code() == 1000
        with Talker(port, "/fails") as talker:
            talker.send("hello")
            assert talker.code() == 1011
        if server.startswith("hedgerow"):
            with Talker(port, "/echo") as talker:
                talker.send("hello")
                talker.receive()
                process.terminate()
                assert talker.code() == 1001
    finally:
        process.terminate()
        process.wait(30)
    assert threading.active_count() == before, "no client is left"
