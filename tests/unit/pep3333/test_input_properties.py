"""Laws of `wsgi.input` over bodies as they come off the wire; hypothesis looks for the exception."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.http.reader import RequestReader
from hedgerow.pep3333.input import BodyInput

BEHIND = b"GET /behind HTTP/1.1\r\nHost: b\r\n\r\n"
SIZES = st.one_of(st.none(), st.integers(-1, 4), st.integers(0, 60))
CALLS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["read", "readline", "readlines"]), SIZES),
        st.tuples(st.just("lines"), st.integers(0, 4)),  # so many steps of an iteration that is then left
    ),
    max_size=12,
)
# Few kinds of bytes, so that lines are many and short.
BODIES = st.lists(st.sampled_from([b"\n", b"\r\n", b"a", b"b" * 20, b"\0"]), max_size=15).map(b"".join)


def on_the_wire(body: bytes, chunk_sizes: list[int]) -> bytes:
    """A request with this body: with a length if there are no chunk sizes, else in chunks of these sizes, in turns."""
    head = b"PUT / HTTP/1.1\r\nHost: a\r\n"
    if not chunk_sizes:
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    wire, position, turn = head + b"Transfer-Encoding: chunked\r\n\r\n", 0, 0
    while position < len(body):
        block = body[position : position + chunk_sizes[turn % len(chunk_sizes)]]
        wire += b"%x\r\n%b\r\n" % (len(block), block)
        position += len(block)
        turn += 1
    return wire + b"0\r\n\r\n"


def arriving(wire: bytes, steps: list[int]) -> Iterator[bytes]:
    """The wire's bytes in pieces of these sizes, in turns."""
    position, turn = 0, 0
    while position < len(wire):
        step = steps[turn % len(steps)]
        yield wire[position : position + step]
        position += step
        turn += 1


def opened(wire: bytes, steps: list[int]) -> tuple[BodyInput, RequestReader, Iterator[bytes]]:
    """The input of the first request on the wire, its reader, and what has not arrived: bytes come when asked for.

    Raises OSError at the end of the wire, as a connection does.
    """
    reader = RequestReader()
    pieces = arriving(wire, steps)
    while True:
        reader.feed(next(pieces))
        if reader.next_request() is not None:
            break

    def more() -> bytes:
        while True:
            data = reader.read_body()
            if data or reader.body_done:
                return data
            piece = next(pieces, b"")
            if not piece:
                raise OSError("the body ended early")
            reader.feed(piece)

    return BodyInput(more), reader, pieces


def call(stream: BodyInput | io.BytesIO, name: str, size: int | None) -> object:
    if name == "lines":
        return [line for _, line in zip(range(size or 0), stream, strict=False)]
    return getattr(stream, name)(size)


@given(
    BODIES, st.lists(st.integers(1, 30), max_size=4), st.lists(st.integers(1, 40), min_size=1, max_size=5), CALLS,
)  # fmt: skip
def test_every_sequence_of_calls_answers_as_a_file_of_the_body_does(
    body: bytes, chunk_sizes: list[int], steps: list[int], calls: list[tuple[str, int | None]]
) -> None:
    """For all bodies, with a length or in chunks, however they arrive, and all sequences of read, readline, readlines
    and iterations that are left midway: each call answers as io.BytesIO does, so does all that is left, and what is
    behind the body stays unread.
    """
    stream, reader, missing = opened(on_the_wire(body, chunk_sizes) + BEHIND, steps)
    model = io.BytesIO(body)
    for name, size in calls:
        assert call(stream, name, size) == call(model, name, size)
    assert stream.read() == model.read()
    assert stream.read(1) == stream.readline() == b""
    for piece in missing:
        reader.feed(piece)
    assert reader.buffered == len(BEHIND)


@given(BODIES, st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_every_hint_and_every_size_cuts_lines_where_a_file_does(body: bytes, steps: list[int]) -> None:
    """For all bodies, and each number up to their length: readlines(number) and readline(number) as io.BytesIO's."""
    for number in range(len(body) + 2):
        for name in ("readlines", "readline"):
            stream, _, _ = opened(on_the_wire(body, []), steps)
            assert call(stream, name, number) == call(io.BytesIO(body), name, number)


@given(
    BODIES.filter(bool), st.lists(st.integers(1, 30), max_size=4), st.lists(st.integers(1, 40), min_size=1), CALLS,
    st.data(),
)  # fmt: skip
def test_a_body_cut_short_raises_and_never_looks_whole(
    body: bytes, chunk_sizes: list[int], steps: list[int], calls: list[tuple[str, int | None]], data: st.DataObject
) -> None:
    """For all bodies cut off at any byte: calls answer as for the whole body until one raises OSError; none answers
    less than was asked for, and reading to the end always raises.
    """
    wire = on_the_wire(body, chunk_sizes)
    head_size = wire.index(b"\r\n\r\n") + 4
    stream, _, _ = opened(wire[: data.draw(st.integers(head_size, len(wire) - 1))], steps)
    model = io.BytesIO(body)
    with pytest.raises(OSError, match="early"):  # noqa: PT012
        for name, size in calls:
            assert call(stream, name, size) == call(model, name, size)
        stream.read()


@given(BODIES, st.lists(st.tuples(st.sampled_from(["read", "readline"]), st.integers(0, 30)), max_size=12))
def test_nothing_is_waited_for_that_was_not_asked_for(body: bytes, calls: list[tuple[str, int]]) -> None:
    """For all bodies that arrive byte by byte and all sized reads: as many bytes were taken off the connection as were
    answered, or the body was at its end. Who reads a message of known size must not wait for the byte behind it.
    """
    given_out = 0

    def more() -> bytes:
        nonlocal given_out
        given_out += 1
        return body[given_out - 1 : given_out]

    stream, answered = BodyInput(more), 0
    for name, size in calls:
        answered += len(getattr(stream, name)(size))
        assert given_out == answered or given_out > len(body)
