"""What one request may do to the addresses, and what addresses that hang or are all gone may do to a request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from front_backends import Backend, Exchange, Handler, backends, executes, reads_and_drops, refuses, silent_address
from front_support import Answer, Front, binaries, running

from hedgerow.control.front import NginxBinary

READ_TIMEOUT_S = 1
IMPATIENT = {"read_timeout_s": READ_TIMEOUT_S}
SENT_MOST = 3  # so often a GET or HEAD that breaks each connection, or is never answered, is sent
REPEATED = ["GET", "HEAD"]
NOT_REPEATED = ["POST", "PUT", "DELETE"]


@pytest.fixture(params=binaries(), ids=str)
def binary(request: pytest.FixtureRequest) -> NginxBinary:
    return request.param


@dataclass(frozen=True)
class Gone:
    """An address by its port alone."""

    port: int


def stalls(exchange: Exchange) -> None:
    """As a paused process: the kernel accepts, takes the request, and nobody answers."""
    exchange.read_body()
    while exchange.connection.recv(1):
        pass
    exchange.drop()


def on_path(path: str, handler: Handler) -> Handler:
    """For this path the handler; every other request is answered."""
    return lambda exchange: (handler if exchange.target == path else executes)(exchange)


def warm(front: Front, addresses: list[Backend]) -> None:
    """Until nginx keeps connections to every address: a broken one of those is no try of nginx's own count."""

    def client(_: int) -> Answer:
        return front.request("GET", "/warm")

    with ThreadPoolExecutor(8) as pool:
        assert {answer.status for answer in pool.map(client, range(64))} == {200}
    assert all(address.seen for address in addresses)
    for address in addresses:
        address.seen.clear()


@contextmanager
def warmed(binary: NginxBinary, folder: Path, handler: Handler, path: str) -> Iterator[tuple[Front, list[Backend]]]:
    with (
        backends(*[on_path(path, handler)] * 4) as addresses,
        running(folder, binary, addresses, options=IMPATIENT) as front,
    ):
        warm(front, addresses)
        yield front, addresses


def reached(addresses: list[Backend]) -> int:
    return sum(len(address.seen) for address in addresses)


# --- a request that breaks whoever takes it ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", REPEATED + NOT_REPEATED)
def test_a_poisonous_request_reaches_few_addresses(binary: NginxBinary, tmp_path: Path, method: str) -> None:
    """All connections are kept ones, which nginx repeats without counting: it went through all, twice over."""
    with warmed(binary, tmp_path, reads_and_drops, "/poison") as (front, addresses):
        body = b"x" if method in ("POST", "PATCH", "PUT") else b""
        assert front.request(method, "/poison", body=body).status == 502
        assert reached(addresses) == (SENT_MOST if method in REPEATED else 1)
        assert front.request("GET", "/").status == 200


def test_a_poisonous_get_finds_no_more_on_fresh_connections(binary: NginxBinary, tmp_path: Path) -> None:
    with (
        backends(*[reads_and_drops] * 6) as addresses,
        running(tmp_path, binary, addresses) as front,
    ):
        assert front.request("GET", "/").status == 502
        assert reached(addresses) == SENT_MOST
        assert front.last_line()["cause"] == "crashed"


def test_dead_addresses_before_it_give_a_poisonous_get_no_more(binary: NginxBinary, tmp_path: Path) -> None:
    with (
        backends(None, reads_and_drops, reads_and_drops, None, reads_and_drops, reads_and_drops) as addresses,
        running(tmp_path, binary, addresses) as front,
    ):
        for number in range(1, 4):
            front.request("GET", "/")
            assert reached(addresses) <= number * SENT_MOST


def test_a_poisonous_get_that_was_refused_first_reaches_no_more(binary: NginxBinary, tmp_path: Path) -> None:
    """As it is while workers start again: some refuse it, and it goes on to the next."""
    with (
        backends(refuses, *[reads_and_drops] * 5) as addresses,
        running(tmp_path, binary, addresses, options=IMPATIENT) as front,
    ):
        for number in range(1, 5):
            assert front.request("GET", "/").status == 502
            assert reached(addresses[1:]) <= number * SENT_MOST
        assert addresses[0].seen


# --- an address that hangs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", REPEATED)
def test_a_get_that_an_address_held_is_answered_by_another(binary: NginxBinary, tmp_path: Path, method: str) -> None:
    """The address is marked by it, so what follows goes straight to the other."""
    with (
        backends(stalls, executes) as (paused, other),
        running(tmp_path, binary, [paused, other], options=IMPATIENT) as front,
    ):
        for _ in range(6):
            assert front.request(method, "/").status == 200
        assert len(paused.seen) == 1
        assert len(other.seen) == 6
        held = [line for line in front.log_lines() if line["round"] == "held"]
        assert [line["upstream_status"] for line in held] == ["504 : 200"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_no_other_method_that_was_held_is_sent_again(binary: NginxBinary, tmp_path: Path, method: str) -> None:
    with (
        backends(stalls, stalls) as addresses,
        running(tmp_path, binary, addresses, options=IMPATIENT) as front,
    ):
        answer = front.request(method, "/", body=b"x" * (method == "POST"))
        assert answer.status == 504
        assert b"<title>504 \xc2\xb7 " in answer.body
        assert front.last_line()["cause"] == "deadline"
        assert reached(addresses) == 1


def test_a_get_that_nobody_answers_does_not_hang_everywhere(binary: NginxBinary, tmp_path: Path) -> None:
    with warmed(binary, tmp_path, stalls, "/hangs") as (front, addresses):
        answer = front.request("GET", "/hangs")
        assert answer.status == 504
        assert reached(addresses) == SENT_MOST
        assert max(len(address.seen) for address in addresses) == 1, "each time another address"
        assert front.last_line(65)["cause"] == "deadline"


def test_both_addresses_of_a_paused_replica_hold_a_get_and_the_other_replica_answers(
    binary: NginxBinary, tmp_path: Path
) -> None:
    with (
        backends(stalls, stalls, executes, executes) as addresses,
        running(tmp_path, binary, addresses, options=IMPATIENT) as front,
    ):
        for _ in range(8):
            assert front.request("GET", "/").status == 200
        assert [len(address.seen) for address in addresses[:2]] == [1, 1]


def test_without_the_guard_a_delete_that_was_held_is_run_twice(binary: NginxBinary, tmp_path: Path) -> None:
    """So the tests above can fail."""

    def weaker(snippets: Path) -> None:
        guard = snippets / "round-guard.conf"
        text = guard.read_text()
        assert "(?:GET|HEAD) few " in text
        guard.write_text(text.replace("(?:GET|HEAD) few ", "[A-Z]+ few "))

    with (
        backends(stalls, stalls) as addresses,
        running(tmp_path, binary, addresses, change=weaker, options=IMPATIENT) as front,
    ):
        front.request("DELETE", "/")
        assert reached(addresses) > 1


# --- all addresses are gone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_with_all_dead_the_next_request_is_answered_as_soon_as_one_is_back(
    binary: NginxBinary, tmp_path: Path, method: str
) -> None:
    with backends(None, None, None, None) as addresses, running(tmp_path, binary, addresses) as front:
        body = b"x" if method == "POST" else b""
        for _ in range(3):  # by now each is marked in every round that marks
            assert front.request(method, "/", body=body).status == 502
        addresses[2].start()
        try:
            assert [front.request(method, "/", body=body).status for _ in range(4)] == [200] * 4
        finally:
            addresses[2].stop()


@pytest.mark.parametrize(
    ("method", "handlers"), [("POST", [None] * 15 + [executes]), ("GET", [None, executes] * 8)], ids=["POST", "GET"]
)
def test_many_dead_addresses_cost_no_request(
    binary: NginxBinary, tmp_path: Path, method: str, handlers: list[Handler | None]
) -> None:
    """As when a replica of many addresses leaves. A GET has seven tries; half of all addresses stay."""
    with backends(*handlers) as addresses, running(tmp_path, binary, addresses) as front:
        assert [front.request(method, "/", body=b"x" * (method == "POST")).status for _ in range(20)] == [200] * 20
        assert reached(addresses) == 20


def test_a_poisonous_get_reaches_few_addresses_though_all_are_marked(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(*[reads_and_drops] * 4) as addresses, running(tmp_path, binary, addresses) as front:
        for number in range(1, 7):
            assert front.request("GET", "/").status == 502
            assert reached(addresses) == number * SENT_MOST


def test_a_get_that_broke_off_once_is_answered_though_all_are_marked(binary: NginxBinary, tmp_path: Path) -> None:
    """As after several workers have ended within the time for which an address is passed over."""
    left = Counter({"/once": 1, "/twice": 2})

    def breaks(exchange: Exchange) -> None:
        left[exchange.target] -= 1
        (reads_and_drops if exchange.method == "POST" or left[exchange.target] >= 0 else executes)(exchange)

    with backends(*[breaks] * 3) as addresses, running(tmp_path, binary, addresses) as front:
        assert [front.request("POST", "/", body=b"x").status for _ in range(3)] == [502] * 3  # marks all of `first`
        assert front.request("GET", "/twice").status == 200  # two of `fresh`
        assert front.request("GET", "/once").status == 200  # the third, and then there is none


def test_addresses_that_say_nothing_do_not_hold_a_request_for_long(binary: NginxBinary, tmp_path: Path) -> None:
    """Every address is a machine that is gone: the tries are bounded, and so is the wait."""
    with silent_address() as silent:
        port = silent.getsockname()[1]
        with running(tmp_path, binary, [Gone(port)]) as front:
            for method in ("GET", "POST"):
                assert front.request(method, "/", body=b"x" * (method == "POST")).status in (502, 504)
            for line in front.log_lines():
                assert len(str(line["upstream_addr"]).replace(" : ", ", ").split(", ")) <= 8
