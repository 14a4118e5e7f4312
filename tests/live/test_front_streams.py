"""What comes in pieces passes the real front piece by piece: the next is made only when the client has got the last.
So nothing here is about seconds: an answer that was held back anywhere would never come at all.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from control_support import Stack, drop, get, stack, until
from front_backends import Exchange, backends
from front_support import Client, binaries, running
from guide_page import DOCS, blocks
from test_front_config import run_script
from websocket_support import Talker
from worker_support import APPS

from hedgerow.control.front import NginxBinary

NAVIGATES = "Sec-Fetch-Mode: navigate"
LINK = b"Link: </style.css>; rel=preload; as=style"


@pytest.fixture(params=binaries(), ids=str)
def binary(request: pytest.FixtureRequest) -> NginxBinary:
    return request.param


@contextmanager
def serving(app_toml: str = "", **environ: str) -> Iterator[Stack]:
    with stack(workers=1, **environ) as here:
        shutil.copytree(APPS / "streams", here.apps / "streams")
        (here.apps / "streams" / "app.toml").write_text(app_toml)
        here.up()
        until(lambda: get(here.port, "/streams/")[0] == 200, 30, "the app answers")
        yield here


WAYS = {"greenlets": "", "threads": 'concurrency = "threads"\nthreads = 100\n', "own pool": 'pool = "own"\n'}


@pytest.fixture(scope="module", params=WAYS)
def here(request: pytest.FixtureRequest) -> Iterator[Stack]:
    with serving(WAYS[request.param]) as here:
        yield here


class Reader:
    """The answer to one request, as its bytes come."""

    def __init__(self, here: Stack, target: str, *lines: str) -> None:
        self.here = here
        self.name = target.partition("?")[2]
        self.client = Client(here.port)
        self.client.head("GET", f"/streams{target}", *lines, "Connection: close")
        self.arrived = b""

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self.client.socket.close()

    def read_until(self, mark: bytes) -> None:
        while mark not in self.arrived:
            piece = self.client.socket.recv(65_536)
            assert piece, self.arrived
            self.arrived += piece

    def read_all(self) -> bytes:
        while piece := self.client.socket.recv(65_536):
            self.arrived += piece
        return self.arrived

    def go_on(self) -> None:
        assert get(self.here.port, f"/streams/next?{self.name}", "POST")[0] == 200


# --- events and long polling ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["/events", "/pieces"])
def test_each_piece_arrives_before_the_next_is_made(here: Stack, kind: str) -> None:
    """Events without a word of the app's about buffers, other streams because the app says X-Accel-Buffering: no."""
    with Reader(here, f"{kind}?{kind[1:]}") as reader:
        for number in range(5):
            reader.read_until(b"data: event %d\n\n" % number)
            assert b"event %d" % (number + 1) not in reader.arrived
            reader.go_on()
        assert reader.read_all().endswith(b"0\r\n\r\n")
        assert b"X-Accel" not in reader.arrived, "what is for the front alone goes no further"


def test_many_listen_at_once_and_each_hears_its_own(here: Stack) -> None:
    readers = [Reader(here, f"/events?listener{number}") for number in range(30)]
    try:
        for number in range(3):
            for reader in readers:
                reader.read_until(b"data: event %d\n\n" % number)
            for reader in readers:
                reader.go_on()
    finally:
        for reader in readers:
            reader.client.socket.close()


def test_a_long_poll_is_answered_when_something_happens(here: Stack) -> None:
    with Reader(here, "/poll?long") as reader:
        assert get(here.port, "/streams/state?long")[1] == b"goes on", "others are answered meanwhile"
        reader.go_on()
        assert b"something has happened" in reader.read_all()


def test_a_client_that_leaves_ends_the_generator(here: Stack) -> None:
    """At its next piece: so a stream that has nothing to say sends a comment from time to time."""
    with Reader(here, "/endless?leaves") as reader:
        reader.read_until(b"data: event 0\n\n")

    def ended() -> bool:
        get(here.port, "/streams/next?leaves", "POST")
        return get(here.port, "/streams/state?leaves")[1] == b"ended"

    until(ended, 20, "its finally has run")


# --- early hints ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hinting() -> Iterator[Stack]:
    with serving(HEDGEROW_EARLY_HINTS="1") as here:
        yield here


def test_a_browser_that_opens_a_page_gets_hints_before_the_answer_is_made(hinting: Stack) -> None:
    with Reader(hinting, "/hints?early", NAVIGATES) as reader:
        reader.read_until(b"\r\n\r\n")
        head, _, rest = reader.arrived.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 103 ")
        assert LINK in head
        assert rest == b""
        reader.go_on()
        final = reader.read_all().partition(b"\r\n\r\n")[2]
        assert final.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"HTTP_X_HEDGEROW_HINTS" not in final, "what front and worker tell each other is not the app's"


@pytest.mark.parametrize("lines", [[], ["Sec-Fetch-Mode: cors"], ["X-Hedgerow-Hints: 1"]])
def test_other_clients_get_none(hinting: Stack, lines: list[str]) -> None:
    with Reader(hinting, f"/hints?other{len(lines)}{lines}".replace(" ", ""), *lines) as reader:
        reader.go_on()
        assert reader.read_all().startswith(b"HTTP/1.1 200 OK\r\n")
        assert b" 103 " not in reader.arrived


@pytest.mark.parametrize("lines", [[NAVIGATES], [NAVIGATES, "X-Hedgerow-Hints: 1"]])
def test_hints_are_off_unless_they_are_switched_on(here: Stack, lines: list[str]) -> None:
    with Reader(here, f"/hints?off{len(lines)}", *lines) as reader:
        reader.go_on()
        assert reader.read_all().startswith(b"HTTP/1.1 200 OK\r\n")
        assert b" 103 " not in reader.arrived


@pytest.mark.parametrize(
    ("version", "is_taken"),
    [("1.27.3", False), ("1.28.9", False), ("1.9.1", False), ("1.29.0", True), ("1.31.3", True), ("2.0.1", True)],
)
def test_an_nginx_that_cannot_pass_hints_on_is_refused(tmp_path: Path, version: str, is_taken: bool) -> None:
    nginx = tmp_path / "nginx"
    nginx.write_text(f"#!/bin/sh\necho 'nginx version: nginx/{version}' >&2\n")
    nginx.chmod(0o755)
    done = run_script(tmp_path / "run", HEDGEROW_NGINX=str(nginx), HEDGEROW_EARLY_HINTS="1")
    assert done.returncode == (0 if is_taken else 2), done.stderr
    assert is_taken or "older than 1.29" in done.stderr
    assert run_script(tmp_path / "run", HEDGEROW_NGINX=str(nginx)).returncode == 0


def test_a_word_that_is_neither_is_a_mistake(tmp_path: Path) -> None:
    done = run_script(tmp_path, HEDGEROW_EARLY_HINTS="yes")
    assert (done.returncode, done.stderr) == (2, "HEDGEROW_EARLY_HINTS=yes: neither 0 nor 1\n")


# --- the page that tells of all this ----------------------------------------------------------------------------------


def test_the_documented_examples_do_what_they_are_for() -> None:
    page = DOCS / "streaming.md"
    [(_, manifest)] = blocks(page, "toml")
    [chat, events, hints] = [text for _, text in blocks(page, "python")]
    with stack(workers=1, HEDGEROW_EARLY_HINTS="1") as here:
        for name, text in {"talks": chat, "events": events, "hints": hints}.items():
            drop(here.apps, name, text)
        drop(here.apps, "talks", manifest, "app.toml")
        here.up()
        until(lambda: {get(here.port, f"/{name}/")[0] for name in ("talks", "events", "hints")} == {200}, 30, "all")
        assert get(here.port, "/talks/")[1] == b"a page like any other"
        assert get(here.port, "/talks/chat")[0] == 426
        asks = "Origin: https://shop.example", "Sec-WebSocket-Protocol: chat.example"
        with Talker(here.port, "/talks/chat", *asks) as talker:
            talker.send("hello")
            assert (talker.receive(), talker.fields["sec-websocket-protocol"]) == ("hello", "chat.example")
        assert get(here.port, "/events/")[1].count(b"data: it is ") == 3
        with Client(here.port) as client:
            client.head("GET", "/hints/", NAVIGATES)
            assert client.socket.recv(65_536).startswith(b"HTTP/1.1 103 ")


# --- trailers ---------------------------------------------------------------------------------------------------------


def test_trailers_of_a_request_do_not_pass(binary: NginxBinary, tmp_path: Path) -> None:
    """nginx reads over them, so they do not reach the worker; nor would it give them to an app: WSGI has none."""
    heard = []

    def hear(exchange: Exchange) -> None:
        if exchange.header("content-length"):  # nginx had it whole before it sent it on
            heard.append(exchange.read_body())
        else:
            body = bytearray(exchange.early)
            while not body.endswith(b"0\r\n\r\n") and b"X-Sum" not in body:
                body += exchange.connection.recv(65_536)
            heard.append(bytes(body))
            exchange.early = b""
        assert exchange.header("x-sum") == []
        exchange.reply()

    with backends(hear) as (address,), running(tmp_path, binary, [address]) as front, front.client() as client:
        client.head("POST", "/", "Transfer-Encoding: chunked", "Trailer: X-Sum")
        client.send(b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
        assert client.answer("POST").status == 200
    assert heard in ([b"3\r\nabc\r\n0\r\n\r\n"], [b"abc"])


def trails(exchange: Exchange) -> None:
    exchange.read_body()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    exchange.connection.sendall(head + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")


def passes_trailers(snippets: Path) -> None:
    """What nginx has for it, since 1.27.2."""
    file = snippets / "buffering.conf"
    file.write_text(file.read_text() + "proxy_pass_trailers on;\n")


@pytest.mark.parametrize("switched_on", [False, True])
def test_trailers_of_an_answer_pass_only_where_nginx_is_told_to(
    binary: NginxBinary, tmp_path: Path, switched_on: bool
) -> None:
    """It is not told to: the one whose answers it passes on is the worker, which has none."""
    change = passes_trailers if switched_on else None
    with (
        backends(trails) as (address,),
        running(tmp_path, binary, [address], change) as front,
        front.client() as client,
    ):
        client.head("GET", "/", "TE: trailers", "Connection: close")
        arrived = b""
        while piece := client.socket.recv(65_536):
            arrived += piece
    body = arrived.partition(b"\r\n\r\n")[2]
    assert body == (b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n" if switched_on else b"3\r\nabc\r\n0\r\n\r\n")
