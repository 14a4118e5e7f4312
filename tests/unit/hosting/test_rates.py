from __future__ import annotations

import pytest

from hedgerow.hosting import rates
from hedgerow.hosting.rates import Rates


def taken(limits: Rates, clients: list[str], seconds: float, step: float) -> int:
    count, now = 0, 0.0
    while now < seconds:
        count += sum(not limits.take(client, now) for client in clients)
        now += step
    return count


@pytest.mark.parametrize("rate", [0.5, 1.0, 20.0])
def test_of_many_requests_as_many_pass_as_the_rate_says(rate: float) -> None:
    assert taken(Rates(rate, 0.0, 0.0), ["a"], 60, 0.01) == pytest.approx(60 * rate + max(1.0, rate), abs=1.01)


def test_each_client_has_a_rate_of_its_own_and_all_have_one_together() -> None:
    assert taken(Rates(0.0, 2.0, 0.0), ["a", "b", "c"], 60, 0.01) == pytest.approx(3 * 122, abs=3.1)
    assert taken(Rates(3.0, 2.0, 0.0), ["a", "b", "c"], 60, 0.01) == pytest.approx(183, abs=2.1)


def test_who_is_refused_is_told_when_it_may_come_again_and_takes_nothing_of_the_others() -> None:
    limits = Rates(10.0, 0.5, 0.0)
    assert limits.take("a", 0.0) == 0
    assert [limits.take("a", 0.0) for _ in range(100)] == [pytest.approx(2.0)] * 100
    assert [limits.take(client, 0.0) for client in "bcdefghij"] == [0.0] * 9, "nine of ten are left"
    assert limits.take("a", 2.0) == 0.0


def test_more_clients_than_are_remembered_are_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_CLIENTS", 3)
    limits = Rates(0.0, 1.0, 0.0)
    assert [limits.take(client, 0.0) for client in "abcd"] == [0.0] * 4
    assert limits.take("d", 0.0) > 0
    assert limits.take("a", 0.0) == 0.0, "it was silent longest, and is forgotten"
