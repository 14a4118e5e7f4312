"""What goes to an upstream of a request, and back of its answer: heads, bodies, and an answer's bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from wsgiref.util import setup_testing_defaults

import pytest
from asking_middleware import App, ask

from hedgerow.middleware.remote import Remote
from hedgerow.middleware.upstreams.address import parse
from hedgerow.middleware.upstreams.body import Body, BodyError
from hedgerow.middleware.upstreams.hops import answer_fields
from hedgerow.middleware.upstreams.outgoing import NotAskedError, below, outgoing, path_of, wants_upgrade
from hedgerow.middleware.upstreams.reply import Reply, ReplyError

PLAIN = parse("http://a.example:8000/v2")


def environ(path: str = "/", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"PATH_INFO": path, "SCRIPT_NAME": "", "REQUEST_METHOD": "GET", "HTTP_HOST": "b.example"}
    found |= more
    setup_testing_defaults(found)
    return found


def head(asked: dict[str, Any], strip: int = 0, length: int | None = 0, **how: bool) -> list[str]:
    text = outgoing(asked, path_of(asked), strip, **how).head(PLAIN, length).decode("latin-1")
    assert text.endswith("\r\n\r\n")
    return text[:-4].split("\r\n")


def test_between_two_neighbours_stays_there() -> None:
    given = {
        "HTTP_CONNECTION": "close, X-Private, Content-Length, Host",
        "HTTP_X_PRIVATE": "1",
        "HTTP_KEEP_ALIVE": "5",
        "HTTP_TE": "trailers",
        "HTTP_TRAILER": "X",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "HTTP_UPGRADE": "h2c",
        "HTTP_PROXY_AUTHORIZATION": "secret",
        "HTTP_PROXY_CONNECTION": "keep-alive",
        "HTTP_EXPECT": "100-continue",
        "HTTP_X_HEDGEROW_ROUND": "1",
        "HTTP_COOKIE": "a=b",
        "CONTENT_TYPE": "text/plain",
        "REQUEST_METHOD": "POST",
    }
    lines = head(environ(**given), length=5, forwarded=False)
    assert sorted(lines[1:]) == ["Content-Length: 5", "Content-Type: text/plain", "Cookie: a=b", "Host: b.example"]
    chunked = head(environ(**given), length=None, forwarded=False)
    assert sorted(chunked[1:]) == [
        "Content-Type: text/plain",
        "Cookie: a=b",
        "Host: b.example",
        "Transfer-Encoding: chunked",
    ]
    answer = [
        ("Connection", "close, x-hop"), ("X-Hop", "1"), ("Keep-Alive", "5"), ("Transfer-Encoding", "chunked"),
        ("Trailer", "X"), ("Upgrade", "h2c"), ("Proxy-Authenticate", "Basic"), ("Set-Cookie", "a"), ("Set-Cookie", "b"),
    ]  # fmt: skip
    assert answer_fields(answer) == [("Set-Cookie", "a"), ("Set-Cookie", "b")]
    assert ("Upgrade", "h2c") in answer_fields(answer, switching=True)


def test_who_asks_is_told_from_environ_and_not_by_the_client() -> None:
    claims = {
        "HTTP_X_FORWARDED_FOR": "6.6.6.6", "HTTP_X_FORWARDED_PORT": "6", "HTTP_FORWARDED": "for=6.6.6.6",
        "HTTP_X_REAL_IP": "6.6.6.6", "REMOTE_ADDR": "192.0.2.7", "wsgi.url_scheme": "https", "SCRIPT_NAME": "/m é",
    }  # fmt: skip
    told = head(environ("/api/x", **claims), strip=1)
    assert told[0] == "GET /v2/x HTTP/1.1"
    assert told[1:] == [
        "Host: b.example",
        "X-Forwarded-For: 192.0.2.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: b.example",
        "X-Forwarded-Prefix: /m%20%E9/api",
    ]
    kept = head(environ(**claims), forwarded=False, keep_host=False)
    assert kept[1] == "Host: a.example:8000"
    assert "X-Forwarded-For: 6.6.6.6" in kept
    assert not any("192.0.2.7" in line for line in kept)


@pytest.mark.parametrize(
    ("mount", "info", "raw", "mounted", "path"),
    [
        ("", "/a/b", "/a%2Fb", "", "/a%2Fb"),
        ("/m", "/a b", "/m/a%20b?q=1", "/m", "/a%20b"),
        ("/m", "/x/y", "/%6d/x%2Fy", "/%6d", "/x%2Fy"),
        ("/m/n", "/x", "/m%2Fn/x", "/m%2Fn", "/x"),
        ("/m", "", "/m", "/m", ""),
        ("/m", "", "/%6d", "/%6d", ""),
        ("/m", "/x", "/m%2Fx", "/m", "/x"),  # the mount ends at what was no slash: uWSGI, gunicorn
        ("/m/", "x y", "/m/x%20y", "/m/", "x%20y"),
        ("", "/ro ot", "/something/else", "", "/ro%20ot"),  # middleware has changed PATH_INFO
        ("", "/\xc3\xa9", "http://a/%C3%A9", "", "/%C3%A9"),
        ("", "/a", "", "", "/a"),
        ("", "/\xe9 b", "/\xe9%20b", "", "/%E9%20b"),
    ],
)
def test_the_raw_path_goes_on_where_it_fits(mount: str, info: str, raw: str, mounted: str, path: str) -> None:
    assert path_of(environ(info, SCRIPT_NAME=mount, REQUEST_URI=raw)) == (mounted, path)


@pytest.mark.parametrize("path", ["/a/..", "/a/../b", "/a/.", "/a/%2e%2E/b", "/a/..%2Fb", "/a/..;x/b", "/a/..%5Cb"])
def test_a_path_does_not_climb(path: str) -> None:
    with pytest.raises(NotAskedError):
        head(environ(unquote(path), REQUEST_URI=path))
    answer = ask(lambda app: Remote(app, upstreams=("http://127.0.0.1:1",), paths=("/a",)), App(), unquote(path))
    assert answer.status == "400 Bad Request"


def test_a_prefix_is_whole_segments() -> None:
    prefixes = ("/api", "/api/v2/", "/\xc3\xa9")
    found = {
        path: below(path_of(environ(path)), prefixes)
        for path in ("/api", "/api/", "/api/v2/x", "/apiary", "/", "/\xc3\xa9/x")
    }
    assert found == {"/api": 1, "/api/": 1, "/api/v2/x": 2, "/apiary": None, "/": None, "/\xc3\xa9/x": 1}
    assert below(path_of(environ("")), ("/",)) == 0


def test_what_is_not_sent_on_is_the_apps() -> None:
    app = App()
    with_app = ask(lambda inner: Remote(inner, upstreams=("http://127.0.0.1:1",), paths=("/api",)), app, "/apiary")
    assert (with_app.body, len(app.seen)) == (b"hello", 1)
    alone = ask(lambda inner: Remote(upstreams=("http://127.0.0.1:1",), paths=("/api",)), app, "/")
    assert (alone.status, len(app.seen)) == ("404 Not Found", 1)
    climbing = ask(lambda inner: Remote(inner, upstreams=("http://127.0.0.1:1",), paths=("/api",)), app, "/b/../api")
    assert (climbing.status, len(app.seen)) == ("200 OK", 2)


@pytest.mark.parametrize(
    ("key", "value"), [("HTTP_X", "a\r\nb: c"), ("HTTP_X", "a\nb"), ("HTTP_HOST", "a\rb"), ("REQUEST_METHOD", "G\n")]
)
def test_a_field_ends_no_line(key: str, value: str) -> None:
    with pytest.raises(NotAskedError, match="line break"):
        head(environ(**{key: value}))


def test_a_query_goes_on_as_it_is_or_encoded() -> None:
    assert head(environ("/a", QUERY_STRING="x=%20&y=[1]"))[0] == "GET /v2/a?x=%20&y=[1] HTTP/1.1"
    assert head(environ("/a", QUERY_STRING="x=a b\r\nX: y\xe9"))[0] == "GET /v2/a?x=a%20b%0D%0AX:%20y%E9 HTTP/1.1"


def test_a_client_takes_nothing_away_that_was_said_of_it() -> None:
    given = {"HTTP_CONNECTION": "X-Forwarded-For, X-Real-IP, X-Mine", "HTTP_X_MINE": "1"}
    said = {"HTTP_X_FORWARDED_FOR": "192.0.2.7", "HTTP_X_REAL_IP": "192.0.2.7"}
    told = head(environ(**given, **said), forwarded=False)
    assert sorted(told[2:4]) == ["X-Forwarded-For: 192.0.2.7", "X-Real-Ip: 192.0.2.7"]
    assert not any("Mine" in line for line in told)


def test_where_no_server_gives_its_socket_there_is_no_upgrade() -> None:
    assert wants_upgrade({"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "keep-alive, Upgrade"})
    assert not wants_upgrade({"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "keep-alive"})
    for again in ("h2c", "websocket, H2C", "HTTP/2.0", "TLS/1.3"):  # in it any path could be asked for
        assert not wants_upgrade({"HTTP_UPGRADE": again, "HTTP_CONNECTION": "Upgrade, HTTP2-Settings"})
    answer = ask(lambda _: Remote(upstreams=("http://127.0.0.1:1",)), App(), Upgrade="websocket", Connection="Upgrade")
    assert answer.status == "501 Not Implemented"
    assert b"another protocol" in answer.body


class Slow(io.BytesIO):
    """What comes of a slow client: three bytes at a time."""

    def read1(self, size: int | None = -1) -> bytes:
        return self.read(3)


def drained(body: Body) -> bytes:
    return b"".join(iter(body.next, b""))


def test_a_body_is_kept_up_to_a_limit_and_handed_out_again() -> None:
    source = {"wsgi.input": Slow(b"hello world"), "CONTENT_LENGTH": "11"}
    body = Body(source, 100)
    assert source["wsgi.input"].tell() == 3, "the first block is awaited before an upstream is asked"  # type: ignore[attr-defined]
    assert [body.next(), body.next()] == [b"hel", b"lo "]
    body.restart()
    assert not body.at_end
    assert drained(body) == b"hello world"
    assert body.at_end
    body.restart()
    assert drained(body) == b"hello world"
    assert body.whole
    longer = Body({"wsgi.input": Slow(b"hello world"), "CONTENT_LENGTH": "11"}, 6)
    assert [longer.next(), longer.next(), longer.whole] == [b"hel", b"lo ", True]
    assert drained(longer) == b"world"
    assert (longer.whole, longer.at_end) == (False, True)


def test_a_body_of_unknown_length_ends_where_the_server_says() -> None:
    chunked = Body({"wsgi.input": Slow(b"hello"), "wsgi.input_terminated": True}, 100)
    assert (chunked.length, drained(chunked)) == (None, b"hello")
    none = Body({"wsgi.input": io.BytesIO(), "wsgi.input_terminated": True}, 100)
    assert (none.length, none.at_end, none.next()) == (0, True, b"")
    untold = Body({"wsgi.input": io.BytesIO(b"of the next request"), "CONTENT_LENGTH": ""}, 100)
    assert (untold.length, untold.next()) == (0, b"")
    answer = ask(lambda _: Remote(upstreams=("http://127.0.0.1:1",)), App(), method="POST", Transfer_Encoding="chunked")
    assert answer.status == "411 Length Required", "better than to lose it"
    answer = ask(lambda _: Remote(upstreams=("http://127.0.0.1:1",)), App(), method="POST", Transfer_Encoding="gzip")
    assert answer.status == "501 Not Implemented"


def test_a_body_that_ends_early_is_no_whole_one() -> None:
    body = Body({"wsgi.input": Slow(b"hello"), "CONTENT_LENGTH": "6"}, 100)
    with pytest.raises(BodyError, match="1 bytes"):
        drained(body)
    with pytest.raises(BodyError):
        Body({"wsgi.input": io.BytesIO(), "CONTENT_LENGTH": "6"}, 100)


CHUNKED = b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\n"
ANSWERS = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "GET", "200 OK", b"hello", True),
    (b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n" + CHUNKED, "GET", "200 OK", b"hello", True),
    (INTERIM + b"HTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n", "POST", "201 Made", b"", True),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", "200 OK", b"", True),
    (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", "204 No Content", b"", True),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", "304 Not Modified", b"", True),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", "GET", "200 OK", b"hi", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "GET", "200 OK", b"hi", False),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\n", "GET", "200 OK", b"hi", False),
]  # fmt: skip


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(("data", "method", "status", "body", "keep"), ANSWERS)
def test_an_answer_comes_in_pieces(data: bytes, method: str, status: str, body: bytes, keep: bool, size: int) -> None:
    reply = Reply(method)
    for start in range(0, len(data), size):
        reply.feed(data[start : start + size])
    assert (reply.status_line, reply.take(), reply.complete, reply.keep) == (status, body, True, keep)
    assert not {name.lower() for name, _ in reply.headers} & {"transfer-encoding", "connection", "link", "x", "trailer"}


def test_an_answer_that_ends_with_its_connection() -> None:
    reply = Reply("GET")
    reply.feed(b"HTTP/1.1 200 OK\r\n\r\nhi")
    assert not reply.complete
    reply.end()
    assert (reply.take(), reply.complete, reply.keep) == (b"hi", True, False)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"HTTP/1.1 200 OK\r\nContent",
    ],
)  # fmt: skip
def test_an_answer_that_ends_early(data: bytes) -> None:
    reply = Reply("GET")
    reply.feed(data)
    with pytest.raises(ReplyError):
        reply.end()


@pytest.mark.parametrize(
    "data",
    [
        b"no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(ReplyError):
        Reply("GET").feed(data)


def test_options_that_do_not_fit_together() -> None:
    for wrong in (
        {"out_s": 2.0, "out_max_s": 1.0}, {"upstreams": ("nowhere",)}, {"upstreams": ()},
        {"upstreams": ("https://a",), "ca_file": Path("/nowhere")},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r".+"):
            Remote(**{"upstreams": ("http://a",), **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("switching", [False, True])
def test_an_upstream_does_not_speak_to_the_front(switching: bool) -> None:
    """nginx would send any file of the state, or send the request on, also for a 101."""
    said = [("X-Accel-Redirect", "@file"), ("x-accel-file", "/data/b/db"), ("X-Hedgerow-Cause", "full"), ("A", "b")]
    assert answer_fields([*said, ("X-Accel-Buffering", "no")], switching) == [("A", "b"), ("X-Accel-Buffering", "no")]
