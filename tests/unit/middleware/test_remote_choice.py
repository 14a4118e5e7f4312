"""Which upstream gets a request, and what a failure means: pure functions, and the state that they are asked about."""

from __future__ import annotations

import itertools
import time
from collections import Counter

import pytest

from hedgerow.middleware.upstreams import balance as balance_module
from hedgerow.middleware.upstreams.address import parse
from hedgerow.middleware.upstreams.balance import Balance, Keeping, Patience
from hedgerow.middleware.upstreams.choice import MEANINGS, Failure, Seen, Tried, choose, may_go_elsewhere

IN = Seen(weight=1, busy=0, spent=0.0, out_until=0.0, hesitate_s=0.0, down=False)
GET, POST = True, False


def picked(*upstreams: Seen, tried: Tried | None = None, now: float = 100.0) -> int | None:
    return choose(upstreams, now, tried or Tried(GET))


def test_the_least_busy_for_its_weight_gets_it() -> None:
    assert picked(IN._replace(busy=2), IN._replace(busy=1), IN._replace(busy=3)) == 1
    assert picked(IN._replace(busy=5, weight=3), IN._replace(busy=2)) == 0
    assert picked(IN._replace(busy=7, weight=3), IN._replace(busy=2)) == 1
    assert picked(IN._replace(spent=2.0), IN._replace(spent=1.5)) == 1, "of equals the one that has had less"


def test_who_is_down_or_would_take_its_time_again_gets_nothing() -> None:
    down = IN._replace(down=True)
    assert picked(down, IN._replace(busy=90)) == 1
    assert picked(down, down) is None
    assert picked(IN, IN._replace(busy=9), tried=Tried(GET, times={0: 1}, not_again={0})) == 1
    assert picked(IN, down, tried=Tried(GET, not_again={0})) is None


def test_who_is_out_comes_back_by_one_request_at_a_time() -> None:
    out = IN._replace(out_until=101.0)
    assert picked(out, IN._replace(busy=50)) == 1
    assert picked(out, IN, now=101.0) == 0, "its while is over: it is tried before the others, or nobody would"
    assert picked(out._replace(busy=1), IN._replace(busy=50), now=101.0) == 1
    hangs = out._replace(hesitate_s=5.0)
    assert picked(hangs, IN, tried=Tried(POST), now=105.0) == 1, "what cannot go elsewhere keeps away for longer"
    assert picked(hangs, IN, tried=Tried(POST), now=106.0) == 0, "but where nothing else comes it must not be for ever"
    assert picked(out, IN, tried=Tried(POST), now=101.0) == 0, "a refusal costs it nothing"


def test_when_all_are_out_the_soonest_is_asked() -> None:
    far, near = IN._replace(out_until=190.0), IN._replace(out_until=101.0, busy=3)
    assert picked(far, near) == 1
    assert picked(far, near, tried=Tried(GET, times={1: 1})) == 1, "though it has just failed: the other is worse"
    assert picked(far, IN, tried=Tried(GET, times={1: 2})) == 1


def test_a_request_goes_to_others_first() -> None:
    assert picked(IN, IN._replace(busy=9), tried=Tried(GET, times={0: 1})) == 1
    assert picked(IN, IN, tried=Tried(GET, times={0: 2, 1: 1})) == 1


ALL = [*itertools.product(Failure, (False, True), (False, True), (False, True))]


@pytest.mark.parametrize(("failure", "sent", "idempotent", "whole"), ALL)
def test_nothing_is_executed_twice(failure: Failure, sent: bool, idempotent: bool, whole: bool) -> None:
    """The whole rule, said in another way than the code says it."""
    may = may_go_elsewhere(failure, sent, idempotent, whole)
    twice = sent and not idempotent
    assert may is (not twice and whole and failure not in (Failure.CUT, Failure.STALLED))


def test_each_failure_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Failure)
    assert [failure for failure in Failure if not MEANINGS[failure].counts] == [Failure.OURS, Failure.STALE]
    late = {failure for failure in Failure if MEANINGS[failure].status == 504}
    assert late == {Failure.UNREACHED, Failure.SILENT, Failure.DEAF, Failure.STALLED}
    assert {failure for failure in Failure if MEANINGS[failure].once} == late - {Failure.STALLED}


def test_a_kept_connection_that_was_closed_is_no_try() -> None:
    tried = Tried(POST)
    tried.note(0, Failure.STALE)
    assert (tried.times, tried.anew) == ({}, True)
    tried.note(0, Failure.SILENT)
    tried.note(1, Failure.BROKE)
    assert (tried.times, tried.not_again) == ({0: 1, 1: 1}, {0})


class Clock:
    """Of the balance."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(balance_module, "time", clock)
    return clock


def balance(*places: str, failures: int = 2) -> Balance:
    return Balance([*map(parse, places)], Patience(failures, 10.0, 1.0, 8.0), Keeping(4, 1.0))


def taken(balance: Balance, tried: Tried | None = None) -> int:
    """Where a request goes that is over at once."""
    lease = balance.take(tried or Tried(GET))
    assert lease is not None
    balance.done(lease, None)
    return lease.number


def fail(balance: Balance, number: int, failure: Failure = Failure.SILENT) -> None:
    tried = Tried(GET, not_again={*range(len(balance.addresses))} - {number})
    lease = balance.take(tried)
    assert lease is not None
    assert lease.number == number
    balance.failed(lease, failure)
    balance.done(lease, None)


def test_requests_are_shared_by_weight(clock: Clock) -> None:
    two = balance("http://a", "http://b weight=3")
    assert Counter(taken(two) for _ in range(400)) == {0: 100, 1: 300}
    busy = balance("http://a", "http://b weight=3")
    held = [busy.take(Tried(POST)) for _ in range(40)]
    assert Counter(lease.number for lease in held if lease) == {0: 10, 1: 30}
    assert repr(busy) == "<Balance http://a in busy=10 idle=0, http://b in busy=30 idle=0>"


def test_failures_within_the_window_put_it_out_for_a_while_that_grows(clock: Clock) -> None:
    two = balance("http://a", "http://b")
    fail(two, 0)
    clock.now += 11.0
    fail(two, 0)
    assert "out" not in repr(two), "the first one is forgotten"
    fail(two, 0)
    outs = []
    for _ in range(6):
        began = clock.now
        while taken(two) != 0:
            clock.now += 0.25
        outs.append(clock.now - began)
        fail(two, 0)
    assert outs == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    clock.now += 8.0
    lease = two.take(Tried(GET))
    assert lease is not None
    assert lease.number == 0
    assert {taken(two) for _ in range(5)} == {1}, "while it is tried nobody follows"
    two.answered(lease)
    two.done(lease, None)
    assert repr(two) == "<Balance http://a in busy=0 idle=0, http://b in busy=0 idle=0>"
    assert Counter(taken(two) for _ in range(10)) == {0: 5, 1: 5}, "it makes up for nothing"
    fail(two, 0)
    assert "out" not in repr(two), "it begins anew"


def test_who_fails_the_one_request_that_tries_it_is_out_again_at_once(clock: Clock) -> None:
    two = Balance([parse("http://a"), parse("http://b")], Patience(3, 0.5, 1.0, 1.0), Keeping(4, 1.0))
    for _ in range(3):
        fail(two, 0)
    for _ in range(40):
        clock.now += 1.0
        assert taken(two) == 0
        fail(two, 0)
        assert {taken(two) for _ in range(4)} == {1}


def test_what_was_under_way_when_it_went_out_tells_nothing_new(clock: Clock) -> None:
    two = balance("http://a", "http://b", failures=1)
    held = [lease for _ in range(10) if (lease := two.take(Tried(GET, not_again={1})))]
    clock.now += 0.5
    for lease in held:
        two.failed(lease, Failure.SILENT)
        two.done(lease, None)
    clock.now += 1.0
    assert taken(two) == 0, "out for one second, not for 2**9"


def test_what_is_asked_regularly_decides(clock: Clock) -> None:
    two = balance("http://a", "http://b", failures=1)
    assert two.checked(0, False)
    assert not two.checked(0, False)
    assert {taken(two) for _ in range(4)} == {1}
    assert two.checked(0, True)
    assert {taken(two) for _ in range(4)} == {0, 1}
    fail(two, 0)
    assert {taken(two) for _ in range(4)} == {1}
    assert not two.checked(0, True)
    assert {taken(two) for _ in range(4)} == {0, 1}, "a good answer lets it in before its while is over"


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("http://a.example", (False, "a.example", 80, "", "", "a.example", 1)),
        ("https://a:8443/v2/ weight=12", (True, "a", 8443, "", "/v2", "a:8443", 12)),
        ("http://[::1]:81/x/y", (False, "::1", 81, "", "/x/y", "[::1]:81", 1)),
        ("unix:/run/a.sock", (False, "", 0, "/run/a.sock", "", "localhost", 1)),
        ("unix:/run/a.sock:/api/ weight=2", (False, "", 0, "/run/a.sock", "/api", "localhost", 2)),
    ],
)
def test_where_an_upstream_is(written: str, found: tuple[object, ...]) -> None:
    assert tuple(parse(written)[1:]) == found


@pytest.mark.parametrize(
    "written",
    [
        "", "a:80", "ftp://a", "http://", "http://a:b", "http://a:99999", "http://u:p@a", "http://a/?q", "http://a/#f",
        "unix:run/a.sock", "unix:/run/a:api", "http://a weight=0", "http://a weight=x", "http://a max=1", "http://a/ b",
    ],
)  # fmt: skip
def test_what_is_no_upstream(written: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(written)


def test_state_is_read_with_a_real_clock() -> None:
    one = balance("http://a", failures=1)
    fail(one, 0)
    before = time.monotonic()
    assert taken(one) == 0, "the only one is asked though it is out"
    assert time.monotonic() - before < 0.5
