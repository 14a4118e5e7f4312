"""The two kinds of filter: which answers, what the head says then, what is withheld, and who closes the body."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

import pytest
from asking_middleware import App, ask, ask_and_read

from hedgerow.middleware.answer import Headers
from hedgerow.middleware.compress import Compress
from hedgerow.middleware.filters import Buffering, NotChangedError, Streaming

KIND = ("Content-Type", "text/plain")
TRUE_OF_THE_OLD_BODY = (
    ("Content-Length", "5"),
    ("ETag", '"a"'),
    ("Accept-Ranges", "bytes"),
    ("Content-MD5", "XrY7u+Ae7tCTyyK7j1rNww=="),
    ("Digest", "sha-256=x"),
    ("Content-Digest", "sha-256=:x:"),
    ("Repr-Digest", "sha-256=:x:"),
    ("Vary", "Cookie"),
    ("Cache-Control", "max-age=5"),
)
Environ = dict[str, Any]


class Louder:
    """Knows the end of a body only there."""

    def block(self, block: bytes) -> bytes:
        return block.upper()

    def end(self) -> bytes:
        return b"!"


@dataclass(frozen=True)
class Stream(Streaming):
    types: tuple[str, ...] = ("text/*",)

    def stage(self, headers: Headers) -> Louder:
        return Louder()


@dataclass(frozen=True)
class Whole(Buffering):
    types: tuple[str, ...] = ("text/*",)
    limit: int = 10

    def body(self, environ: Environ, body: bytes) -> bytes:
        if body == b"bad":
            raise NotChangedError("It is bad.", "own: it is bad in line 1")
        return body.upper() + b"!"


BOTH = pytest.mark.parametrize("filter", [Stream, Whole], ids=["streaming", "buffering"])
Wrap = Callable[[WSGIApplication], WSGIApplication]


@BOTH
def test_the_head_says_what_is_true_of_the_new_body(filter: Wrap) -> None:
    app = App([b"hel", b"", b"lo"], (KIND, *TRUE_OF_THE_OLD_BODY))
    answer = ask(filter, app)
    assert answer.body == b"HELLO!"
    kept = [KIND, ("ETag", 'W/"a"'), ("Vary", "Cookie"), ("Cache-Control", "max-age=5")]
    assert answer.headers == kept + ([("Content-Length", "6")] if filter is Whole else [])
    assert app.closed == 1
    assert ask(filter, App([b"hello"], (KIND, ("ETag", 'W/"a"'))))["ETag"] == 'W/"a"'


@BOTH
def test_a_body_that_the_front_replaces_is_left_alone(filter: Wrap) -> None:
    """As by `X-Accel-Redirect`: what the head says has to be true of the file."""
    app = App([b""], (KIND, ("ETag", '"a"'), ("X-Accel-Redirect", "/data/a")))
    answer = ask(filter, app)
    assert (answer.body, answer.headers) == (b"", list(app.headers))
    packed = ask(Compress, app, Accept_Encoding="gzip")
    assert (packed.body, packed.headers) == (b"", list(app.headers))


@BOTH
def test_head_has_the_head_of_get_as_far_as_it_is_known(filter: Wrap) -> None:
    app = App([], (KIND, *TRUE_OF_THE_OLD_BODY))
    answer = ask(filter, app, method="HEAD")
    assert (answer.body, answer["ETag"], answer["Content-Length"], app.closed) == (b"", 'W/"a"', "", 1)


@BOTH
@pytest.mark.parametrize(
    "app",
    [
        App([b"hello"], (("Content-Type", "image/png"), *TRUE_OF_THE_OLD_BODY)),
        App([b"hello"], (KIND, ("Content-Encoding", "gzip"))),
        App([b"hello"], (KIND, ("Cache-Control", "public, no-transform"))),
        App([b"hel"], (KIND, ("Content-Range", "bytes 0-2/5")), "206 Partial Content"),
        App([], (), "204 No Content"),
        App([], (("ETag", '"a"'),), "304 Not Modified"),
    ],
    ids=["another type", "coded", "not for changing", "a part", "nothing", "not modified"],
)
def test_what_goes_as_it_is(filter: Wrap, app: App) -> None:
    app.closed = 0
    answer = ask(filter, app)
    assert (answer.body, answer.headers, app.closed) == (b"".join(app.body), list(app.headers), 1)


@BOTH
def test_a_body_that_goes_as_it_is_is_the_applications_own(filter: Wrap) -> None:
    body = [b"a file, maybe, that the server sends in its own way"]

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "image/png")])
        return body

    assert filter(app)({"REQUEST_METHOD": "GET"}, lambda *_: lambda _: None) is body


def test_a_stream_is_withheld_by_nobody() -> None:
    sent: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [KIND])
        for block in (b"one", b"two"):
            yield block
            sent.append(block.decode())

    blocks = iter(Stream(app)({"REQUEST_METHOD": "GET"}, lambda *_: lambda _: None))
    assert (next(blocks), sent) == (b"ONE", [])
    assert (next(blocks), sent) == (b"TWO", ["one"])
    assert (next(blocks), list(blocks)) == (b"!", [])


def test_a_stream_without_end_that_is_not_for_a_buffer_passes_it() -> None:
    closed: list[bool] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "application/x-events")])
        try:
            while True:
                yield b"tick"
        finally:
            closed.append(True)

    told: list[str] = []
    body = Whole(app)({"REQUEST_METHOD": "GET"}, lambda status, *_: told.append(status) or (lambda _: None))  # type: ignore[func-returns-value]
    blocks = iter(body)
    assert [next(blocks) for _ in range(3)] == [b"tick"] * 3
    assert (told, closed) == (["200 OK"], [])
    body.close()  # type: ignore[attr-defined]
    assert closed == [True]


@pytest.mark.parametrize("filter", [Stream, Whole, Compress])
def test_a_body_is_closed_that_nobody_has_asked_for_a_block(filter: Callable[..., WSGIApplication]) -> None:
    app = App([b"hello"], (KIND,))
    environ = {"REQUEST_METHOD": "GET", "HTTP_ACCEPT_ENCODING": "gzip"}
    body = filter(app)(environ, lambda *_: lambda _: None)
    getattr(body, "close", lambda: None)()
    assert app.closed == 1


@BOTH
def test_one_that_fails_in_the_middle_is_closed_and_its_error_passes(filter: Wrap) -> None:
    closed: list[bool] = []

    def late(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [KIND])
        try:
            yield b"hello"
            raise LookupError("in the middle")
        finally:
            closed.append(True)

    with pytest.raises(LookupError):
        ask(filter, late)
    assert closed == [True]


@BOTH
def test_what_is_written_comes_first(filter: Wrap) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [KIND])(b"first ")
        return [b"2nd"]

    assert ask(filter, app).body == b"FIRST 2ND!"


@BOTH
@pytest.mark.parametrize("written", [b"", b"lost"])
def test_an_error_page_instead_has_its_own_head(filter: Wrap, written: bytes) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [KIND, ("ETag", '"a"')])
        if written and filter is Whole:  # nothing of it was sent
            write(written)
        try:
            raise LookupError
        except LookupError:
            start_response("500 Oh", [("Content-Type", "image/png"), ("Content-Length", "2")], sys.exc_info())
        return [b"oh"]

    answer = ask(filter, app)
    assert (answer.status, answer.body) == ("500 Oh", b"oh")
    assert answer.headers == [("Content-Type", "image/png"), ("Content-Length", "2")]


def test_an_error_page_is_changed_too_and_has_nothing_of_what_it_replaces() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [KIND])(b"lost")
        try:
            raise LookupError
        except LookupError:
            start_response("500 Oh", [KIND], sys.exc_info())
        return [b"oh"]

    answer = ask(Whole, app)
    assert (answer.status, answer.body) == ("500 Oh", b"OH!")


@BOTH
def test_a_server_is_told_why_a_head_is_replaced(filter: Wrap) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "image/png")])
        try:
            raise LookupError("it broke")
        except LookupError:
            start_response("500 Oh", [KIND], sys.exc_info())
        return [b"oh"]

    def start_response(status: str, headers: Headers, exc_info: Any = None, /) -> Callable[[bytes], object]:
        if exc_info:
            raise exc_info[1]  # as a server does that has sent the first one
        return lambda _: None

    with pytest.raises(LookupError, match="it broke"):
        filter(app)({"REQUEST_METHOD": "GET"}, start_response)


def test_an_application_may_do_with_environ_what_it_likes() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ.clear()
        start_response("200 OK", [KIND])
        return [b"bad"]

    log = io.StringIO()
    environ: Environ = {"REQUEST_METHOD": "GET", "wsgi.errors": log}
    assert [*Whole(app)(environ, lambda *_: lambda _: None)] == [b"It is bad.\n"]
    assert log.getvalue() == "own: it is bad in line 1\n"


def test_a_second_start_response_without_a_reason_is_an_error() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [KIND])
        start_response("200 OK", [KIND])
        return [b"twice"]

    with pytest.raises(RuntimeError, match="a second time"):
        ask(Whole, app)


def refused(app: WSGIApplication) -> tuple[str, bytes, str]:
    answer, log = ask_and_read(Whole, app)
    assert (answer["Content-Type"], answer["ETag"]) == ("text/plain; charset=utf-8", "")
    return answer.status, answer.body, log


TOO_LONG = "The answer is longer than the 10 bytes that can be transformed.\n"


def test_an_answer_of_just_the_limit() -> None:
    assert ask(Whole, App([b"x" * 6, b"x" * 4], (KIND,))).body == b"X" * 10 + b"!"


def test_a_longer_one_is_a_500_that_names_the_limit_and_no_more_of_it_is_made() -> None:
    made: list[bytes] = []

    def endless() -> Iterator[bytes]:
        while True:
            made.append(b"x" * 6)
            yield made[-1]

    app = App(endless(), (KIND, ("ETag", '"a"')))
    assert refused(app) == ("500 Internal Server Error", TOO_LONG.encode(), f"whole: {TOO_LONG}")
    assert (len(made), app.closed) == (2, 1)


def test_a_longer_one_that_tells_its_length_is_not_even_begun() -> None:
    def body() -> Iterator[bytes]:
        raise AssertionError("it was asked for")
        yield b""

    app = App(body(), (KIND, ("Content-Length", "11")))
    assert refused(app) == ("500 Internal Server Error", TOO_LONG.encode(), f"whole: {TOO_LONG}")
    assert app.closed == 1


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("catches", [False, True])
def test_a_longer_one_that_is_written(catches: bool, late: bool) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [KIND])
        try:
            write(b"x" * 11)
        except NotChangedError:
            if not catches:
                raise
        return []

    def generated(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        yield from app(environ, start_response)

    expected = "500 Internal Server Error", TOO_LONG.encode(), f"whole: {TOO_LONG}"
    assert refused(generated if late else app) == expected


def test_what_a_filter_cannot_change_is_told_to_the_log_only() -> None:
    app = App([b"bad"], (KIND,))
    assert refused(app) == (
        "500 Internal Server Error",
        b"It is bad.\n",
        "own: it is bad in line 1\n",
    )
    assert app.closed == 1
