"""Laws of the engine that hold for all bytes, each stated in its test; hypothesis looks for the exception.

The laws themselves are in invariants.py, which the fuzzer shares.
"""

from __future__ import annotations

import time

import h11
import invariants as law
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgerow.errors import HttpError
from hedgerow.http.body import ChunkedDecoder, LengthDecoder
from hedgerow.http.reader import RequestReader
from hedgerow.http.response import early_hints

TCHARS = "!#$%&'*+-.^`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"  # all but the underscore
METHODS = st.one_of(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"]),
    st.text(TCHARS + "_", min_size=1, max_size=32).filter(lambda name: name != "CONNECT"),
)
PATHS = st.text("".join(map(chr, range(0x21, 0x7F))).replace("#", ""), max_size=40).map(lambda text: "/" + text)
VALUES = st.text("".join(map(chr, [9, *range(0x20, 0x7F), *range(0x80, 0x100)])), max_size=40).map(
    lambda text: text.strip(" \t")
)
MEANT = frozenset(
    [
        "host", "content-length", "content-type", "transfer-encoding", "expect", "connection", "upgrade", "te",
        "trailer", "proxy-connection", "keep-alive",
    ]
)  # fmt: skip
NAMES = st.text(TCHARS, min_size=1, max_size=20).filter(lambda name: name.lower() not in MEANT)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=8)
BODIES = st.binary(max_size=300)

# Pieces that mean something in HTTP, so that random bytes get beyond the first check.
WORDS = st.sampled_from(
    [
        b"GET ", b"POST ", b"/", b"* ", b"http://h/p", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/2.0\r\n", b"\r\n",
        b"\r", b"\n", b"Host: a\r\n", b"Host:", b"Content-Length: 5\r\n", b"Content-Length: +5\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding:\x0bchunked\r\n", b"Connection: close\r\n",
        b"Connection: keep-alive\r\n", b"Expect: 100-continue\r\n", b"X_Y: 1\r\n", b"X : 1\r\n", b" folded\r\n",
        b"\r\n\r\n", b"hello", b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"5;x=y\r\n", b"ffffffffffffffff",
        b"GET / HTTP/1.1\r\nHost: a\r\n", b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    ]
)  # fmt: skip
MESS = st.lists(st.one_of(WORDS, WORDS, WORDS, st.binary(max_size=4)), max_size=25).map(b"".join)

# Requests that are nearly right, so that many are.
LINES = st.sampled_from(
    [
        b"GET / HTTP/1.1", b"POST /p?q HTTP/1.1", b"GET / HTTP/1.0", b"PUT / HTTP/1.0", b"GET http://u@h:1?q HTTP/1.1",
        b"GET http://h:1?q HTTP/1.1", b"GET http://h,i/ HTTP/1.1", b"OPTIONS * HTTP/1.1", b"CONNECT h:1 HTTP/1.1",
        b"PUT /\x80 HTTP/1.1", b"PUT /#f HTTP/1.1",
    ]
)  # fmt: skip
FIELD_LINES = st.sampled_from(
    [
        b"Content-Length: 5", b"Content-Length: +5", b"Content-Length: 05", b"Content-Length: 5, 5",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked", b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: chunked, gzip", b"Transfer-Encoding: identity",
        b"Connection: close", b"Connection: keep-alive", b"Connection: x,\tkeep-alive", b"Connection: x, close\t,y",
        b"Cookie: a=b", b"cookie: c", b"Content-Type: a/b", b"Expect: 100-continue", b"Expect: else", b"Host: h",
        b"X_Y: 1", b"X-Y: 1", b"x-y:2", b"X : 1", b" X: 1", b"X", b": 1", b"X: a\x00", b"X: a\x0bb", b"X: \xe9\x80",
        b"X: a\nb", b"X: a\rb", b"X:  a \t", b"TE: trailers", b"Upgrade: h2c",
    ]
)  # fmt: skip
TAILS = st.sampled_from([b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"5;x\r\nhello\r\n0\r\nT: u\r\n\r\n", law.GOOD])


@st.composite
def near_requests(draw: st.DrawFn) -> bytes:
    """A request with any fields; nothing says that they fit together."""
    lines = [draw(LINES), b"Host: a", *draw(st.lists(FIELD_LINES, max_size=4))]
    return b"\r\n".join([*lines, b"", b""]) + draw(TAILS) + draw(TAILS)


WIRE = st.one_of(MESS, near_requests(), near_requests())


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The bytes, in pieces cut anywhere."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """The body in chunks of any sizes, with sizes written in any way, extensions and trailers."""
    wire = b""
    for block in draw(cuts(body)):
        if block:
            size = draw(st.sampled_from([b"%x", b"%X", b"0%x", b"000%X"])) % len(block)
            extension = draw(st.sampled_from([b"", b"", b";a", b";a=b", b';a="b c"', b";a=b;c=d"]))
            wire += size + extension + b"\r\n" + block + b"\r\n"
    trailers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=3))
    lines = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in trailers)
    return wire + draw(st.sampled_from([b"0", b"000", b"0;last"])) + b"\r\n" + lines + b"\r\n"


@given(st.data())
def test_any_cut_of_any_bytes_reads_the_same(data: st.DataObject) -> None:
    """For all bytes and all ways to cut them: the same requests, bodies and ends, and an error or none.

    Also for all of them: nothing but HttpError is raised, what waits unread stays within the limits, and behind an
    error no request comes (asserted in invariants.read).
    """
    wire = data.draw(WIRE)
    assert law.read(data.draw(cuts(wire))).essence == law.read([wire]).essence


@settings(max_examples=1500)
@given(WIRE)
def test_what_is_accepted_is_what_h11_reads_in_the_same_bytes(wire: bytes) -> None:
    """For all bytes: a request that we accept is accepted by h11, with the same method, target, version, fields, body
    and end; and written anew in the plainest form it is read as the same.
    """
    law.assert_reader_holds(wire)


@given(METHODS, PATHS, FIELDS, BODIES, st.booleans(), st.data())
def test_a_request_that_h11_wrote_is_read_as_it_was_meant(
    method: str, target: str, fields: list[tuple[str, str]], body: bytes, in_chunks: bool, data: st.DataObject
) -> None:
    """For all requests that h11's client writes, cut anywhere: the same method, target, fields and body come out."""
    framing = ("Transfer-Encoding", "chunked") if in_chunks else ("Content-Length", str(len(body)))
    headers = [("Host", "a.example:80"), *fields, framing]
    client = h11.Connection(h11.CLIENT)
    sent = h11.Request(
        method=method, target=target, headers=[(name, value.encode("latin-1")) for name, value in headers]
    )
    blocks = [client.send(sent), *(client.send(h11.Data(part)) for part in data.draw(cuts(body)) if part)]
    wire = b"".join([block or b"" for block in blocks] + [client.send(h11.EndOfMessage()) or b""])
    reading = law.read(data.draw(cuts(wire)), max_head=law.BIG)
    assert reading.status == 0
    (one,) = reading.seen
    assert (one.request.method, one.request.target, one.body, one.end) == (method, target, body, len(wire))
    assert one.request.fields == _as_cgi(headers)


@given(METHODS, PATHS, FIELDS, BODIES, st.booleans(), st.data())
def test_written_and_read_is_the_same(
    method: str, target: str, fields: list[tuple[str, str]], body: bytes, http11: bool, data: st.DataObject
) -> None:
    """For all methods, targets, fields and bodies, with a length or in chunks of any form with extensions and trailers,
    any white space around values, cut anywhere, with a request behind it: reading gives back what was written, and what
    is behind it stays.
    """
    in_chunks = http11 and data.draw(st.booleans())
    framing = ("Transfer-Encoding", "Chunked") if in_chunks else ("Content-Length", str(len(body)))
    headers = data.draw(st.permutations([("Host", "[::1]:8080"), *fields, framing]))
    space = st.sampled_from(["", " ", "\t", " \t "])
    lines = [f"{method} {target} HTTP/1.{int(http11)}"]
    lines += [f"{name}:{data.draw(space)}{value}{data.draw(space)}" for name, value in headers]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    wire = head + (data.draw(chunked(body)) if in_chunks else body)
    reading = law.read(data.draw(cuts(wire + law.GOOD)), max_head=law.BIG)
    assert reading.status == 0
    one = reading.seen[0]
    assert (one.request.method, one.request.target, one.request.http11) == (method, target, http11)
    assert (one.body, one.end) == (body, len(wire))
    assert one.request.fields == _as_cgi(headers)
    assert [other.request.target for other in reading.seen[1:]] == (["/behind"] if http11 else [])


def _as_cgi(headers: list[tuple[str, str]]) -> dict[str, str]:
    fields: dict[str, list[str]] = {}
    for name, value in headers:
        fields.setdefault(name.upper().replace("-", "_"), []).append(value)
    fields.pop("TRANSFER_ENCODING", None)
    joined = {key: ("; " if key == "COOKIE" else ",").join(values) for key, values in fields.items()}
    return {key if key == "CONTENT_LENGTH" else f"HTTP_{key}": value for key, value in joined.items()}


@given(BODIES, st.binary(max_size=50), st.booleans(), st.data())
def test_a_decoder_takes_the_body_and_not_a_byte_more(
    body: bytes, behind: bytes, in_chunks: bool, data: st.DataObject
) -> None:
    """For all bodies and what follows them, cut anywhere: what comes out is the body, what is left is what follows."""
    wire = data.draw(chunked(body)) if in_chunks else body
    decoder = ChunkedDecoder(len(body)) if in_chunks else LengthDecoder(len(body))
    out, rest = b"", b""
    for piece in data.draw(cuts(wire + behind)):
        rest += piece
        if not decoder.done:
            block, rest = decoder.decode(rest)
            out += block
    assert decoder.done
    assert (out, rest) == (body, behind)


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_body_larger_than_its_limit_is_refused(body: bytes, data: st.DataObject) -> None:
    """For all bodies, one byte above the limit: 413, and never more bytes than the limit before it."""
    decoder = ChunkedDecoder(len(body) - 1)
    out, rest = b"", b""
    with pytest.raises(HttpError, match="413"):  # noqa: PT012
        for piece in data.draw(cuts(data.draw(chunked(body)))):
            block, rest = decoder.decode(rest + piece)
            out += block
    assert len(out) < len(body)


STATUSES = st.one_of(
    st.builds("{} {}".format, st.integers(200, 599), st.text("".join(map(chr, range(256))), max_size=12)),
    st.sampled_from(["200 OK", "204 No Content", "304 Not Modified", "200 OK\r\nX: y", "200 ☃", "500 "]),
)
ANY_TEXT = st.text(st.characters(max_codepoint=0x120), max_size=12)
GIVEN_NAMES = st.one_of(
    NAMES, ANY_TEXT, st.sampled_from(["Content-Length", "Connection", "Date", "server", "TE", "X-Accel-Redirect"])
)
GIVEN_VALUES = st.one_of(VALUES, ANY_TEXT, st.sampled_from(["0", "5", "007", "+5", "٣", "close", "a\r\nb: c"]))


@given(
    STATUSES, st.lists(st.tuples(GIVEN_NAMES, GIVEN_VALUES), max_size=5), BODIES,
    st.sampled_from(["GET", "HEAD", "POST"]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_an_answer_is_refused_or_a_strict_client_reads_what_was_meant(
    status: str, headers: list[tuple[str, str]], body: bytes, method: str, http11: bool, keep_alive: bool
) -> None:
    """For all statuses and headers, even of wrong characters: ValueError, or h11's client reads the same status, the
    app's fields in their order, the body and its end, and knows whether the connection ends.
    """
    law.assert_answer_holds(status, headers, body, method, http11, keep_alive)


@given(st.lists(st.tuples(GIVEN_NAMES, GIVEN_VALUES), max_size=5), st.booleans())
def test_early_hints_are_refused_or_a_strict_client_reads_what_was_meant(
    headers: list[tuple[str, str]], as_bytes: bool
) -> None:
    """For all headers, as text or as bytes: ValueError, or h11's client reads a 103 with these fields, those that are
    the server's to send left out, and then the answer itself.
    """
    given = [(name.encode(), value.encode()) for name, value in headers] if as_bytes else headers
    try:
        wire = early_hints(given)
    except ValueError:
        return
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    client.receive_data(wire + b"HTTP/1.1 204 No Content\r\n\r\n")
    hints = client.next_event()
    assert isinstance(hints, h11.InformationalResponse)
    assert hints.status_code == 103
    sent = [(name.lower(), value) for name, value in given]
    texts = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in sent] if as_bytes else sent
    read_back = [(name.decode(), value.decode("latin-1")) for name, value in hints.headers]
    assert read_back == [(name, value.strip(" \t")) for name, value in texts if law.is_the_apps(name)]
    assert isinstance(client.next_event(), h11.Response)


CHUNKS = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
REPEATED = {
    "empty lines": (b"", b"\r\n"),
    "spaces": (b"GET ", b" "),
    "a digit": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: ", b"1"),
    "fields": (b"GET / HTTP/1.1\r\n", b"a: b\r\n"),
    "colons": (b"GET / HTTP/1.1\r\nHost: ", b":"),
    "white space in a value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a", b" \t"),
    "a target": (b"GET http://", b"a:/?#"),
    "carriage returns": (b"GET / HTTP/1.1\r\n", b"\r"),
    "connection options": (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: ", b"close,"),
    "small chunks": (CHUNKS, b"1\r\nx\r\n"),
    "small chunks with extensions": (CHUNKS, b"1;a=b\r\nx\r\n"),
    "a chunk's size": (CHUNKS, b"0"),
    "trailers": (CHUNKS + b"0\r\n", b"a:b\r\n"),
}


@pytest.mark.parametrize("name", REPEATED)
def test_the_time_grows_as_the_bytes_do(name: str) -> None:
    """For each thing that can be repeated: 16 times the bytes, fed whole, take less than 64 times the time.

    Twice quadratic would be 256 times. The least of several tries is taken, since others use the machine, too.
    """
    start, unit = REPEATED[name]
    small, large = (start + unit * (size // len(unit)) + b"\r\n\r\n" for size in (16_384, 16 * 16_384))
    assert _seconds(large) < 64 * max(_seconds(small), 20e-6)


def _seconds(data: bytes) -> float:
    tries = []
    for _ in range(5):
        begin = time.thread_time()
        law.read([data], max_head=law.BIG, max_body=law.BIG)
        tries.append(time.thread_time() - begin)
    return min(tries)


def test_byte_by_byte_a_head_costs_no_more_than_twice_its_bytes_each() -> None:
    """A head of 64 KiB that comes byte by byte is searched once, not anew with each byte: below 2 s (32 GiB of
    searching would take 3 s at the least).
    """
    reader = RequestReader(max_head_bytes=65_536)
    begin = time.thread_time()
    for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 60_000:
        reader.feed(bytes([byte]))
        assert reader.next_request() is None
    assert time.thread_time() - begin < 2
