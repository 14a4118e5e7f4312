from __future__ import annotations

import random

import pytest

from hedgerow.hosting.gate import Gate, Turn


def nothing() -> None:
    pass


def test_without_room_the_one_above_the_limit_is_refused_and_counted() -> None:
    gate = Gate(2)
    assert [gate.enter(), gate.enter(), gate.enter()] == [True, True, False]
    assert gate.wait(nothing, 0.0) is None
    assert repr(gate) == "<Gate 2 of 2 running, 0 of 0 waiting, 1 refused>"


def test_leaving_makes_room_for_exactly_one() -> None:
    gate = Gate(1)
    assert gate.enter()
    gate.leave()
    assert [gate.enter(), gate.enter()] == [True, False]
    assert gate.running == 1


def test_who_waits_is_let_in_in_turn_and_nobody_overtakes() -> None:
    gate = Gate(1, room=2)
    let_in: list[str] = []
    assert gate.enter()
    turns = [gate.wait(lambda name=name: let_in.append(name), 0.0) for name in ("first", "second")]
    assert gate.wait(nothing, 0.0) is None, "there is room for two"
    gate.leave()
    assert (let_in, gate.running, gate.enter()) == (["first"], 1, False)
    gate.leave()
    assert let_in == ["first", "second"]
    assert all(turn is not None and turn.admitted for turn in turns)
    gate.leave()
    assert (gate.running, gate.left, gate.refused) == (0, 3, 1)


def test_who_gives_up_is_never_let_in_and_who_was_let_in_cannot_give_up() -> None:
    gate = Gate(1, room=2)
    gate.enter()
    gone, stays = gate.wait(nothing, 0.0), gate.wait(nothing, 0.0)
    assert gone is not None
    assert stays is not None
    assert gate.give_up(gone)
    gate.leave()
    assert (gone.admitted, stays.admitted) == (False, True)
    assert not gate.give_up(stays)
    gate.leave()
    assert (gate.running, gate.refused) == (0, 1)


@pytest.mark.parametrize(
    ("left", "waiting", "seconds"),
    [(0, 0, 4), (8, 0, 1), (8, 3, 2), (2, 1, 4), (1, 40, 60)],
    ids=["nobody has left", "at once", "four of two a second", "two of a half a second", "never more than a minute"],
)
def test_retry_after_is_how_long_it_takes_at_the_rate_at_which_requests_leave(
    left: int, waiting: int, seconds: int
) -> None:
    gate = Gate(50, room=50)
    while gate.enter():
        pass
    refused = gate.wait(nothing, 100.0)
    assert refused is not None
    gate.give_up(refused)
    for _ in range(left):
        gate.leave()
        gate.enter()
    for _ in range(waiting):
        gate.wait(nothing, 100.5)
    assert gate.retry_after_s(104.0) == seconds


def test_in_its_first_second_nobody_knows_and_old_marks_do_not_count() -> None:
    gate = Gate(1)
    gate.enter()
    gate.wait(nothing, 10.0)
    assert gate.retry_after_s(10.5) == 1
    for second in range(11, 41):  # one leaves each second
        gate.leave()
        gate.enter()
        gate.wait(nothing, float(second))
    assert gate.retry_after_s(41.0) <= 2, "what it did in the first seconds is forgotten"


def test_what_left_while_nobody_waited_does_not_count() -> None:
    """For an hour there was room, and few came: that says nothing of how many could leave."""
    gate = Gate(1)
    gate.enter()
    for second in range(3):
        gate.wait(nothing, float(second))
    gate.leave()
    gate.enter()
    gate.wait(nothing, 3600.0)
    assert gate.retry_after_s(3600.0) == 1
    gate.leave()
    gate.enter()
    gate.wait(nothing, 3602.0)
    assert gate.retry_after_s(3602.0) == 2


def test_whatever_happens_never_more_than_the_limit_runs() -> None:
    dice = random.Random(7)
    gate = Gate(5, room=4)
    inside, waiting, let_in = 0, list[Turn](), list[int]()
    for _ in range(20_000):
        match dice.randrange(3):
            case 0 if gate.enter():
                inside += 1
            case 0 if (turn := gate.wait(lambda: let_in.append(1), 0.0)) is not None:
                waiting.append(turn)
            case 1 if inside:
                inside -= 1
                gate.leave()
                inside += sum(let_in)
                let_in.clear()
            case 2 if waiting:
                gate.give_up(waiting.pop(dice.randrange(len(waiting))))
        assert gate.running == inside <= 5
        assert len(gate.waiting) <= 4
        assert not gate.waiting or gate.running == 5, "nobody waits while there is room"
