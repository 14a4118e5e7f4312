"""When a worker is worn: each limit, the rest before it, and the luck that keeps workers apart."""

from __future__ import annotations

import dataclasses

import pytest

from hedgerow.config import Settings
from hedgerow.control.wear import MB, Wear, resident_bytes

NEVER = Settings(worker_requests=0, worker_age_s=0, worker_growth_mb=0, worker_rest_s=10)
MEAN = 0.5  # the luck with which limits are as the settings say

# settings, the kernel's limit in MB; then age in s, requests, resident MB, each a look → the word of the last look
TABLE = [
    ("nothing is limited", {}, None, [(10, 0, 30), (1e6, 10**9, 10**6)], ""),
    ("too few requests", {"worker_requests": 100}, None, [(10, 99, 30)], ""),
    ("requests", {"worker_requests": 100}, None, [(10, 100, 30)], "requests"),
    ("requests, before it has rested", {"worker_requests": 100}, None, [(9.9, 10**6, 30)], ""),
    ("too young", {"worker_age_s": 60}, None, [(59, 0, 30)], ""),
    ("age", {"worker_age_s": 60}, None, [(60, 0, 30)], "age"),
    ("growth", {"worker_growth_mb": 100}, None, [(10, 0, 30), (11, 0, 130)], "memory"),
    ("too little growth", {"worker_growth_mb": 100}, None, [(10, 0, 30), (11, 0, 129)], ""),
    ("large from the beginning", {"worker_growth_mb": 100}, None, [(10, 0, 4000), (99, 0, 4050)], ""),
    ("growth that is before the rest is over", {"worker_growth_mb": 100}, None, [(1, 0, 30), (10, 0, 900)], ""),
    ("growth behind a shrinking", {"worker_growth_mb": 100}, None, [(10, 0, 90), (11, 0, 30), (12, 0, 150)], ""),
    ("near the kernel's limit", {}, 100, [(10, 0, 90)], "memory"),
    ("not so near", {}, 100, [(10, 0, 89)], ""),
    ("near it, before it has rested", {}, 100, [(9, 0, 99)], ""),
]


@pytest.mark.parametrize(
    ("given", "limit_mb", "looks", "word"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_the_table(
    given: dict[str, float], limit_mb: int | None, looks: list[tuple[float, int, float]], word: str
) -> None:
    wear = Wear(dataclasses.replace(NEVER, **given), limit_mb, MEAN)
    for age_s, requests, megabytes in looks:
        told = wear.look(age_s, requests, int(megabytes * MB))
    assert told == word


def test_who_has_used_up_its_descriptors_is_worn_when_it_has_rested() -> None:
    wear = Wear(NEVER)
    assert [wear.look(*one) for one in ((9, 0, 0, 1.0), (10, 0, 0, 0.79), (10, 0, 0, 0.8))] == ["", "", "descriptors"]


def test_luck_moves_all_limits_by_a_tenth_at_most_and_each_worker_has_its_own() -> None:
    given = dataclasses.replace(NEVER, worker_requests=1000)

    def ends_at(wear: Wear) -> int:
        return next(requests for requests in range(2000) if wear.look(10, requests, 0))

    assert [ends_at(Wear(given, luck=luck)) for luck in (0, MEAN, 1)] == [900, 1000, 1100]
    ends = {ends_at(Wear(given)) for _ in range(20)}
    assert len(ends) > 5, "twenty workers that began together"
    assert all(900 <= end <= 1100 for end in ends)


def test_resident_memory_is_what_the_kernel_tells() -> None:
    before = resident_bytes()
    kept = b"x" * (50 * MB)
    assert 45 * MB < resident_bytes() - before < 70 * MB
    assert len(kept)
    assert resident_bytes(2**22 + 1) == 0, "there is no such process"
