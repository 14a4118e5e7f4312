"""The front's steps to what it has kept, with backends that say what workers say: what may be answered with it when
nobody is there, and that no way through the steps is longer than nginx allows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from front_backends import Exchange, backends
from front_support import Front, binaries, running


class Acts:
    """Does what is written, a letter a request, then answers. A, C: sends to what is kept, for an app that has
    stale_if_error or has not; R: refuses; E: an error of the app; D: breaks off.
    """

    def __init__(self) -> None:
        self.left = ""

    def __call__(self, exchange: Exchange) -> None:
        exchange.read_body()
        act, self.left = self.left[:1], self.left[1:]
        step = exchange.header("X-Hedgerow-Cache")
        if act and act in "AC" and step == ["1"]:
            exchange.reply(200, b"", X_Accel_Redirect="@stale_cached" if act == "A" else "@cached")
        elif act == "R":
            exchange.refuse()
        elif act == "E":
            exchange.reply(500, b"an error of the app")
        elif act == "D":
            exchange.drop()
        elif step == ["2"]:
            line = "stale-while-revalidate=3600, stale-if-error=3600"
            exchange.reply(200, b"kept", X_Accel_Expires="3600", Cache_Control=line)
        else:
            exchange.reply()


@contextmanager
def front() -> Iterator[tuple[Front, Acts]]:
    acts = Acts()
    with tempfile.TemporaryDirectory(prefix="hgt-") as folder, backends(acts) as made:
        Path(folder).chmod(0o755)  # nginx's processes are another user's where root starts it
        with running(Path(folder), binaries()[0], made) as started:
            yield started, acts


@pytest.fixture(scope="module")
def keeping() -> Iterator[tuple[Front, Acts]]:
    with front() as (started, acts):
        acts.left = "A"
        assert started.request("GET", "/page").body == b"kept"
        yield started, acts


def test_when_nobody_answers_what_is_kept_is_the_answer(keeping: tuple[Front, Acts]) -> None:
    started, acts = keeping
    acts.left = "D" * 9
    answer = started.request("GET", "/page")
    assert (answer.status, answer.body) == (200, b"kept")
    assert started.request("GET", "/other").status == 502


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ((), b"a query"),
        (("Range: bytes=0-1",), b""),
        (("Authorization: Basic YTpi",), b""),
        (("Upgrade: websocket", "Connection: Upgrade"), b""),
    ],
    ids=["body", "range", "credentials", "upgrade"],
)
def test_nor_then_is_it_the_answer_to_what_passes_by(
    keeping: tuple[Front, Acts], lines: tuple[str, ...], body: bytes
) -> None:
    started, acts = keeping
    acts.left = "D" * 9
    assert started.request("GET", "/page", *lines, body=body).status == 502


@pytest.mark.parametrize(
    "acts", ["RRRRD", "RDAERD", "RDARRD", "DRDARRD", "RRDARDRD", "DDAERDD", "RRDAERDDDD", "RRDCRDD"]
)
def test_the_longest_ways_end_on_a_page(acts: str) -> None:
    with front() as (started, does):
        does.left = acts + "D" * 9
        answer = started.request("GET", "/page", "Accept: application/json")
        assert answer.status in (502, 503), acts
        assert "redirection cycle" not in started.errors.read_text()
