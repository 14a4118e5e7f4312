"""`wsgi.input` behaves like a file of the body, however the body arrives."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.pep3333.input import BodyInput


def make_input(data: bytes, step: int) -> BodyInput:
    blocks = iter([data[start : start + step] for start in range(0, len(data), step)])
    return BodyInput(lambda: next(blocks, b""))


CALLS = st.lists(
    st.tuples(st.sampled_from(["read", "readline", "readlines"]), st.one_of(st.none(), st.integers(-1, 60))),
    max_size=12,
)


@given(st.binary(max_size=200).map(lambda data: data.replace(b"a", b"\n")), st.integers(1, 30), CALLS)
def test_every_sequence_of_calls_answers_as_bytesio_does(
    data: bytes, step: int, calls: list[tuple[str, int | None]]
) -> None:
    """For all bodies, cuts and calls: the same results as io.BytesIO, and the rest is the same too."""
    model, ours = io.BytesIO(data), make_input(data, step)
    for name, size in calls:
        assert getattr(ours, name)(size) == getattr(model, name)(size)
    assert list(ours) == list(model)
    assert ours.read() == b""


def test_a_body_that_ends_early_is_an_error_and_not_a_short_read() -> None:
    blocks = [b"half"]

    def more() -> bytes:
        if blocks:
            return blocks.pop()
        raise OSError("the body ended early")

    with pytest.raises(OSError, match="early"):
        BodyInput(more).read(8)


@pytest.mark.parametrize("call", ["read", "readline", "readlines", "__iter__"])
def test_what_ends_the_wait_for_more_loses_nothing(call: str) -> None:
    """A time-out that the app catches, and a second try."""
    arriving: list[bytes | BaseException] = [b"ha", TimeoutError("the app's own"), b"lf\n", b""]

    def more() -> bytes:
        next_one = arriving.pop(0)
        if isinstance(next_one, BaseException):
            raise next_one
        return next_one

    body = BodyInput(more)
    with pytest.raises(TimeoutError):
        list(getattr(body, call)())
    assert b"".join(body) == b"half\n"


@pytest.mark.parametrize(
    "call", [lambda body: body.read(), lambda body: body.read(8), lambda body: body.readline(), list]
)
def test_a_body_that_ends_early_is_an_error_each_time_it_is_asked(call: Callable[[BodyInput], object]) -> None:
    arrived = [b"line\n", b"half"]

    def more() -> bytes:
        if arrived:
            return arrived.pop(0)
        raise OSError("the body ended early")

    body = BodyInput(more)
    assert body.readline() == b"line\n"
    for _ in range(3):
        with pytest.raises(OSError, match="early"):
            call(body)


def test_a_long_line_and_many_short_ones_are_not_copied_over_and_over() -> None:
    """Cut off the front of the buffer or joined piece by piece, these took 60 s and more."""
    started = time.process_time()
    assert len(make_input(b"x" * 100_000_000, 16_384).readline()) == 100_000_000
    assert sum(1 for _ in make_input(b"\n" * 1_000_000, 1_000_000)) == 1_000_000
    assert time.process_time() - started < 10


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=9), st.lists(st.integers(-1, 12), max_size=12))
def test_read1_gives_what_is_there_and_loses_nothing(blocks: list[bytes], sizes: list[int]) -> None:
    """It asks for more only when nothing is left of what came before."""
    asked: list[bytes] = []
    rest = iter(blocks)

    def more() -> bytes:
        block = next(rest, b"")
        asked.append(block)
        return block

    body, got = BodyInput(more), b""
    for size in sizes:
        had = b"".join(asked)[len(got) :]
        count = len(asked)
        piece = body.read1(size)
        assert len(asked) == count + (not had and b"" not in asked[:count])
        assert piece == b"".join(asked)[len(got) :][: size if size >= 0 else None]
        got += piece
    assert got + body.read() == b"".join(blocks)
