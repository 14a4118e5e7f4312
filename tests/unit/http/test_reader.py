"""Bytes to requests: every case is fed whole, byte by byte, and with trailing bytes, and must read the same."""

from __future__ import annotations

import contextlib
import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.errors import HttpError
from hedgerow.http.reader import RequestReader
from hedgerow.http.request import Framing, Request

HOST = b"Host: a.example\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
PUT = b"PUT / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


def read(data: bytes, step: int) -> tuple[Request, bytes, RequestReader]:
    """The first request and its whole body, fed in pieces of step bytes."""
    reader = RequestReader(max_head_bytes=2000, max_body_bytes=5000)
    request, body = None, b""
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
        if request is None:
            request = reader.next_request()
        if request is not None:
            while block := reader.read_body():
                body += block
    assert request is not None, "the head was not complete"
    return request, body, reader


ACCEPTED = {
    "a plain get": (GET + b"\r\n", "GET", "/", b""),
    "a raw target stays raw": (b"GET /a%2Fb//c;x?q=%20 HTTP/1.1\r\n" + HOST + b"\r\n", "GET", "/a%2Fb//c;x?q=%20", b""),
    "http 1.0 needs no host": (b"GET / HTTP/1.0\r\n\r\n", "GET", "/", b""),
    "one empty line in front": (b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n", "GET", "/", b""),
    "a body with a length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello", "POST", "/", b"hello"),
    "an empty body": (b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n", "POST", "/p", b""),
    "a chunked body": (
        PUT + b"3\r\nabc\r\n0a;x=y\r\n0123456789\r\n0\r\n\r\n",
        "PUT", "/", b"abc0123456789",
    ),
    "a chunked body with a trailer": (
        PUT.replace(b"chunked", b"Chunked") + b"1\r\na\r\n0\r\nX: 1\r\n\r\n", "PUT", "/", b"a",
    ),
    "an upgrade we do not follow": (
        b"GET /u HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "GET", "/u", b"",
    ),
}  # fmt: skip


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize("name", ACCEPTED)
def test_a_request_reads_the_same_however_it_arrives(name: str, step: int) -> None:
    data, method, target, body = ACCEPTED[name]
    request, got, reader = read(data, step)
    assert (request.method, request.target, got) == (method, target, body)
    assert reader.body_done
    assert reader.buffered == 0


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_follows_a_request_stays_bytes_until_it_is_asked_for(name: str) -> None:
    follower = b"GET /next HTTP/1.1\r\nHost: b\r\n\r\n"
    _, _, reader = read(ACCEPTED[name][0] + follower, 100_000)
    assert reader.buffered == len(follower)
    following = reader.next_request()
    assert following is not None
    assert (following.target, following.fields["HTTP_HOST"]) == ("/next", "b")


def test_two_thousand_pipelined_requests_are_not_parsed_ahead() -> None:
    reader = RequestReader()
    reader.feed(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" * 2000)
    for left in range(1999, -1, -1):
        assert reader.next_request() is not None
        assert reader.buffered == left * 28
    assert reader.next_request() is None


REJECTED = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "an empty host name": (b"GET / HTTP/1.1\r\nHost: \r\n\r\n", 400),
    "a host with a slash": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "length and coding": (PUT[:-2] + b"Content-Length: 1\r\n\r\n", 400),
    "coding in http 1.0": (b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", 400),
    "an unknown coding": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: tea, chunked\r\n\r\n", 501),
    "chunked twice": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, chunked\r\n\r\n", 400),
    "chunked not last": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, gzip\r\n\r\n", 400),
    "a signed length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
    "a length beyond the limit": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5001\r\n\r\n", 413),
    "a bare line feed": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "a folded header": (GET + b"X: a\r\n b\r\n\r\n", 400),
    "a space before the colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "a control byte in a value": (GET + b"X: a\x01b\r\n\r\n", 400),
    "two spaces in the request line": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "another protocol": (b"GET / RTSP/1.0\r\n" + HOST + b"\r\n", 400),
    "http 2.0": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    "http 0.9": (b"GET /\r\n\r\n", 400),
    "a head too long": (GET + b"X: " + b"a" * 2000 + b"\r\n\r\n", 431),
    "an endless head": (GET + b"X: " + b"a" * 3000, 431),
    "another expectation": (GET + b"Expect: tea\r\n\r\n", 417),
    "a chunk size with a sign": (PUT + b"+3\r\nabc\r\n0\r\n\r\n", 400),
    "a chunk longer than it says": (PUT + b"2\r\nabc\r\n0\r\n\r\n", 400),
    "a chunk size that overflows": (PUT + b"" + b"f" * 17 + b"\r\n", 400),
    "a chunk line in a bare line feed": (PUT + b"1\na\r\n0\r\n\r\n", 400),
    "an endless chunk extension": (PUT + b"1;" + b"x" * 2000, 400),
    "chunks beyond the limit": (PUT + b"1389\r\n", 413),
    "endless trailers": (PUT + b"0\r\n" + b"A: b\r\n" * 5000, 400),
}  # fmt: skip


@pytest.mark.parametrize("step", [1, 100_000])
@pytest.mark.parametrize("name", REJECTED)
def test_what_is_no_request_is_rejected_with_its_status(name: str, step: int) -> None:
    data, status = REJECTED[name]
    with pytest.raises(HttpError) as caught:
        read(data, step)
    assert caught.value.status == status


def test_a_name_with_an_underscore_is_dropped_and_cookies_are_joined() -> None:
    head = (
        b"GET / HTTP/1.1\r\n"
        + HOST
        + b"X_Real: evil\r\nX-Real: good\r\nCookie: a=1\r\nCookie: b=2\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
    )
    fields = read(head, 100_000)[0].fields
    assert fields == {"HTTP_HOST": "a.example", "HTTP_X_REAL": "good", "HTTP_COOKIE": "a=1; b=2", "HTTP_X_A": "1,2"}


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_whether_the_client_allows_another_request(head: bytes, keep: bool) -> None:
    assert read(head, 100_000)[0].keep_alive is keep


@given(st.lists(st.binary(max_size=300), max_size=6), st.integers(1, 50))
def test_a_chunked_body_decodes_to_what_was_encoded(blocks: list[bytes], step: int) -> None:
    """For all blocks and all ways of cutting the wire bytes: the decoded body is the blocks, one request was read."""
    wire = b"".join(b"%X\r\n%b\r\n" % (len(block), block) for block in blocks if block) + b"0\r\n\r\n"
    head = PUT
    request, body, reader = read(head + wire, step)
    assert request.framing is Framing.CHUNKED
    assert body == b"".join(blocks)
    assert reader.body_done


@given(st.binary(max_size=400), st.integers(1, 60))
def test_any_bytes_give_a_request_or_an_error_and_never_anything_else(data: bytes, step: int) -> None:
    """No byte sequence raises anything but HttpError, and the reader never holds more than it was fed."""
    reader = RequestReader(max_head_bytes=200, max_body_bytes=200)
    try:
        for start in range(0, len(data), step):
            reader.feed(data[start : start + step])
            if reader.body_done:
                reader.next_request()
            reader.read_body()
            assert reader.buffered <= len(data)
    except HttpError as error:
        status = error.status
    else:
        status = 400
    assert 400 <= status < 600


def test_a_refused_head_is_not_kept_until_the_cycle_collector_comes() -> None:
    gc.collect()
    for _ in range(20):
        reader = RequestReader()
        reader.feed(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(HttpError):
            reader.next_request()
        with pytest.raises(HttpError, match="Host"):
            reader.next_request()
        del reader
    assert gc.collect() < 20, "each refusal leaves a cycle"
