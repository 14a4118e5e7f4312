"""The server side of PEP 3333: every answer is parsed by h11 as a strict client."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import h11
import pytest
from bridge_help import App, FakeClient, make_exchange, parse

from hedgerow.pep3333.bridge import AppError, Exchange


def answer(app: App, method: str = "GET", http11: bool = True) -> tuple[Exchange, bytes]:
    client = FakeClient(keep=http11)
    exchange = make_exchange(client, method, http11)
    exchange.run(app, {})
    return exchange, client.wire


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


@pytest.mark.parametrize("status", ["204 No Content", "205 Reset Content", "304 Not Modified"])
@pytest.mark.parametrize("blocks", [(), (b"not to be seen",), (b"not ", b"to be seen")])
@pytest.mark.parametrize("length", [(), (("Content-Length", "14"),)])
def test_an_answer_without_a_body_has_none(
    status: str, blocks: tuple[bytes, ...], length: tuple[tuple[str, str], ...]
) -> None:
    exchange, wire = answer(simple(*blocks, status=status, headers=length))
    assert parse(wire)[1] == b""
    assert wire.endswith(b"\r\n\r\n")
    assert b"chunked" not in wire
    assert (b"Content-Length" in wire) == (status[:3] == "205" or (status[:3] == "304" and bool(length)))
    assert exchange.complete
    assert not exchange.close


def test_a_2xx_to_connect_is_a_tunnel_to_the_client_and_the_last_answer() -> None:
    exchange, wire = answer(simple(b"x", headers=(("Content-Length", "1"),)), "CONNECT")
    head, _, rest = wire.partition(b"\r\n\r\n")
    assert b"Content-Length" not in head
    assert b"Transfer-Encoding" not in head
    assert rest == b"x"
    assert exchange.close
    exchange, wire = answer(simple(b"no", status="405 Method Not Allowed"), "CONNECT")
    assert b"Content-Length: 2\r\n" in wire
    assert not exchange.close


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

    before_wire = answer(before)[1]
    response, body = parse(before_wire)
    assert (response.status_code, body) == (500, b"sorry")
    assert b"x-old" not in dict(response.headers)
    assert before_wire.count(b"HTTP/1.1") == 1
    with pytest.raises(KeyError, match="after"):
        answer(after)


def test_a_replacement_that_is_wrong_leaves_no_answer_of_before() -> None:
    """An app that swallows the error of its error page must not send the page's text under the old status."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            raise KeyError("x")
        except KeyError:
            with contextlib.suppress(AppError):
                start_response("500", [], sys.exc_info())
        return [b"sorry"]

    with pytest.raises(AppError, match="without calling"):
        answer(app)


def test_exc_info_without_an_exception_is_no_way_to_a_second_head() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])(b"sent")
        start_response("500 Oops", [], (None, None, None))
        return []

    client = FakeClient()
    exchange = make_exchange(client)
    with pytest.raises(AppError, match="had been sent"):
        exchange.run(app, {})
    assert exchange.status == "200 OK"
    assert client.wire.count(b"HTTP/1.1") == 1


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


class Deadline(BaseException):
    """What the worker throws into the app's greenlet when its time is up."""


def returning(iterable: Any) -> App:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return iterable  # type: ignore[no-any-return]

    return app


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("blocks", "error"),
    [
        ((b"a", b"b"), None),
        ((), None),
        ((b"",), None),
        ((ValueError("at once"),), ValueError),
        ((b"", ValueError("before the head")), ValueError),
        ((Deadline(),), Deadline),
        (("not bytes",), AppError),
        ((bytearray(b"no"),), AppError),
    ],
)
def test_close_is_called_exactly_once_on_every_path(
    blocks: tuple[Any, ...], error: type[BaseException] | None, method: str
) -> None:
    iterable = Blocks(*blocks)
    with pytest.raises(error) if error else contextlib.nullcontext():
        exchange, wire = answer(returning(iterable), method)
        assert exchange.complete
        parse(wire, method)
    assert iterable.closed == 1


@pytest.mark.parametrize("error", [ValueError("midway"), Deadline(), "not bytes"])
@pytest.mark.parametrize("http11", [True, False])
def test_an_answer_that_fails_midway_is_closed_and_not_complete(error: Any, http11: bool) -> None:
    iterable, client = Blocks(b"a", error), FakeClient()
    exchange = make_exchange(client, http11=http11)
    with pytest.raises((ValueError, Deadline, AppError)):
        exchange.run(returning(iterable), {})
    assert iterable.closed == 1
    assert exchange.close
    assert not exchange.complete
    assert not client.wire.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("leaves_after", [0, 1, 2])
def test_close_is_called_when_the_client_has_gone(leaves_after: int) -> None:
    iterable = Blocks(b"a", b"b", b"c")
    exchange = make_exchange(FakeClient(leaves_after=leaves_after))
    with pytest.raises(OSError, match="gone"):
        exchange.run(returning(iterable), {})
    assert iterable.closed == 1
    assert not exchange.complete


def test_an_error_in_close_is_raised_and_leaves_the_answer_whole() -> None:
    class Closing(Blocks):
        def close(self) -> None:
            super().close()
            raise KeyError("in close")

    iterable, client = Closing(b"a"), FakeClient()
    exchange = make_exchange(client)
    with pytest.raises(KeyError, match="in close"):
        exchange.run(returning(iterable), {})
    assert iterable.closed == 1
    assert exchange.complete
    assert parse(client.wire)[1] == b"a"


def test_what_has_no_close_and_what_can_not_be_iterated() -> None:
    assert parse(answer(returning(iter([b"a", b"b"])))[1])[1] == b"ab"
    for wrong in (None, 1):
        with pytest.raises(TypeError):
            answer(returning(wrong))
    with pytest.raises(AppError, match="is int, not bytes"):
        answer(returning(b"bytes are an iterable of numbers"))
    with pytest.raises(AppError, match="is str, not bytes"):
        answer(returning("text"))


def test_more_than_content_length_is_never_sent_and_less_is_an_error() -> None:
    client = FakeClient()
    exchange = make_exchange(client)
    with pytest.raises(AppError, match="longer"):
        exchange.run(simple(b"abc", b"def", headers=(("Content-Length", "4"),)), {})
    assert client.wire.endswith(b"\r\n\r\nabcd")
    assert exchange.complete  # what the head promised has arrived, and the next request can follow
    assert not exchange.close
    with pytest.raises(AppError, match="2 bytes shorter"):
        answer(simple(b"ab", headers=(("Content-Length", "4"),)))


class Liar(str):
    """Text whose methods say that it is something else."""

    __slots__ = ()

    def isprintable(self) -> bool:
        return True

    def isascii(self) -> bool:
        return True

    def __format__(self, spec: str) -> str:
        return "x\r\nX-Split: 1"

    __str__ = __add__ = __radd__ = __format__


WRONG_HEADERS: list[Any] = [
    *((("X-A", value)) for value in ("a\r\nX-B: b", "a\nb", "a\rb", "a\0b", "a\x7fb", "snow ☃", Liar("a\r\nb"))),
    *((("X-A", value)) for value in (b"bytes", 1, None, ["x"])),
    *(((name, "1")) for name in ("X\r\nY", "X Y", "X:", "", "Xé", "X\0", Liar("X\n"), b"X", 1, None)),
    *((("Content-Length", value)) for value in ("-1", "+1", "1_0", "1,1", "", "0x1", "²", "1 ", " 1", "1" * 5000)),
    "ab:c",
    ("X-A",),
    ("X-A", "1", "2"),
]


@pytest.mark.parametrize("header", WRONG_HEADERS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_header_that_is_none_is_an_error_and_nothing_is_sent(header: Any, method: str) -> None:
    client = FakeClient()
    with pytest.raises((AppError, ValueError, TypeError)):
        make_exchange(client, method).run(simple(b"x", headers=(header,)), {})
    assert client.wire == b""


@pytest.mark.parametrize("length", ["", "+1", "1 ", "1_0", "0x1", "\u0661", "9" * 19])
def test_a_length_that_a_client_could_misread_is_refused(length: str) -> None:
    with pytest.raises(AppError):
        answer(simple(b"x", headers=(("Content-Length", length),)))


def test_two_lengths_are_an_error_unless_they_are_one() -> None:
    with pytest.raises(AppError, match="two different lengths"):
        answer(simple(b"x", headers=(("Content-Length", "1"), ("content-length", "2"))))
    wire = answer(simple(b"x", headers=(("Content-Length", "1"), ("content-length", "1"))))[1]
    assert wire.lower().count(b"content-length") == 1


def test_text_is_latin_1_and_a_subclass_of_str_is_the_text_that_it_holds() -> None:
    headers = (("X-A", "caf\xe9\t\xa0\x80"), ("X-B", Liar("b")), (Liar("X-C"), "c"), ("X-D", ""))
    response, _ = parse(answer(simple(b"x", headers=headers, status="200 d'accord \xe9"))[1])
    given = {name: value for name, value in response.headers if name.startswith(b"x-")}
    assert given == {b"x-a": b"caf\xe9\t\xa0\x80", b"x-b": b"b", b"x-c": b"c", b"x-d": b""}
    assert response.reason == "d'accord \xe9".encode("latin-1")


def test_date_and_server_are_the_apps_if_it_has_them() -> None:
    response, _ = parse(answer(simple(b"x", headers=(("dATE", "then"), ("Server", "mine"))))[1])
    assert [value for name, value in response.headers if name in (b"date", b"server")] == [b"then", b"mine"]


WRONG_STATUSES = ["200", "OK", "20 OK", "abc OK", "100 Continue", "101 Switching Protocols", "103 Early Hints"]
WRONG_STATUSES += ["999 No", "2000 OK", "200 O\r\nX: y", "200 O\nK", "200 \0", "200 snow ☃", b"200 OK", 200, None]


@pytest.mark.parametrize("status", WRONG_STATUSES)
def test_a_malformed_status_is_told_to_the_app_that_says_it(status: Any) -> None:
    client = FakeClient()
    exchange = make_exchange(client)
    told: list[str] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            start_response(status, [])
        except AppError as error:
            told.append(str(error))
            raise
        return [b"x"]

    with pytest.raises(AppError):
        exchange.run(app, {})
    assert len(told) == 1
    assert client.wire == b""
    assert exchange.head is None


def test_iteration_stops_at_the_block_that_is_too_much() -> None:
    """PEP 3333, "Handling the Content-Length Header"; write() raises into the app instead."""
    iterable, client = Blocks(b"ab", b"cd", b"", b"e", b"never asked for"), FakeClient()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        return iterable

    with pytest.raises(AppError, match="longer"):
        make_exchange(client).run(app, {})
    assert list(iterable.blocks) == [b"never asked for"]
    assert iterable.closed == 1
    assert parse(client.wire)[1] == b"abcd"


def test_write_beyond_content_length_raises_into_the_app() -> None:
    raised: list[AppError] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        write = start_response("200 OK", [("Content-Length", "4")])
        for block in (b"abc", b"def", b"ghi"):
            try:
                write(block)
            except AppError as error:
                raised.append(error)
        return []

    exchange, wire = answer(app)
    assert len(raised) == 2
    assert parse(wire)[1] == b"abcd"
    assert exchange.complete


def test_an_app_that_fails_when_all_is_sent_has_answered() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        yield b"done"
        raise KeyError("behind it")

    client = FakeClient()
    exchange = make_exchange(client)
    with pytest.raises(KeyError):
        exchange.run(app, {})
    assert exchange.complete
    assert parse(client.wire)[1] == b"done"


def test_no_start_response_and_two_of_them_are_errors() -> None:
    def twice(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    with pytest.raises(AppError, match="without calling"):
        answer(lambda environ, start_response: [b"x"])
    with pytest.raises(AppError, match="second time"):
        answer(twice)


HOP_BY_HOP = ["Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailers", "Upgrade"]
HOP_BY_HOP += ["Transfer-Encoding", "Trailer", "Proxy-Connection"]


@pytest.mark.parametrize("name", HOP_BY_HOP)
@pytest.mark.parametrize("change", [str, str.lower, str.upper])
def test_a_hop_by_hop_field_is_dropped_and_named(name: str, change: Callable[[str], str]) -> None:
    exchange, wire = answer(simple(b"x", headers=((change(name), "close"), ("X-Kept", "1"))))
    names = [field for field, _ in parse(wire)[0].headers]
    assert b"x-kept" in names
    assert name.lower().encode() not in names
    assert exchange.head is not None
    assert exchange.head.dropped == (change(name),)


def test_an_app_can_not_steer_the_front_nor_the_connection() -> None:
    headers = (
        ("X-Accel-Redirect", "@refused"),
        ("x-accel-expires", "1"),
        ("X-Hedgerow-Cause", "full"),
        ("X-Hedgerow-Retry", "1"),
        ("Connection", "close"),
        ("Transfer-Encoding", "gzip"),
    )
    _, wire = answer(simple(b"x", headers=(*headers, ("X-Accel-Buffering", "no"))))
    head = wire.lower()
    assert b"x-accel-redirect" not in head
    assert b"x-accel-expires" not in head
    assert b"x-hedgerow" not in head
    assert b"connection:" not in head
    assert b"transfer-encoding" not in head
    assert b"x-accel-buffering: no" in head


def test_the_servers_own_headers_are_sent_as_they_are() -> None:
    client = FakeClient()
    exchange = make_exchange(client, own_headers=("X-Accel-Redirect: @refused",))
    exchange.answer("503 Service Unavailable", [], b"full")
    assert b"\r\nX-Accel-Redirect: @refused\r\n" in client.sent[0]


def test_an_answer_has_one_id_and_the_apps_if_it_tells_one() -> None:
    for told, headers in ((b"X-Request-Id: ours", []), (b"x-request-id: theirs", [("x-request-id", "theirs")])):
        client = FakeClient()
        make_exchange(client, own_headers=("X-Request-Id: ours", "X-Other: 1")).answer("200 OK", headers, b"")
        lines = client.sent[0].split(b"\r\n")
        assert [line for line in lines if line.lower().startswith(b"x-request-id")] == [told]
        assert b"X-Other: 1" in lines


def test_server_timing_is_told_when_the_head_is_made_and_beside_the_apps_own() -> None:
    clock = [0.0]

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("Server-Timing", "db;dur=1")])
        clock[0] = 2.5  # it takes this long until the first block
        yield b"x"

    def asked(*_: object) -> tuple[str, ...]:
        return (f"Server-Timing: app;dur={clock[0]:.2f}",)

    client = FakeClient()
    make_exchange(client, asked=asked).run(app, {})
    response, _ = parse(client.wire)
    assert [value for name, value in response.headers if name == b"server-timing"] == [b"db;dur=1", b"app;dur=2.50"]
    failed = FakeClient()
    make_exchange(failed, asked=asked).answer("500 Internal Server Error", [], b"the host's own page")
    assert b"Server-Timing" not in failed.wire


def hinting(*hints: Any, body: bytes = b"x", late: bool = False) -> App:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        if not late:
            environ["wsgi.early_hints"](list(hints))
        start_response("200 OK", [])
        yield body
        if late:
            environ["wsgi.early_hints"](list(hints))

    return app


LINK = ("Link", "</style.css>; rel=preload; as=style")


def test_early_hints_stand_before_the_answer() -> None:
    client = FakeClient()
    hints = (
        LINK,
        (b"X-Bytes", b"caf\xe9"),
        ("Connection", "close"),
        ("Content-Length", "5"),
        ("X-Accel-Redirect", "/"),
    )
    make_exchange(client).run(hinting(*hints), {})
    expected = f"HTTP/1.1 103 Early Hints\r\nLink: {LINK[1]}\r\nX-Bytes: caf\xe9\r\n\r\n".encode("latin-1")
    assert client.interim == [expected]
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    parser.receive_data(b"".join(client.interim) + client.wire)
    informational = parser.next_event()
    assert isinstance(informational, h11.InformationalResponse)
    assert informational.status_code == 103
    assert isinstance(parser.next_event(), h11.Response)


@pytest.mark.parametrize(
    "hint", [("X-A", "a\r\nb"), ("X Y", "1"), ("X-A", "☃"), ("X-A", b"a\nb"), (b"X\n", "1"), ("X-A", 1)]
)
def test_early_hints_are_checked_as_other_headers_are(hint: Any) -> None:
    client = FakeClient()
    with pytest.raises(ValueError):  # noqa: PT011
        make_exchange(client).run(hinting(LINK, hint), {})
    assert client.interim == []


@pytest.mark.parametrize(("late", "http11"), [(True, True), (False, False)])
def test_early_hints_that_come_too_late_or_to_an_old_client_are_ignored(late: bool, http11: bool) -> None:
    client = FakeClient()
    exchange = make_exchange(client, http11=http11)
    environ: dict[str, Any] = {}
    exchange.run(hinting(LINK, late=late), environ)
    environ["wsgi.early_hints"]([LINK])  # kept, and used when the request is over
    assert client.interim == []
    assert exchange.complete


def test_an_app_can_ask_whether_the_client_has_gone() -> None:
    client = FakeClient(leaves_after=1)
    seen: list[bool] = []
    environ: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "1")])
        seen.append(environ["hedgerow.client_disconnected"]())
        yield b"x"
        seen.append(environ["hedgerow.client_disconnected"]())

    make_exchange(client).run(app, environ)
    assert seen == [False, True]
    client.leaves_after = 1000
    assert environ["hedgerow.client_disconnected"]()  # that request's client, not the connection's next one


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("Content-Type", "text/event-stream")], ["no"]),
        ([("content-type", "text/event-stream; charset=utf-8")], ["no"]),
        ([("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "yes")], ["yes"]),
        ([("Content-Type", "text/plain")], []),
    ],
)
def test_a_front_is_told_not_to_hold_events_back(headers: list[tuple[str, str]], expected: list[str]) -> None:
    client = FakeClient()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", headers)
        yield b"data: x\n\n"
        yield b"data: y\n\n"

    make_exchange(client).run(app, {})
    head, _ = parse(client.wire)
    assert [value.decode() for name, value in head.headers if name == b"x-accel-buffering"] == expected


def test_a_socket_is_had_once_and_nothing_of_the_answer_is_sent_then() -> None:
    client = FakeClient()
    exchange = make_exchange(client)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        assert exchange.take_socket() == ("the socket", b"early")
        with pytest.raises(AppError, match="once, while nothing is sent"):
            exchange.take_socket()
        return iter([b"nobody's"])

    exchange.run(app, {})
    assert (client.wire, exchange.complete, exchange.close) == (b"", True, True)
    assert exchange.status == "101 Switching Protocols"
    with pytest.raises(AppError):
        exchange.take_socket()


def test_no_socket_is_had_behind_a_head() -> None:
    client = FakeClient()
    exchange = make_exchange(client)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "1")])
        yield b"x"
        with pytest.raises(AppError, match="once, while nothing is sent"):
            exchange.take_socket()

    exchange.run(app, {})
    assert client.wire.endswith(b"\r\n\r\nx")


class Text(str):
    """A str whose methods say what they like."""

    def lower(self) -> str:
        return "x-harmless"

    def __getitem__(self, key: Any) -> str:
        return "204"


class Block(bytes):
    pass


@pytest.mark.parametrize("blocks", [[Block(b"abc")], [b"a", Block(b"bc")], iter([Block(b"abc")])])
def test_subclasses_of_text_and_bytes_count_as_what_they_hold(blocks: Any) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response(Text("200 OK"), [(Text("X-A"), Text("1"))])
        return blocks

    client = FakeClient()
    exchange = make_exchange(client)
    exchange.run(app, {})
    response, body = parse(client.wire)
    assert (response.status_code, body, exchange.status) == (200, b"abc", "200 OK")
    assert dict(response.headers)[b"x-a"] == b"1"


def test_no_subclass_of_text_gets_a_servers_field_through_nor_teaches_it_to_others() -> None:
    for name in (Text("X-Accel-Redirect"), "X-Accel-Redirect", Text("Transfer-Encoding"), "Transfer-Encoding"):
        wire = answer(simple(b"x", headers=((name, "chunked"),)))[1]
        assert b"x-accel" not in wire.lower()
        assert b"transfer-encoding" not in wire.lower()
    for status in (Text("299 Mine"), "299 Mine"):
        assert b"Content-Length: 1\r\n" in answer(simple(b"x", status=status))[1]
