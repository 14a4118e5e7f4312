"""The server side of PEP 3333: every answer is parsed by h11 as a strict client."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import h11
import pytest

from hedgerow.http.request import Request
from hedgerow.pep3333.bridge import AppError, Exchange
from hedgerow.pep3333.environ import FileWrapper

DATE = "Sun, 22 Nov 2026 16:00:00 GMT"
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def make_request(method: str = "GET", http11: bool = True) -> Request:
    return Request(method, "/", http11, http11, {"HTTP_HOST": "a"})


class FakeClient:
    """The bridge's four verbs, kept in memory. leaves_after: how many sends succeed."""

    def __init__(self, keep: bool = True, leaves_after: int = 1000) -> None:
        self.sent: list[bytes] = []
        self.interim: list[bytes] = []
        self.keep = keep
        self.leaves_after = leaves_after

    def send(self, data: bytes, interim: bool = False) -> None:
        assert data, "an empty send"
        if self.gone():
            raise OSError("gone")
        (self.interim if interim else self.sent).append(data)

    def may_keep(self) -> bool:
        return self.keep

    def gone(self) -> bool:
        return len(self.sent) >= self.leaves_after

    @property
    def wire(self) -> bytes:
        return b"".join(self.sent)


def make_exchange(client: FakeClient, method: str = "GET", http11: bool = True, **options: Any) -> Exchange:
    return Exchange(make_request(method, http11), client, DATE, **options)


def answer(app: App, method: str = "GET", http11: bool = True) -> tuple[Exchange, bytes]:
    client = FakeClient(keep=http11)
    exchange = make_exchange(client, method, http11)
    exchange.run(app, {})
    return exchange, client.wire


def parse(wire: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    """The answer as a strict client reads it; what is left over, or missing, raises."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.receive_data(wire)
    response, body = None, b""
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(b"")
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert response is not None
            assert client.trailing_data[0] == b""
            return response, body
        else:
            raise AssertionError(event)


def simple(*blocks: bytes, headers: tuple[tuple[str, str], ...] = (), status: str = "200 OK") -> App:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response(status, [("Content-Type", "text/plain"), *headers])
        return list(blocks)

    return app


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("http11", [True, False])
@pytest.mark.parametrize("length", [(), (("Content-Length", "6"),)])
@pytest.mark.parametrize("blocks", [(b"abcdef",), (b"abc", b"", b"def"), (b"", b"abcdef")])
def test_a_body_arrives_whole_in_every_framing(
    blocks: tuple[bytes, ...], length: tuple[tuple[str, str], ...], http11: bool, method: str
) -> None:
    exchange, wire = answer(simple(*blocks, headers=length), method, http11)
    response, body = parse(wire, method)
    assert response.status_code == 200
    assert body == (b"" if method == "HEAD" else b"abcdef")
    assert exchange.complete
    names = [name for name, _ in response.headers]
    assert names.count(b"date") == names.count(b"server") == 1


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_without_a_body_has_none(status: str) -> None:
    _, wire = answer(simple(b"not to be seen", status=status))
    assert parse(wire)[1] == b""
    assert b"chunked" not in wire


def test_head_says_the_length_of_get_and_never_a_wrong_one() -> None:
    assert b"Content-Length: 6\r\n" in answer(simple(b"abcdef"), "HEAD")[1]
    assert b"Content-Length" not in answer(simple(), "HEAD")[1]
    assert b"Content-Length: 0\r\n" in answer(simple())[1]


def test_head_and_small_body_leave_in_one_send() -> None:
    client = FakeClient()
    make_exchange(client).run(simple(b"hello"), {})
    assert len(client.sent) == 1


def test_nothing_is_sent_before_the_first_block_that_is_not_empty() -> None:
    client = FakeClient()
    seen: list[int] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b""
        seen.append(len(client.sent))
        yield b"x"
        seen.append(len(client.sent))

    make_exchange(client).run(app, {})
    assert seen == [0, 1]


def test_a_generator_may_call_start_response_late() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("201 Created", [])
        yield b"made"

    response, body = parse(answer(app)[1])
    assert (response.status_code, body) == (201, b"made")


def test_write_and_the_iterable_can_be_mixed() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(b"one ")
        write(b"two ")
        return [b"three"]

    assert parse(answer(app)[1])[1] == b"one two three"


def test_exc_info_replaces_the_answer_before_it_is_sent_and_raises_after() -> None:
    def before(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("X-Old", "1")])
        try:
            raise KeyError("before")
        except KeyError:
            start_response("500 Oops", [], sys.exc_info())
        return [b"sorry"]

    def after(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])(b"sent")
        try:
            raise KeyError("after")
        except KeyError:
            start_response("500 Oops", [], sys.exc_info())
        return []

    response, body = parse(answer(before)[1])
    assert (response.status_code, body) == (500, b"sorry")
    assert b"x-old" not in dict(response.headers)
    with pytest.raises(KeyError, match="after"):
        answer(after)


class Blocks:
    """An iterable that counts its close()."""

    def __init__(self, *blocks: Any) -> None:
        self.blocks = iter(blocks)
        self.closed = 0

    def __iter__(self) -> Blocks:
        return self

    def __next__(self) -> Any:
        block = next(self.blocks)
        if isinstance(block, BaseException):
            raise block
        return block

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    "blocks", [(b"a", b"b"), (b"a", ValueError("midway")), (ValueError("at once"),), ("not bytes",), ()]
)
def test_close_is_called_exactly_once_on_every_path(blocks: tuple[Any, ...]) -> None:
    iterable = Blocks(*blocks)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return iterable

    failing = any(not isinstance(block, bytes) for block in blocks)
    try:
        exchange, _ = answer(app)
    except (ValueError, AppError):
        assert failing
    else:
        assert exchange.complete
        assert not failing
    assert iterable.closed == 1


def test_close_is_called_when_the_client_has_gone() -> None:
    iterable = Blocks(b"a", b"b", b"c")

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return iterable

    with pytest.raises(OSError, match="gone"):
        make_exchange(FakeClient(leaves_after=0)).run(app, {})
    assert iterable.closed == 1


def test_more_than_content_length_is_never_sent_and_less_is_an_error() -> None:
    client = FakeClient()
    exchange = make_exchange(client)
    with pytest.raises(AppError, match="longer"):
        exchange.run(simple(b"abc", b"def", headers=(("Content-Length", "4"),)), {})
    assert client.wire.endswith(b"\r\n\r\nabcd")
    with pytest.raises(AppError, match="2 bytes shorter"):
        answer(simple(b"ab", headers=(("Content-Length", "4"),)))


@pytest.mark.parametrize(
    "header",
    [("X-A", "a\r\nX-B: b"), ("X-A", "a\nb"), ("X-A", "a\0b"), ("X\r\nY", "1"), ("X-A", "a\rb"), ("X-A", "snow ☃")],
)
def test_a_head_can_not_be_split_by_a_value(header: tuple[str, str]) -> None:
    with pytest.raises(AppError):
        answer(simple(b"x", headers=(header,)))


@pytest.mark.parametrize("status", ["200", "OK", "20 OK", "abc OK", "100 Continue"])
def test_a_malformed_status_is_an_error(status: str) -> None:
    with pytest.raises(AppError):
        answer(simple(b"x", status=status))


def test_no_start_response_and_two_of_them_are_errors() -> None:
    def twice(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    with pytest.raises(AppError, match="without calling"):
        answer(lambda environ, start_response: [b"x"])
    with pytest.raises(AppError, match="second time"):
        answer(twice)


def test_an_app_can_not_steer_the_front_nor_the_connection() -> None:
    headers = (
        ("X-Accel-Redirect", "@refused"),
        ("x-accel-expires", "1"),
        ("Connection", "close"),
        ("Transfer-Encoding", "gzip"),
    )
    _, wire = answer(simple(b"x", headers=(*headers, ("X-Accel-Buffering", "no"))))
    head = wire.lower()
    assert b"x-accel-redirect" not in head
    assert b"x-accel-expires" not in head
    assert b"connection:" not in head
    assert b"transfer-encoding" not in head
    assert b"x-accel-buffering: no" in head


def test_the_servers_own_headers_are_sent_as_they_are() -> None:
    client = FakeClient()
    exchange = make_exchange(client, own_headers=("X-Accel-Redirect: @refused",))
    exchange.answer("503 Service Unavailable", [], b"full")
    assert b"\r\nX-Accel-Redirect: @refused\r\n" in client.sent[0]


def test_file_wrapper_reads_from_the_files_position_and_closes(tmp_path: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 20_000)
    file = path.open("rb")
    file.seek(5)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return FileWrapper(file, 1000)

    assert parse(answer(app)[1])[1] == path.read_bytes()[5:]
    assert file.closed
