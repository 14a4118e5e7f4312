"""The WebSocket middleware before anything is spoken: who may begin, and what the others are told."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from asking_middleware import Answer, App, ask
from wsproto.utilities import generate_accept_token

from hedgerow.http.response import ResponseHead
from hedgerow.middleware.websocket import Websocket
from hedgerow.middleware.websockets.handshake import Wish, is_same_site

KEY = base64.b64encode(b"sixteen bytes...").decode()
ASKS = {"Connection": "keep-alive, Upgrade", "Upgrade": "websocket"}
SOUND = ASKS | {"Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": KEY}


def asked(fields: dict[str, str], method: str = "GET", path: str = "/", socket: Any = None, **options: Any) -> Answer:
    """socket: what the server lets an app do with it; by default it has something to give."""

    def wrap(app: Any) -> Callable[..., Any]:
        inner = Websocket(app, **options)
        return lambda environ, start: inner(
            {**environ, "SERVER_PROTOCOL": "HTTP/1.1", "hedgerow.take_socket": socket}, start
        )

    return ask(wrap, App(), path, method, **fields)


def nothing(*_: object) -> Any:
    raise AssertionError("nobody wants it")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "200 OK"),
        ({"Upgrade": "h2c", "Connection": "Upgrade"}, "200 OK"),
        (SOUND, "200 OK"),
        (SOUND | {"Upgrade": "WebSocket"}, "200 OK"),
        (SOUND | {"Sec_WebSocket_Protocol": "a, b"}, "200 OK"),
        (ASKS, "426 Upgrade Required"),
        (SOUND | {"Sec_WebSocket_Version": "8"}, "426 Upgrade Required"),
        (SOUND | {"Sec_WebSocket_Version": "13, 8"}, "426 Upgrade Required"),
        (SOUND | {"Connection": "keep-alive"}, "400 Bad Request"),
        (SOUND | {"Sec_WebSocket_Key": ""}, "400 Bad Request"),
        (SOUND | {"Sec_WebSocket_Key": "c2l4dGVlbg=="}, "400 Bad Request"),
        (SOUND | {"Sec_WebSocket_Key": "!" * 24}, "400 Bad Request"),
        (SOUND | {"Sec_WebSocket_Key": f"{KEY}, {KEY}"}, "400 Bad Request"),
        (SOUND | {"Sec_WebSocket_Protocol": "a, a"}, "400 Bad Request"),
        (SOUND | {"Sec_WebSocket_Protocol": "a b"}, "400 Bad Request"),
    ],
)
def test_a_request_is_let_in_or_told_what_is_wrong(fields: dict[str, str], status: str) -> None:
    """The app is asked, which answers 200 without speaking WebSocket: it may."""
    answer = asked(fields, socket=nothing)
    assert answer.status == status
    if status.startswith("426"):
        assert answer["Sec-WebSocket-Version"] == "13"
        assert not ResponseHead(answer.status, answer.headers).dropped, "for which the app would be blamed"


def test_a_list_that_the_app_answers_instead_stays_one() -> None:
    """So a server still knows its length."""
    body = [b"who are you"]

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("401 Unauthorized", [])
        return body

    environ: dict[str, Any] = {"HTTP_" + name.upper(): value for name, value in SOUND.items()}
    environ |= {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1", "hedgerow.take_socket": nothing}
    assert Websocket(app)(environ, lambda *_: nothing) is body


def test_only_get_begins_one() -> None:
    assert asked(SOUND, method="POST", socket=nothing).status == "400 Bad Request"


def test_a_server_that_gives_no_socket_is_no_place_for_it() -> None:
    answer = asked(SOUND)
    assert answer.status == "501 Not Implemented"
    assert asked({}).status == "200 OK"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/chat", "426"), ("/chat/", "426"), ("/chat/room", "426"), ("/chatter", "200"), ("/", "200"), ("/a/chat", "200")],
)
def test_paths_that_speak_nothing_else(path: str, status: str) -> None:
    assert asked({}, path=path, paths=("/chat",)).status.startswith(status)


@pytest.mark.parametrize(
    ("origin", "host", "is_same"),
    [
        ("https://a.example", "a.example", True),
        ("https://A.example", "a.EXAMPLE", True),
        ("https://a.example", "a.example:443", True),
        ("http://a.example:80", "a.example", True),
        ("http://a.example:8080", "a.example:8080", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://a.example", "a.example:8080", False),
        ("http://a.example:8080", "a.example", False),
        ("https://a.example.evil.example", "a.example", False),
        ("https://evil.example", "a.example", False),
        ("https://a.example@evil.example", "a.example", False),
        ("https://a.example/", "a.example", False),
        ("null", "null", False),
        ("null", "", False),
        ("", "", False),
        ("file://", "", False),
    ],
)
def test_an_origin_is_the_hosts_own_or_not(origin: str, host: str, is_same: bool) -> None:
    assert is_same_site(origin, host) is is_same


@pytest.mark.parametrize(
    ("origins", "origin", "status"),
    [
        ((), "http://evil.example", "403"),
        ((), "http://127.0.0.1", "200"),
        (("https://friend.example",), "https://friend.example", "200"),
        (("https://friend.example",), "http://127.0.0.1", "200"),
        (("https://friend.example",), "http://friend.example", "403"),
        (("*",), "http://evil.example", "200"),
        ((), "null", "403"),
    ],
)
def test_pages_of_other_origins_are_refused(origins: tuple[str, ...], origin: str, status: str) -> None:
    answer = asked(SOUND | {"Origin": origin, "Host": "127.0.0.1"}, socket=nothing, origins=origins)
    assert answer.status.startswith(status)


def test_the_answer_proves_that_it_was_understood() -> None:
    head = Wish(KEY, ("a",)).answer("a").decode()
    assert head.startswith("HTTP/1.1 101 Switching Protocols\r\n")
    assert f"\r\nSec-WebSocket-Accept: {generate_accept_token(KEY.encode()).decode()}\r\n" in head
    assert head.endswith("\r\nSec-WebSocket-Protocol: a\r\n\r\n")
    assert b"Protocol:" not in Wish(KEY, ()).answer("")
