"""At most once, and no more jumps than nginx allows: rare ways that the other tests of the rounds do not take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from front_backends import Backend, Exchange, backends, executed, executes, reads_and_drops
from front_support import Front, binaries, running

from hedgerow.control.front import NginxBinary

METHODS = ["GET", "POST", "PUT", "DELETE"]


@pytest.fixture(params=binaries(), ids=str)
def binary(request: pytest.FixtureRequest) -> NginxBinary:
    return request.param


@pytest.fixture
def breaking(binary: NginxBinary, tmp_path: Path) -> Iterator[tuple[Front, list[Backend]]]:
    with backends(*[reads_and_drops] * 4) as addresses, running(tmp_path, binary, addresses) as front:
        yield front, addresses


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("chunks", [b"", b"3\r\nabc\r\n"], ids=["empty", "small"])
def test_a_chunked_body_that_comes_with_its_head_is_sent_once(
    breaking: tuple[Front, list[Backend]], method: str, chunks: bytes
) -> None:
    """nginx has it whole, and sent a PUT to every address, twice over."""
    front, addresses = breaking
    with front.client() as client:
        client.send(
            f"{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"
        )
        assert client.answer().status == 502
    assert len(executed(*addresses)) == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_large_body_is_sent_once(breaking: tuple[Front, list[Backend]], method: str) -> None:
    front, addresses = breaking
    assert front.request(method, "/", body=bytes(1_500_000)).status == 502
    assert len(executed(*addresses)) == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
def test_when_all_come_back_and_break_off_a_request_is_not_repeated(
    binary: NginxBinary, tmp_path: Path, method: str
) -> None:
    """All are marked, and each is asked all the same: nginx itself would send it to one after the other."""
    with backends(None, None, None, None) as addresses, running(tmp_path, binary, addresses) as front:
        for _ in range(4):
            assert front.request(method, "/").status == 502
        for address in addresses:
            address.handler = reads_and_drops
            address.start()
        try:
            assert front.request(method, "/").status == 502
            assert len(executed(*addresses)) == 1
        finally:
            for address in addresses:
                address.stop()


@pytest.mark.parametrize("method", ["DELETE", "M-SEARCH", "VERSION-CONTROL"])
def test_what_was_never_sent_goes_on_whatever_its_method(binary: NginxBinary, tmp_path: Path, method: str) -> None:
    with backends(None, None, executes) as addresses, running(tmp_path, binary, addresses) as front:
        assert [front.request(method, "/").status for _ in range(6)] == [200] * 6


@pytest.mark.parametrize("method", METHODS)
def test_four_refusals_and_then_nobody_end_on_a_page(binary: NginxBinary, tmp_path: Path, method: str) -> None:
    """The longest way there is: one jump more, and nginx calls it a cycle and answers 500."""
    with backends(executes) as (leaving,), running(tmp_path, binary, [leaving]) as front:

        def refuses_four_times(exchange: Exchange) -> None:
            exchange.read_body()
            if len(leaving.seen) == 4:
                leaving.close_listener()
            exchange.refuse(Connection="close")
            exchange.drop()

        leaving.handler = refuses_four_times
        answer = front.request(method, "/")
        assert len(leaving.seen) == 4
        assert answer.status == 502
        assert b"unreachable" in answer.body
        assert "cycle" not in front.errors.read_text()
