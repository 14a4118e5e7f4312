"""What is counted of requests."""

from __future__ import annotations

import json

from hedgerow.hosting.counts import BOUNDS_S, Counts


def test_each_answer_is_in_one_class_and_in_one_bucket() -> None:
    counts = Counts()
    for status in ("200 OK", "204 No Content", "404 Not Found", "503 x", "101 Switching Protocols"):
        counts.served(status, True, 0.0, 0, 10)
    counts.served("", False, 0.3, 7, 0)
    told = counts.told()
    assert told["requests"] == [1, 1, 2, 0, 1, 1]
    assert (told["aborted"], told["bytes_in"], told["bytes_out"], told["duration_us"]) == (1, 7, 50, 300_000)
    assert sum(told["durations"]) == 6


def test_a_bucket_takes_what_lasts_as_long_as_its_bound_and_the_last_one_all_the_rest() -> None:
    for place, bound in enumerate(BOUNDS_S):
        for seconds, where in ((bound, place), (bound + 1e-6, place + 1)):
            counts = Counts()
            counts.served("200 OK", True, seconds, 0, 0)
            assert counts.durations.index(1) == where
    assert len(Counts().durations) == len(BOUNDS_S) + 1
    assert sorted(BOUNDS_S) == list(BOUNDS_S)


def test_who_has_not_entered_is_counted_by_cause_and_as_no_request() -> None:
    counts = Counts()
    for moved in (True, False, False):
        counts.turned_away("full", moved)
    counts.turned_away("rate", False)
    told = counts.told()
    assert (told["refused"], told["moved"]) == ({"full": 2, "rate": 1}, {"full": 1})
    assert not any(told["requests"])


def test_nothing_is_told_of_an_app_that_nobody_asks() -> None:
    counts = Counts()
    assert counts.told() == {}
    counts.blocks += 1
    assert json.loads(json.dumps(counts.told()))["blocks"] == 1
