"""Answers of pools, fed whole, byte by byte, and with bytes behind them."""

from __future__ import annotations

import pytest

from hedgerow.worker.answer import Answer
from hedgerow.worker.transfer import BrokenOff

FIELDS = b"Content-Type: text/plain\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
PAIRS = [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
LENGTH = [*PAIRS, ("Content-Length", "5")]

# The answer, the request's method, what has to come of it: status, headers, body, whether the connection is kept.
CASES = {
    "length": (b"HTTP/1.1 200 OK\r\n" + FIELDS + b"Content-Length: 5\r\n\r\nhello", "GET", 200, LENGTH, b"hello", True),
    "chunked": (
        b"HTTP/1.1 200 OK\r\n" + FIELDS + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Late: 1\r\n\r\n",
        "GET", 200, PAIRS, b"hello", True,
    ),
    "closes": (
        b"HTTP/1.1 200 OK\r\n" + FIELDS + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
        "GET", 200, LENGTH, b"hello", False,
    ),
    "head": (b"HTTP/1.1 200 OK\r\n" + FIELDS + b"Content-Length: 5\r\n\r\n", "HEAD", 200, LENGTH, b"", True),
    "head, chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", 200, [], b"", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n" + FIELDS + b"\r\n", "GET", 204, PAIRS, b"", True),
    "not modified": (b"HTTP/1.1 304 Not\r\n" + FIELDS + b"Content-Length: 5\r\n\r\n", "GET", 304, LENGTH, b"", True),
    "interim answers before it": (
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + FIELDS
        + b"Content-Length: 5\r\n\r\nhello",
        "GET", 200, LENGTH, b"hello", True,
    ),
    "hop-by-hop fields": (
        b"HTTP/1.1 200 OK\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\nTrailer: x\r\nContent-Length: 5\r\n\r\nhello",
        "GET", 200, [("Content-Length", "5")], b"hello", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize("case", CASES)
def test_answers(case: str, step: int) -> None:
    data, method, status, headers, body, keep = CASES[case]
    answer, got = Answer(method), b""
    for start in range(0, len(data), step):
        assert not answer.complete
        answer.feed(data[start : start + step])
        got += answer.take()
    assert (answer.status, answer.headers, got, answer.complete, answer.keep) == (status, headers, body, True, keep)
    assert answer.invited == (case == "interim answers before it")
    answer.end()


@pytest.mark.parametrize("case", CASES)
def test_what_comes_behind_an_answer_is_not_its_body_and_spoils_the_connection(case: str) -> None:
    data, method, status, headers, body, _ = CASES[case]
    answer = Answer(method)
    answer.feed(data + b"HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\nno!")
    assert (answer.status, answer.headers, answer.take(), answer.complete) == (status, headers, body, True)
    assert not answer.keep


def test_an_answer_that_the_end_of_the_connection_ends() -> None:
    answer = Answer("GET")
    answer.feed(b"HTTP/1.1 200 OK\r\n\r\nhel")
    answer.feed(b"lo")
    answer.end()
    assert (answer.take(), answer.complete, answer.keep) == (b"hello", True, False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
def test_an_answer_that_ends_early_is_broken(data: bytes) -> None:
    answer = Answer("GET")
    if data:
        answer.feed(data)
    with pytest.raises(BrokenOff, match="ended"):
        answer.end()


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"]
)
def test_what_is_no_http_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenOff, match="no HTTP"):
        Answer("GET").feed(data)


def test_a_head_without_end_is_broken() -> None:
    answer = Answer("GET")
    answer.feed(b"HTTP/1.1 200 OK\r\n")
    for _ in range(26):
        answer.feed(b"X-More: " + b"x" * 10_000 + b"\r\n")
    with pytest.raises(BrokenOff, match="too large"):
        answer.feed(b"X-More: " + b"x" * 10_000 + b"\r\n")


def test_another_protocol() -> None:
    answer = Answer("GET")
    answer.feed(b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-X: 1\r\n\r\n\x81\x00")
    told = (answer.status, answer.headers, answer.rest, answer.keep)
    assert told == (101, [("Sec-X", "1"), ("Upgrade", "websocket")], b"\x81\x00", False)


@pytest.mark.parametrize(("field", "refused"), [(b"@refused", True), (b"/x", False)])
def test_a_refusal_is_what_only_a_worker_can_say(field: bytes, refused: bool) -> None:
    answer = Answer("GET")
    answer.feed(
        b"HTTP/1.1 503 S\r\nX-Accel-Redirect: " + field + b"\r\nX-Hedgerow-Cause: full\r\n"
        b"X-Hedgerow-Retry: 7\r\nContent-Length: 0\r\n\r\n"
    )
    assert (answer.refused, answer.cause, answer.retry_after_s) == (refused, "full", 7)
    assert [name for name, _ in answer.headers if name.startswith("X-Hedgerow")] == []
