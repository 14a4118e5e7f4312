"""The decoders of bodies: each body fed whole, byte by byte and with trailing bytes, and their bounds."""

from __future__ import annotations

import contextlib
import time

import pytest

from hedgerow.errors import HttpError
from hedgerow.http.body import (
    MAX_CHUNK_LINE_BYTES,
    MAX_EXTENSION_BYTES,
    MAX_TRAILER_BYTES,
    ChunkedDecoder,
    Decoder,
    LengthDecoder,
)

LAST = b"0\r\n\r\n"


def decode(decoder: Decoder, wire: bytes, step: int) -> tuple[bytes, bytes]:
    """Feed as a reader does: what is left over comes back in front of what arrives next."""
    body, rest = b"", b""
    for start in range(0, len(wire), step):
        if decoder.done:
            return body, rest + wire[start:]
        data, rest = decoder.decode(rest + wire[start : start + step])
        body += data
    return body, rest


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)


@pytest.mark.parametrize("step", [1, 3, 10_000])
@pytest.mark.parametrize("trailing", [b"", b"GET / HTTP/1.1\r\n"])
@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (LAST, b""),
        (chunked(b"a", b"bc" * 40) + LAST, b"a" + b"bc" * 40),
        (b"0003\r\n\r\n\r\r\n" + LAST, b"\r\n\r"),
        (b"A\r\n0123456789\r\n" + b'a;x=1 ; y="q"\r\n0123456789\r\n0;z\r\n\r\n', b"0123456789" * 2),
        (b"1\r\nx\r\n0\r\nName: value\r\nOther:\r\n\r\n", b"x"),
    ],
)
def test_a_chunked_body_ends_where_it_says(wire: bytes, body: bytes, trailing: bytes, step: int) -> None:
    decoder = ChunkedDecoder(1000)
    assert decode(decoder, wire + trailing, step) == (body, trailing)
    assert decoder.done


@pytest.mark.parametrize("step", [1, 3, 10_000])
def test_a_counted_body_ends_where_it_says(step: int) -> None:
    decoder = LengthDecoder(7)
    assert decode(decoder, b"seven b" + b"next", step) == (b"seven b", b"next")
    assert decoder.done
    assert LengthDecoder(0).done


def refused(wire: bytes, max_bytes: int = 10**6, step: int = 10**9) -> int:
    with pytest.raises(HttpError) as caught:
        decode(ChunkedDecoder(max_bytes), wire, step)
    return caught.value.status


@pytest.mark.parametrize("step", [1, 10**9])
def test_a_chunked_body_beyond_its_limit_is_refused_before_it_comes(step: int) -> None:
    assert refused(b"5\r\nabcde\r\n6\r\n", max_bytes=10, step=step) == 413
    assert refused(b"fffffffffffffff\r\n", max_bytes=10, step=step) == 413
    assert decode(ChunkedDecoder(10), chunked(b"abcde", b"fghij") + LAST, step) == (b"abcdefghij", b"")


@pytest.mark.parametrize("step", [1, 10**9])
def test_one_line_of_a_chunk_is_bounded(step: int) -> None:
    longest = b"1;" + b"x" * (MAX_CHUNK_LINE_BYTES - 3)
    assert decode(ChunkedDecoder(9), longest + b"\r\na\r\n" + LAST, step) == (b"a", b"")
    assert refused(longest + b"xx\r\na\r\n" + LAST, step=step) == 400
    assert refused(b"1;" + b"x" * MAX_CHUNK_LINE_BYTES, step=step) == 400  # without waiting for its end


def test_the_chunk_extensions_of_a_whole_body_are_bounded() -> None:
    line = b"1;" + b"x" * 1000 + b"\r\na\r\n"
    few = MAX_EXTENSION_BYTES // 1001
    assert decode(ChunkedDecoder(10**6), line * few + LAST, 10**9) == (b"a" * few, b"")
    assert refused(line * (few + 1) + LAST) == 400


@pytest.mark.parametrize("step", [1, 10**9])
def test_trailers_are_bounded_as_a_whole(step: int) -> None:
    line = b"Name: " + b"v" * 94 + b"\r\n"
    few = MAX_TRAILER_BYTES // 100
    assert decode(ChunkedDecoder(9), b"0\r\n" + line * few + b"\r\n", step) == (b"", b"")
    assert refused(b"0\r\n" + line * (few + 1) + b"\r\n", step=step) == 400
    assert refused(b"0\r\nName: " + b"v" * MAX_TRAILER_BYTES + b"v", step=step) == 400


@pytest.mark.parametrize(
    "wire",
    [
        chunked(*[b"x"] * 100_000) + LAST,
        b"0" * 15 + b"\r\n\r\n",
        b"1;" + b"a=" * 510 + b"\r\nx\r\n" + LAST,
        b"1" + b" " * 1000 + b"\r\nx\r\n",
    ],
    ids=["chunks-of-one-byte", "zeros", "extensions", "spaces"],
)
def test_no_body_costs_more_than_its_bytes(wire: bytes) -> None:
    started = time.perf_counter()
    with contextlib.suppress(HttpError):  # either is right: what is measured is the time
        decode(ChunkedDecoder(10**6), wire, 65_536)
    assert time.perf_counter() - started < 2.0


def test_a_chunk_that_goes_on_is_refused_at_once_though_no_line_ends() -> None:
    decoder = ChunkedDecoder(1000)
    with pytest.raises(HttpError, match="longer than it said"):
        decoder.decode(b"3\r\nabcd")
    assert ChunkedDecoder(1000).decode(b"3\r\nabc\r") == (b"abc", b"\r")
