"""Who gets the requests: four addresses behind least_conn, one of which is busy with a slow app.

`least_conn` gives a request to the address with the fewest unfinished ones. What is claimed, with 32 clients whose
requests take 20 ms each: while a slow app merely waits on one worker, all four addresses get within 20 % of the mean;
while it computes there, the other three get within 20 % of theirs and the busy one less, as it should.
What is not claimed: that a lone client, which asks one after the other, is ever sent to where something waits.
"""

from __future__ import annotations

import pytest

from .asking import Answers, ask, held
from .engine import HERE, Stack

APPS = [HERE / "apps" / name for name in ("tells_its_address", "waits_long", "computes_long")]
ASKED = "/tells_its_address/"
CLIENTS = 32

REQUESTS = pytest.mark.parametrize("requests", [4_000, pytest.param(60_000, marks=pytest.mark.slow)])
KEEP_ALIVE = pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "connection-each"])


def tell(answers: Answers, busy: str) -> None:
    shares = [f"{name} {number}{' (busy)' * (name == busy)}" for name, number in sorted(answers.by.items())]
    rate = answers.number / answers.seconds
    print(f"{rate:,.0f} requests a second, the slowest took {answers.longest_s:.2f} s: {', '.join(shares)}")


def assert_even(numbers: list[int]) -> None:
    mean = sum(numbers) / len(numbers)
    assert [number for number in numbers if not 0.8 * mean <= number <= 1.2 * mean] == [], f"mean {mean:.0f}: {numbers}"


@KEEP_ALIVE
@REQUESTS
def test_all_addresses_share_evenly_while_one_waits_for_a_slow_app(
    stack: Stack, requests: int, keep_alive: bool
) -> None:
    with held(stack.port, "/waits_long/") as busy:
        answers = ask(stack.port, ASKED, clients=CLIENTS, requests=requests, keep_alive=keep_alive)
    tell(answers, busy)
    assert answers.number == requests
    assert len(answers.by) == 4, "no failure, and nobody else"
    assert busy in answers.by
    assert_even(list(answers.by.values()))


@KEEP_ALIVE
@REQUESTS
def test_the_others_share_evenly_while_one_worker_computes(stack: Stack, requests: int, keep_alive: bool) -> None:
    """The app computes in bursts of 0.1 s: what the busy worker gets, it answers after a few of them."""
    with held(stack.port, "/computes_long/") as busy:
        answers = ask(stack.port, ASKED, clients=CLIENTS, requests=requests, keep_alive=keep_alive)
    tell(answers, busy)
    rest = [number for name, number in answers.by.items() if name != busy]
    assert answers.number == requests
    assert len(rest) == 3, "no failure, and nobody else"
    assert_even(rest)
    assert 0 < answers.by[busy] < min(rest)
    assert answers.longest_s < 3
