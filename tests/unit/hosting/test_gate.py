from __future__ import annotations

from hedgerow.hosting.gate import Gate


def test_the_one_above_the_limit_is_refused_and_counted() -> None:
    gate = Gate(2)
    assert [gate.enter(), gate.enter(), gate.enter(), gate.enter()] == [True, True, False, False]
    assert repr(gate) == "<Gate 2 of 2 running, 2 refused>"


def test_leaving_makes_room_for_exactly_one() -> None:
    gate = Gate(1)
    assert gate.enter()
    gate.leave()
    assert [gate.enter(), gate.enter()] == [True, False]
    assert (gate.running, gate.refused) == (1, 1)
