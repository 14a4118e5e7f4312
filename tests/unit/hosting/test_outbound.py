"""The budget of an app's outbound connections, on descriptors. In a worker: tests/live/test_outbound_budgets.py."""

from __future__ import annotations

import dataclasses
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hedgerow.config import Settings
from hedgerow.hosting import outbound
from hedgerow.hosting.manifest import Limits
from hedgerow.hosting.outbound import MANY, PAUSE_S, Budget, budgets, give, name_of
from hedgerow.hosting.space import Space

DATABASE, CACHE = "db:5432", "cache:6379"


class Open:
    """Descriptors, as sockets would have them."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()

    def one(self) -> int:
        number = os.open(os.devnull, os.O_RDONLY)
        with socket.socket() as sock:
            os.dup2(sock.fileno(), number)  # an inode of its own
        self.numbers.add(number)
        return number

    def close(self, number: int) -> None:
        self.numbers.remove(number)
        os.close(number)


@pytest.fixture
def made() -> Iterator[Open]:
    opened = Open()
    yield opened
    for number in list(opened.numbers):
        opened.close(number)


def test_a_connection_beyond_the_budget_is_refused_in_one_sentence(made: Open) -> None:
    budget = Budget("blog", 3, 2)
    assert [budget.take(made.one(), DATABASE, 0.0) for _ in range(2)] == ["", ""]
    assert budget.take(made.one(), DATABASE, 0.0) == (
        "blog: no connection to db:5432: 2 are open there, and `per_remote` in [limits] of its app.toml allows 2"
    )
    assert budget.take(made.one(), CACHE, 0.0) == ""
    assert budget.take(made.one(), CACHE, 0.0) == (
        "blog: no connection to cache:6379: 3 are open in all, and `connections` in [limits] of its app.toml allows 3"
    )
    assert budget.status() == {"open": {DATABASE: 2, CACHE: 1}, "refused": 2}


def test_what_is_closed_counts_no_more_at_once(made: Open) -> None:
    budget = Budget("blog", 3, 0)
    numbers = [made.one() for _ in range(3)]
    new = made.one()
    assert [budget.take(number, DATABASE, 0.0) for number in numbers] == [""] * 3
    assert budget.take(new, DATABASE, 0.0) != ""
    made.close(numbers[1])
    assert budget.take(new, DATABASE, 0.0) == ""
    assert budget.status()["open"] == {DATABASE: 3}


def test_a_number_that_is_a_file_or_somebody_elses_by_now_is_no_connection(made: Open) -> None:
    budget = Budget("blog", 1, 0)
    number = made.one()
    budget.take(number, DATABASE, 0.0)
    with socket.socket() as another:
        os.dup2(another.fileno(), number)
    assert budget.status()["open"] == {}
    assert budget.take(made.one(), DATABASE, 0.0) == ""


def test_one_that_is_connected_again_counts_for_where_it_goes(made: Open) -> None:
    budget = Budget("blog", 1, 1)
    number = made.one()
    assert [budget.take(number, remote, 0.0) for remote in (DATABASE, DATABASE, CACHE)] == [""] * 3
    assert budget.status()["open"] == {CACHE: 1}


def test_a_closed_descriptor_is_left_to_connect() -> None:
    budget = Budget("blog", 1, 1)
    assert [budget.take(-1, DATABASE, 0.0) for _ in range(3)] == [""] * 3
    assert budget.status() == {"open": {}, "refused": 0}


def test_a_full_budget_of_many_is_not_looked_at_again_at_once(made: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    look = Budget._look
    monkeypatch.setattr(Budget, "_look", lambda self: (looks.append(1), look(self)))
    budget = Budget("blog", MANY + 1, 0)
    numbers = [made.one() for _ in range(MANY + 1)]
    assert {budget.take(number, DATABASE, 0.0) for number in numbers} == {""}
    new = made.one()
    assert all(budget.take(new, DATABASE, PAUSE_S * n / 100) for n in range(100))
    assert len(looks) == 1
    made.close(numbers[50])
    assert budget.take(new, DATABASE, PAUSE_S) == ""
    assert len(looks) == 2


def test_no_limit_is_a_count_all_the_same(made: Open) -> None:
    budget = Budget("blog", 0, 0)
    assert {budget.take(made.one(), DATABASE, 0.0) for _ in range(50)} == {""}
    assert budget.status()["open"] == {DATABASE: 50}


def test_the_status_names_the_remotes_with_the_most_and_no_endless_list(made: Open) -> None:
    budget = Budget("crawler", 0, 0)
    for n in range(outbound.SHOWN + 10):
        budget.take(made.one(), f"host-{n}:80", 0.0)
    budget.take(made.one(), "host-59:80", 0.0)
    told = budget.status()["open"]
    assert (len(told), told["host-59:80"], told[outbound.OTHERS]) == (outbound.SHOWN + 1, 2, 10)


def test_a_refusal_is_told_once_a_second_for_each_remote_and_not_of_endless_ones() -> None:
    budget = Budget("blog", 1, 1)
    assert [budget.is_news(DATABASE, now) for now in (10.0, 10.1, 10.9, 11.0, 11.5)] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert budget.is_news(CACHE, 11.6)
    assert sum(budget.is_news(f"host-{n}:80", 20.0) for n in range(1000)) == outbound.TOLD


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (("db.example", 5432), "db.example:5432"),
        ((b"db.example", 5432), "db.example:5432"),
        (("::1", 80, 0, 0), "[::1]:80"),
        ("/run/postgresql/.s.PGSQL.5432", "/run/postgresql/.s.PGSQL.5432"),
        (b"/run/cache", "/run/cache"),
        ("\0bus", "@bus"),
        (None, "None"),
        ("x" * 10_000, "x" * 255),
    ],
)
def test_a_remote_is_called_as_the_app_has_called_it(address: object, name: str) -> None:
    assert name_of(address) == name


@pytest.fixture
def descriptors() -> Iterator[int]:
    """A soft limit of 400."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
    yield 400
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


SETTINGS = Settings(app_connections=300, app_per_remote=50)


@pytest.mark.parametrize(
    ("limits", "shared", "own"),
    [
        (Limits(), (100, 50), (0, 0)),  # a quarter of the descriptors at most
        (Limits(connections=200), (200, 50), (200, 0)),  # what the app itself says counts
        (Limits(per_remote=5), (100, 5), (0, 5)),
    ],
)
def test_what_an_app_may_have(
    limits: Limits, shared: tuple[int, int], own: tuple[int, int], descriptors: int, tmp_path: Path
) -> None:
    space = Space("blog", tmp_path)
    try:
        for where, wanted in ((space, shared), (None, own)):
            give("blog", where, limits, SETTINGS)
            assert (budgets[where].limit, budgets[where].remote_limit) == wanted
            few = dataclasses.replace(SETTINGS, app_connections=7, app_per_remote=3)
            give("blog", where, Limits(), few)
            assert (budgets[where].limit, budgets[where].remote_limit) == ((7, 3) if where else (0, 0))
    finally:
        budgets.pop(space, None)
        budgets.pop(None, None)
