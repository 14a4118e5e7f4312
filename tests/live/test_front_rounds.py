"""Nothing is lost or run twice between the front and its addresses; the request target arrives as it was sent."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from front_backends import (
    Exchange,
    Handler,
    backends,
    executed,
    executes,
    reads_and_drops,
    reads_and_resets,
    refuses,
    silent_address,
)
from front_support import binaries, running

from hedgerow.control.front import NginxBinary

BODIES = [("POST", b"abc"), ("PUT", bytes(range(256)) * 3516), ("PATCH", b"x" * 999_999), ("GET", b"")]
TARGETS = [
    "/a%2Fb//c/../d?x=%20",
    "/%7e",
    "/a;b=1,2/;/",
    "//",
    "//x//",
    "/?",
    "/a?b?c#",
    "/%41%01",
    "/caf\xe9",
    "/.//.%2e",
]
ROUNDS = ["first", "again", "refused", "stream"]


@pytest.fixture(params=binaries(), ids=str)
def binary(request: pytest.FixtureRequest) -> NginxBinary:
    return request.param


def refuses_once() -> Handler:
    """One worker that refuses what may go elsewhere, and takes what may not: the way through @refused."""

    def handle(exchange: Exchange) -> None:
        exchange.read_body()
        if exchange.header("x-hedgerow-round") == ["1"]:
            exchange.refuse()
        else:
            exchange.reply()

    return handle


def drops_first() -> Handler:
    """Breaks off the first request and takes the next: with one address, a GET's way through @again."""
    broken: list[Exchange] = []

    def handle(exchange: Exchange) -> None:
        exchange.read_body()
        if broken:
            exchange.reply()
        else:
            broken.append(exchange)
            exchange.drop()

    return handle


# --- the raw path -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ROUNDS)
def test_the_target_arrives_as_it_was_sent(binary: NginxBinary, tmp_path: Path, way: str) -> None:
    handlers = {"first": executes, "again": executes, "refused": refuses_once(), "stream": executes}
    with backends(handlers[way]) as (address,), running(tmp_path, binary, [address]) as front:
        for number, target in enumerate(TARGETS, 1):
            if way == "again":
                address.handler = drops_first()
            with front.client() as client:
                if way == "stream":
                    client.head("POST", target, "Transfer-Encoding: chunked")
                    client.send(b"3\r\nabc\r\n0\r\n\r\n")
                else:
                    client.head("GET", target)
                assert client.answer().status == 200
            assert front.last_line(number)["round"] == way
            assert {seen.target for seen in address.seen} == {target}
            address.seen.clear()


# --- refused before entry ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "body"), BODIES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_refused_request_goes_elsewhere_whole(binary: NginxBinary, tmp_path: Path, method: str, body: bytes) -> None:
    with backends(refuses, executes) as (busy, free), running(tmp_path, binary, [busy, free]) as front:
        for _ in range(4):  # least_conn takes turns, so some start at the busy one
            assert front.request(method, "/a%2Fb?c", body=body).body == b"fine"
        assert busy.seen, "the busy address was never asked"
        assert len(executed(free)) == 4
        for seen in free.seen:
            assert (seen.method, seen.target, bytes(seen.body)) == (method, "/a%2Fb?c", body)
            assert seen.header("Content-Length") == ([str(len(body))] if body else [])
        assert front.temporary_files() == []


def test_when_all_refuse_the_client_gets_the_workers_503(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(refuses, refuses) as addresses, running(tmp_path, binary, addresses) as front:
        answer = front.request("POST", "/", body=b"abc")
        assert (answer.status, answer.body, answer.header("Retry-After")) == (503, b"refused by the worker", ["7"])
        assert answer.header("X-Accel-Redirect") == []
        rounds = [seen.header("X-Hedgerow-Round") for address in addresses for seen in address.seen]
        assert sorted(rounds) == [["1"], ["1"], ["1"], ["1"], ["2"]]
        assert front.last_line()["round"] == "refused"


def test_two_of_three_refuse_and_the_third_takes_all(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(refuses, refuses, executes) as addresses, running(tmp_path, binary, addresses) as front:
        for _ in range(9):
            assert front.request("POST", "/", body=b"abc").status == 200
        assert len(executed(addresses[2])) == 9


def test_who_refuses_quickly_does_not_attract_everything(binary: NginxBinary, tmp_path: Path) -> None:
    """Under load who refuses is the least busy one: with least_conn and one move 44 in 100 ended as 503 here."""

    def works(exchange: Exchange) -> None:
        exchange.read_body()
        time.sleep(0.005)  # a request takes a while
        exchange.reply()

    with backends(refuses, works, works, works) as addresses, running(tmp_path, binary, addresses) as front:

        def client(_: int) -> list[int]:
            return [front.request("POST", "/", body=b"abc").status for _ in range(20)]

        with ThreadPoolExecutor(16) as pool:
            statuses = [status for some in pool.map(client, range(16)) for status in some]
        assert statuses.count(200) >= 0.97 * len(statuses)
        assert statuses.count(200) == len(executed(*addresses[1:]))


def test_a_refused_request_whose_second_address_is_dead_finds_a_third(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(refuses, None, None, executes) as addresses, running(tmp_path, binary, addresses) as front:
        for _ in range(8):
            assert front.request("POST", "/", body=b"abc").status == 200
        assert len(executed(addresses[3])) == 8


def test_a_refused_request_finds_an_address_that_is_still_marked(binary: NginxBinary, tmp_path: Path) -> None:
    """The one that refused leaves at once and the other is skipped: it is asked all the same."""

    def refuses_once_and_closes(exchange: Exchange) -> None:
        exchange.read_body()
        if exchange.header("x-hedgerow-round") == ["1"]:
            exchange.refuse(Connection="close")
        else:
            exchange.reply(Connection="close")
        exchange.drop()

    with (
        backends(refuses_once_and_closes, None) as (leaving, marked),
        running(tmp_path, binary, [leaving, marked]) as front,
    ):
        for _ in range(2):
            assert front.request("POST", "/", body=b"abc").status == 200
        assert any("502" in str(line["upstream_status"]) for line in front.log_lines()), "nothing was marked"
        # It is marked in `first` and in `others`, which was asked four times, and no connection is kept.

        def refuses_and_leaves(exchange: Exchange) -> None:
            exchange.read_body()
            marked.start()
            leaving.close_listener()
            exchange.refuse(Connection="close")
            exchange.drop()

        leaving.handler = refuses_and_leaves
        try:
            answer = front.request("POST", "/", body=b"abc")
        finally:
            marked.stop()
        assert answer.status == 200
        assert [bytes(seen.body) for seen in marked.seen] == [b"abc"]
        assert front.last_line(3)["round"] == "refused"


def test_a_streamed_body_cannot_move_so_its_worker_is_told(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(refuses) as (busy,), running(tmp_path, binary, [busy]) as front:
        answer = front.request("POST", "/", body=bytes(1_000_000))
        assert busy.seen[0].header("X-Hedgerow-Round") == ["2"]
        assert (answer.status, answer.header("Retry-After")) == (503, ["7"])


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_apps_own_error_passes_untouched(binary: NginxBinary, tmp_path: Path, status: int) -> None:
    def fails(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.reply(status, b"the app's own words", Content_Type="text/x-own")

    with backends(fails, fails) as addresses, running(tmp_path, binary, addresses) as front:
        for body in (b"", b"abc", bytes(1_500_000)):
            answer = front.request("POST", "/", body=body)
            assert (answer.status, answer.body) == (status, b"the app's own words")
            assert answer.header("Content-Type") == ["text/x-own"]
        assert len(executed(*addresses)) == 3


# --- addresses that are gone ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3, 1_500_000], ids=["kept", "streamed"])
def test_a_post_to_a_dead_address_is_executed_once_elsewhere(binary: NginxBinary, tmp_path: Path, size: int) -> None:
    with backends(None, executes) as (dead, alive), running(tmp_path, binary, [dead, alive]) as front:
        for _ in range(6):
            assert front.request("POST", "/", body=bytes(size)).status == 200
        assert len(executed(alive)) == 6
        assert [len(seen.body) for seen in alive.seen] == [size] * 6
        assert any("502" in str(line["upstream_status"]) for line in front.log_lines()), "the dead one was never tried"


@pytest.mark.parametrize("size", [3, 1_500_000], ids=["kept", "streamed"])
def test_all_addresses_are_marked_and_one_comes_back(binary: NginxBinary, tmp_path: Path, size: int) -> None:
    """`first` skips a marked address for 10 s; the second round, or a stream's backups, do not."""
    with backends(None, None) as (one, two), running(tmp_path, binary, [one, two]) as front:
        assert front.request("POST", "/", body=bytes(size)).status == 502
        one.start()
        try:
            assert front.request("POST", "/", body=bytes(size)).status == 200
            assert len(executed(one)) == 1
        finally:
            one.stop()


def test_an_address_that_says_nothing_costs_a_moment_and_no_request(binary: NginxBinary, tmp_path: Path) -> None:
    with (
        silent_address() as silent,
        backends(executes) as (alive,),
        running(tmp_path, binary, [alive], change=lambda _: None) as front,
    ):
        upstream = front.target / "upstream.conf"
        known = f"server 127.0.0.1:{alive.port} "
        lines = upstream.read_text().splitlines()
        dead = f"server 127.0.0.1:{silent.getsockname()[1]} "
        upstream.write_text(
            "\n".join(f"{line.replace(known, dead)}\n{line}" if known in line else line for line in lines)
        )
        front.reload()
        for _ in range(4):
            assert front.request("POST", "/", body=b"abc").status == 200
        assert len(executed(alive)) == 4
        assert any("504" in str(line["upstream_status"]) for line in front.log_lines())


# --- connections that break -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("breaks", [reads_and_drops, reads_and_resets])
@pytest.mark.parametrize(("method", "size"), [("POST", 3), ("PATCH", 3), ("POST", 900_000), ("POST", 1_500_000)])
def test_a_post_that_broke_off_is_never_run_again(
    binary: NginxBinary, tmp_path: Path, breaks: Handler, method: str, size: int
) -> None:
    with backends(breaks, breaks) as addresses, running(tmp_path, binary, addresses) as front:
        assert front.request(method, "/", body=bytes(size)).status == 502
        assert len(executed(*addresses)) == 1


def test_a_get_that_broke_off_is_repeated(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(reads_and_drops, executes) as addresses, running(tmp_path, binary, addresses) as front:
        for _ in range(4):
            assert front.request("GET", "/").status == 200
        assert addresses[0].seen, "the broken address was never asked"


def test_a_get_that_broke_off_on_the_only_address_gets_a_second_round(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(drops_first()) as (address,), running(tmp_path, binary, [address]) as front:
        assert front.request("GET", "/").status == 200
        assert len(address.seen) == 2
        assert front.last_line()["round"] == "again"
