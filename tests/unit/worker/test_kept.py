"""Which answers the front is told to keep, for how long, and which requests it may answer with them."""

from __future__ import annotations

from email.utils import formatdate
from time import time

import pytest

from hedgerow.hosting.cache_table import CacheTable
from hedgerow.http.response import ResponseHead
from hedgerow.worker import kept

TEN = CacheTable(max_age=10, cookies=False)
LINES = ("X-Accel-Expires: 10", "Cache-Control: stale-while-revalidate=10, stale-if-error=0")


def told(
    *fields: tuple[str, str], table: CacheTable = TEN, status: str = "200 OK", length: int | None = 5
) -> tuple[str, ...]:
    return kept.lines(table, status, ResponseHead(status, list(fields)), length)


@pytest.mark.parametrize("status", ["200 OK", "301 Moved", "308 Moved", "404 No", "410 Gone"])
def test_an_answer_that_says_nothing_is_kept_as_long_as_the_manifest_says(status: str) -> None:
    assert told(status=status) == LINES


@pytest.mark.parametrize("status", ["201 Created", "206 Part", "302 Found", "304 Same", "403 No", "429 Slow"])
def test_other_statuses_are_not_kept(status: str) -> None:
    assert told(status=status) == ()


def test_of_an_error_the_front_is_told_so() -> None:
    assert told(("Cache-Control", "max-age=60"), status="500 Oh") == ("X-Accel-Expires: 0",)


@pytest.mark.parametrize(
    "field",
    [
        ("Cache-Control", "no-store"),
        ("Cache-Control", "private"),
        ("Cache-Control", 'private="Set-Cookie"'),
        ("Cache-Control", "no-cache"),
        ("cache-control", "MAX-AGE=60, NO-STORE"),
        ("Cache-Control", "max-age=0"),
        ("Cache-Control", "max-age=60, s-maxage=0"),
        ("Cache-Control", "max-age=x"),
        ("Cache-Control", "max-age=-1"),
        ("Expires", "0"),
        ("Expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("Pragma", "no-cache"),
        ("Set-Cookie", "a=1"),
        ("Vary", "*"),
        ("Vary", "Accept, *"),
        ("Vary", ", ".join(f"X-Field-{number}" for number in range(12))),
        ("X-Accel-Buffering", "no"),
        ("Content-Range", "bytes 0-4/5"),
        ("X-Accel-Redirect", "/static/a.css"),
    ],
)
def test_what_the_app_forbids_is_not_kept(field: tuple[str, str]) -> None:
    assert told(field) == ()


def test_two_fields_count_as_one() -> None:
    assert told(("Cache-Control", "public"), ("Cache-Control", "no-store")) == ()


@pytest.mark.parametrize("length", [None, 0, kept.LARGEST_BYTES + 1])
def test_what_has_no_length_or_too_much_of_it_is_not_kept(length: int | None) -> None:
    assert told(length=length) == ()
    assert told(length=kept.LARGEST_BYTES) == LINES


def test_a_redirect_without_a_body_is_kept() -> None:
    assert told(("Location", "/new"), status="301 Moved", length=0) == LINES


@pytest.mark.parametrize(
    ("fields", "age"),
    [
        ([("Cache-Control", "public, max-age=3")], 3),
        ([("Cache-Control", "max-age=99")], 10),
        ([("Cache-Control", "max-age=" + "9" * 5000)], 10),
        ([("Cache-Control", "max-age=2, s-maxage=4")], 4),
        ([("Cache-Control", 'max-age="5"')], 5),
        ([("Cache-Control", "max-age=6"), ("Expires", "0")], 6),
        ([("Cache-Control", "public"), ("Pragma", "cache")], 10),
    ],
)
def test_the_shorter_time_counts(fields: list[tuple[str, str]], age: int) -> None:
    assert told(*fields) == (
        f"X-Accel-Expires: {age}",
        f"Cache-Control: stale-while-revalidate={age}, stale-if-error=0",
    )


def test_expires_counts_from_now() -> None:
    expires, _ = told(("Expires", formatdate(time() + 8, usegmt=True)))
    assert expires in ("X-Accel-Expires: 6", "X-Accel-Expires: 7", "X-Accel-Expires: 8")


def test_a_stale_answer_only_where_the_app_lets_it() -> None:
    table = CacheTable(max_age=10, stale_if_error=60, cookies=False)
    assert told(table=table)[1] == "Cache-Control: stale-while-revalidate=10, stale-if-error=60"
    for word in ("must-revalidate", "proxy-revalidate"):
        strict = told(("Cache-Control", f"max-age=10, {word}"), table=table)
        assert strict[1] == "Cache-Control: stale-while-revalidate=0, stale-if-error=0"


def test_cookies_part_the_clients_unless_the_manifest_says_otherwise() -> None:
    table = CacheTable(max_age=10)
    assert told(table=table)[2:] == ("Vary: Cookie",)
    assert told(("Vary", "Accept-Encoding"), table=table)[2:] == ("Vary: Cookie",)
    assert told(("Vary", "Accept, cookie"), table=table)[2:] == ()
