"""`wsgi.input` behaves like a file of the body, however the body arrives."""

from __future__ import annotations

import io

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
