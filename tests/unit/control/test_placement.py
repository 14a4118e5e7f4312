"""The decision where an app runs: each cause, and which comes first."""

from __future__ import annotations

import pytest

from hedgerow.control.placement import (
    AUTO,
    BESIDE_OTHERS,
    OWN,
    SHARED,
    THREADS,
    Asked,
    Known,
    Placement,
    Tried,
    first,
    further,
    is_settled,
    then,
)
from hedgerow.hosting.findings import BLOCKING, NAMES, SHARED_STATE, Finding

KEY = Finding(SHARED_STATE, "blog: it sets stripe.api_key, which all share")
WAITS = Finding(BLOCKING, "blog: psycopg2 waits in libpq")
LOOK = Finding(NAMES, "blog: it looks for 'models'")

FURTHER = further(["werkzeug", "flask"])

# what is known, what the manifest asks for → pool and cause of what is tried first, and whether that is the last word
FIRST = [
    (Known(), Asked(), SHARED, "", False),
    (Known(OWN), Asked(), OWN, "operator", True),
    (Known(OWN), Asked(SHARED), OWN, "operator", True),
    (Known(SHARED), Asked(OWN), SHARED, "", True),
    (Known(SHARED, (KEY,)), Asked(), SHARED, "", True),
    (Known(), Asked(OWN), OWN, "manifest", True),
    (Known(), Asked(SHARED), SHARED, "", True),
    (Known(AUTO, (KEY,)), Asked(SHARED), SHARED, "", True),
    (Known(), Asked(isolation="strict"), OWN, "manifest", False),
    (Known(), Asked(concurrency=THREADS), OWN, "manifest", False),
    (Known(), Asked(memory=True), OWN, "manifest", False),
    (Known(SHARED), Asked(memory=True), SHARED, "", True),
    (Known(AUTO, (KEY, LOOK)), Asked(), OWN, SHARED_STATE, False),
    (Known(), Asked(run=True), OWN, "run", False),
    (Known(SHARED), Asked(conflict="needs werkzeug<3"), OWN, "requirements", True),
    (Known(), Asked(conflict="needs werkzeug<3", further=FURTHER), FURTHER, "requirements", False),
    (Known(SHARED), Asked(conflict="needs werkzeug<3", further=FURTHER), FURTHER, "requirements", True),
    (Known(OWN), Asked(conflict="needs werkzeug<3", further=FURTHER), OWN, "operator", True),
    (Known(), Asked(run=True, conflict="needs werkzeug<3", further=FURTHER), OWN, "run", False),
    (Known(AUTO, (KEY,)), Asked(conflict="needs werkzeug<3", further=FURTHER), OWN, SHARED_STATE, False),
]


@pytest.mark.parametrize(("known", "asked", "pool", "cause", "settled"), FIRST)
def test_where_it_is_tried_first(known: Known, asked: Asked, pool: str, cause: str, settled: bool) -> None:
    found = first("blog", known, asked)
    assert (found.pool, found.cause) == (pool, cause)
    assert found.reason.startswith("blog: ") if cause else not found.reason
    assert is_settled(known, asked) == settled


def test_a_conflict_has_one_pool_however_it_is_told() -> None:
    assert FURTHER == further(["flask", "werkzeug"]) == "shared+flask+werkzeug"
    assert (Placement(FURTHER).is_own, Placement(FURTHER).where) == (False, "the pool shared+flask+werkzeug")


def test_threads_are_for_own_pools() -> None:
    assert first("blog", Known(OWN), Asked(concurrency=THREADS)).concurrency == THREADS
    assert first("blog", Known(SHARED), Asked(concurrency=THREADS)) == BESIDE_OTHERS


OWNED = Placement(OWN, "operator", "why")
OLD = Placement(FURTHER, "requirements", "why", environment="e1")
ALONE = Placement(OWN, "load", "blog: it works alone, but not beside others: blog.py line 1: KeyError")

# what is known, asked for, tried and seen → what is tried next
NEXT = [
    (Known(), Asked(), BESIDE_OTHERS, Tried(), None),
    (Known(), Asked(), BESIDE_OTHERS, Tried(found=[KEY, LOOK]), Placement(OWN, SHARED_STATE, KEY.sentence)),
    (Known(), Asked(), BESIDE_OTHERS, Tried("it raises", [KEY]), Placement(OWN, SHARED_STATE, KEY.sentence)),
    (Known(), Asked(), BESIDE_OTHERS, Tried("blog.py line 1: KeyError"), ALONE),
    (Known(SHARED), Asked(), BESIDE_OTHERS, Tried(found=[KEY]), None),
    (Known(), Asked(SHARED), BESIDE_OTHERS, Tried(found=[KEY]), None),
    (Known(), Asked(), BESIDE_OTHERS, Tried(found=[WAITS]), Placement(OWN, BLOCKING, WAITS.sentence, THREADS)),
    (Known(), Asked(), BESIDE_OTHERS, Tried(found=[KEY, WAITS]), Placement(OWN, SHARED_STATE, KEY.sentence, THREADS)),
    (Known(), Asked(concurrency="greenlets"), BESIDE_OTHERS, Tried(found=[WAITS]), None),
    (Known(OWN), Asked(), OWNED, Tried(found=[WAITS]), Placement(OWN, "operator", "why", THREADS)),
    (Known(OWN), Asked(concurrency="greenlets"), OWNED, Tried(found=[WAITS]), None),
    (Known(OWN), Asked(), OWNED, Tried("it raises", [KEY]), None),
    (Known(), Asked(), OLD, Tried(found=[KEY]), Placement(OWN, SHARED_STATE, KEY.sentence, environment="e1")),
    (Known(SHARED), Asked(), OLD, Tried(found=[KEY]), None),
    (Known(), Asked(run=True), Placement(OWN, "run", "why"), Tried("it ends", [WAITS]), None),
    (Known(), Asked(), Placement(OWN, BLOCKING, "why", THREADS), Tried("it raises", [WAITS]), None),
]


@pytest.mark.parametrize(("known", "asked", "chosen", "tried", "placement"), NEXT)
def test_what_its_trial_shows(
    known: Known, asked: Asked, chosen: Placement, tried: Tried, placement: Placement | None
) -> None:
    assert then("blog", known, asked, chosen, tried) == placement


def test_what_is_known_has_a_mark_that_changes_with_it() -> None:
    marks = [Known().mark, Known(OWN).mark, Known(SHARED).mark, Known(AUTO, (KEY,)).mark, Known(AUTO, (KEY, LOOK)).mark]
    assert len(set(marks)) == len(marks)
    assert marks[0] == ""
