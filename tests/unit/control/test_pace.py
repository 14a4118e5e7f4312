"""How soon the deployer looks again."""

from __future__ import annotations

from hedgerow.control.pace import BUSY_S, LOOK_S, STUCK_S, Pace


def test_who_has_nothing_to_do_looks_calmly_and_who_has_quickly() -> None:
    pace = Pace()
    assert pace.pause_s(1000.0, False, "single") == LOOK_S
    assert pace.pause_s(1000.1, True, "swapping") == BUSY_S


def test_what_does_not_get_on_is_looked_at_calmly_until_something_does() -> None:
    pace = Pace()
    assert pace.pause_s(1000.0, True, "swapping") == BUSY_S
    assert pace.pause_s(1000.0 + STUCK_S - 1, True, "swapping") == BUSY_S
    assert pace.pause_s(1000.0 + STUCK_S, True, "swapping") == LOOK_S
    assert pace.pause_s(1001.0 + STUCK_S, True, "turning") == BUSY_S


def test_one_swap_after_the_other_stays_quick_however_long_it_goes_on() -> None:
    pace = Pace()
    pauses = {pace.pause_s(1000.0 + second, True, second // 2) for second in range(10 * round(STUCK_S))}
    assert pauses == {BUSY_S}
