"""Every file of the corpus through the real reader: whole, byte by byte, and with trailing bytes."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

import pytest
import wire_corpus
from wire_corpus import SMUGGLED, Accept, Reject, Wanted

from hedgerow.errors import HttpError
from hedgerow.http.reader import RequestReader
from hedgerow.http.request import Request

REJECTS = wire_corpus.rejects()
ACCEPTS = wire_corpus.accepts()
MAX_CPU_S = 2.0  # of one reading; the slowest, 65 kB byte by byte, takes a twentieth
WHOLE = 10**9


@dataclass
class Reading:
    """What a connection would see: heads, bodies and at which byte each came to its end; the error's status, or 0."""

    requests: list[Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    status: int = 0
    left: int = 0


def read(data: bytes, step: int = WHOLE) -> Reading:
    """Feed data in pieces of step bytes and take requests out, until one ends the connection or an error does."""
    reader = RequestReader(
        max_head_bytes=wire_corpus.MAX_HEAD_BYTES,
        max_body_bytes=wire_corpus.MAX_BODY_BYTES,
        max_target_bytes=wire_corpus.MAX_TARGET_BYTES,
        max_headers=wire_corpus.MAX_HEADERS,
    )
    reading = Reading()
    started = time.process_time()
    try:
        for start in range(0, len(data), step):
            reader.feed(data[start : start + step])
            take(reader, reading, min(start + step, len(data)))
    except HttpError as error:
        reading.status = error.status
    assert time.process_time() - started < MAX_CPU_S, "it took too long"
    reading.left = reader.buffered
    return reading


def take(reader: RequestReader, reading: Reading, fed: int) -> None:
    while len(reading.ends) < len(reading.requests) or may_go_on(reading):
        if len(reading.ends) == len(reading.requests):
            request = reader.next_request()
            if request is None:
                return
            reading.requests.append(request)
            reading.bodies.append(b"")
        while block := reader.read_body():
            reading.bodies[-1] += block
        if not reader.body_done:
            return
        reading.ends.append(fed - reader.buffered)


def may_go_on(reading: Reading) -> bool:
    return not reading.requests or reading.requests[-1].keep_alive


def as_wanted(request: Request, body: bytes) -> Wanted:
    fields = wire_corpus.without_connection(request.fields)
    version = "1.1" if request.http11 else "1.0"
    return Wanted(
        request.method, request.target, request.path, version, fields, body.decode("latin-1"), request.keep_alive
    )


def test_the_corpus_is_as_large_as_it_was_meant_to_be() -> None:
    assert len(REJECTS) >= 250
    assert len(ACCEPTS) >= 120
    cases: list[Reject | Accept] = [*REJECTS, *ACCEPTS]
    assert len({case.data for case in cases}) == len(cases), "two files are the same"


def test_the_table_of_advisories_names_what_there_is() -> None:
    """Files that carry an id are in the table, and what the table names exists."""
    table = (wire_corpus.HERE / "ADVISORIES.md").read_text().partition("| --- |")[2]
    named = set(re.findall(r"`((?:[45]\d\d-|CVE-|test_)[\w.-]+)`", table))
    files = {case.name for case in [*REJECTS, *ACCEPTS]}
    assert {name for name in files if re.search(r"CVE-|GHSA-|cheroot-", name)} - named == set()
    tests = "".join(path.read_text() for path in wire_corpus.HERE.parent.glob("*/**/test_*.py"))
    assert [name for name in named - files if f"def {name}(" not in tests] == []


@pytest.mark.parametrize("step", [WHOLE, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize("case", ACCEPTS, ids=lambda case: case.name)
def test_what_is_a_request_is_read_as_the_rfc_has_it(case: Accept, step: int) -> None:
    data = case.data
    reading = read(data, step)
    assert reading.status == 0
    assert tuple(map(as_wanted, reading.requests, reading.bodies)) == case.requests
    assert reading.ends[-1] == len(data) - len(case.rest), "it did not end with its last byte"
    assert reading.left == len(case.rest)


@pytest.mark.parametrize("case", ACCEPTS, ids=lambda case: case.name)
def test_what_follows_a_request_comes_out_as_the_next(case: Accept) -> None:
    reading = read(case.data + SMUGGLED)
    assert reading.status == 0
    assert tuple(map(as_wanted, reading.requests, reading.bodies))[: len(case.requests)] == case.requests
    if case.keeps:
        assert [request.target for request in reading.requests[len(case.requests) :]] == ["/smuggled"]
    else:
        assert len(reading.requests) == len(case.requests)
        assert reading.left == len(case.rest) + len(SMUGGLED)


@pytest.mark.parametrize("tail", [b"", SMUGGLED], ids=["alone", "trailing"])
@pytest.mark.parametrize("step", [WHOLE, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize("case", REJECTS, ids=lambda case: case.name)
def test_what_is_no_request_is_rejected_with_its_status(case: Reject, step: int, tail: bytes) -> None:
    reading = read(case.data + tail, step)
    assert reading.status == case.status
    assert len(reading.ends) == case.before
    assert len(reading.requests) == case.entered
    assert all("smuggled" not in request.target for request in reading.requests)


# Bytes that made other servers compute: under the default limits, in pieces as a socket gives them.

LINES = b"Host: a.example\r\n"
HEAD = b"POST / HTTP/1.1\r\n" + LINES
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB_CPU_S = 0.3
BOMBS = {
    # CVE-2020-5236 (waitress): a regular expression tries all ways to split the value before it sees its end
    "a value with a wrong byte at its end": (HEAD + b"X: " + b"x" * 60_000 + b"\x10\r\n\r\n", 400),
    "a value of blanks with a wrong byte at its end": (HEAD + b"X:" + b" \t" * 30_000 + b"\x01\r\n\r\n", 400),
    "a value of blanks and letters in turns": (HEAD + b"X:" + b" a" * 30_000 + b"\x7f\r\n\r\n", 400),
    "a name with a wrong byte at its end": (HEAD + b"X" * 60_000 + b"@: 1\r\n\r\n", 400),
    "a list of codings with a wrong end": (HEAD + b"Transfer-Encoding: " + b"gzip ,\t" * 8_000 + b"@\r\n\r\n", 400),
    "a list of options": (HEAD + b"Connection: " + b",close \t" * 7_000 + b"\r\n\r\n", 0),
    "a host of escapes with a wrong end": (b"GET / HTTP/1.1\r\nHost: " + b"%41" * 20_000 + b"%\r\n\r\n", 400),
    "a host of colons": (b"GET / HTTP/1.1\r\nHost: " + b":" * 60_000 + b"\r\n\r\n", 400),
    "an address without a closing bracket": (b"GET / HTTP/1.1\r\nHost: [" + b"1:" * 30_000 + b"\r\n\r\n", 400),
    "an absolute target with a wrong end": (b"GET http://" + b"a" * 16_000 + b"# HTTP/1.1\r\n" + LINES + b"\r\n", 400),
    "an absolute target of at signs": (b"GET http://" + b"@" * 16_000 + b" HTTP/1.1\r\n" + LINES + b"\r\n", 400),
    # to make a number of decimal digits takes time that grows with their square
    "a length of sixty thousand digits": (HEAD + b"Content-Length: " + b"9" * 60_000 + b"\r\n\r\n", 400),
    "a length of sixty thousand zeros": (HEAD + b"Content-Length: " + b"0" * 60_000 + b"\r\n\r\n", 400),
    "a version of sixty thousand digits": (b"GET / HTTP/" + b"1" * 60_000 + b".1\r\n" + LINES + b"\r\n", 400),
    "a chunk size of sixty thousand digits": (CHUNKED + b"f" * 60_000 + b"\r\n", 400),
    "a chunk size that does not end": (CHUNKED + b"0" * 10_000_000, 400),
    "an extension with an open quote": (CHUNKED + b'1;a="' + b'\\"' * 500 + b"\r\na\r\n", 400),
    "extensions with blanks around and a wrong end": (CHUNKED + b"1" + b" \t;\ta \t=\tb" * 90 + b"@\r\na\r\n", 400),
    "an extension of blanks": (CHUNKED + b"1" + b" " * 1_000 + b"\r\na\r\n", 400),
    # CVE-2023-39326, CVE-2024-21647, CVE-2024-22019: what is thrown away has no bound
    "an extension that does not end": (CHUNKED + b"1;a=" + b"x" * 10_000_000, 400),
    "extensions without end, each short": (CHUNKED + (b"1;a=" + b"x" * 900 + b"\r\na\r\n") * 10_000, 400),
    "trailers without end, each short": (CHUNKED + b"0\r\n" + b"X: 1\r\n" * 1_000_000, 400),
    "a trailer that does not end": (CHUNKED + b"0\r\nX: " + b"x" * 10_000_000, 400),
    "a trailer with a wrong byte at its end": (CHUNKED + b"0\r\nX:" + b" a" * 4_000 + b"\x01\r\n\r\n", 400),
    "nothing but empty lines": (b"\r\n" * 1_000_000, 400),
    "nothing but carriage returns": (b"\r" * 60_000, 400),
    "a method that does not end": (b"A" * 1_000_000, 400),
    "a target that does not end": (b"GET /" + b"a" * 1_000_000, 414),
    "a header that does not end": (HEAD + b"X: " + b"a" * 1_000_000, 431),
    "headers without end": (HEAD + b"X: 1\r\n" * 200_000, 431),
    # CVE-2025-69229 (aiohttp): time that grows with the square of the number of chunks
    "chunks of one byte": (CHUNKED + b"1\r\na\r\n" * 50_000 + b"0\r\n\r\n", 0),
    # CVE-2025-67725 (Tornado): the value joined so far is copied for each further line
    "one header in many lines": (HEAD + (b"X: " + b"a" * 650 + b"\r\n") * 98 + b"\r\n", 0),
    # CVE-2024-52804 (Tornado): cookies joined again and again
    "cookies": (HEAD + b"Cookie: a=b; c=d; e=f\r\n" * 98 + b"\r\n", 0),
}  # fmt: skip


@pytest.mark.parametrize("step", [WHOLE, 1_000])
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_does_not_go_off(name: str, step: int) -> None:
    data, status = BOMBS[name]
    reader = RequestReader()
    reading = Reading()
    started = time.process_time()
    try:
        for start in range(0, len(data), step):
            reader.feed(data[start : start + step])
            take(reader, reading, start)
    except HttpError as error:
        reading.status = error.status
    used = time.process_time() - started
    assert reading.status == status
    assert used < BOMB_CPU_S, f"{used:.2f} s"


def test_a_head_in_single_bytes_costs_little_more_than_its_bytes() -> None:
    """Each byte is a system call of the client; the reader must not look at all of the head again for it."""
    data = HEAD + b"X: " + b"a" * 60_000 + b"\r\n\r\n"
    reader = RequestReader()
    started = time.process_time()
    for byte in data:
        reader.feed(bytes((byte,)))
        request = reader.next_request()
    used = time.process_time() - started
    assert request is not None
    assert used < 1.0, f"{used:.2f} s"
    print(f"{used / len(data) * 1e6:.1f} us a byte")
