"""The sampled lint: each mistake is told once, and no answer is another for it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse
from wsgiref.util import setup_testing_defaults

import pytest

from hedgerow.middleware.lint import Lint

KIND = ("Content-Type", "text/plain")
App = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


def ask(lint: Lint, method: str = "GET") -> tuple[list[str], list[Any], str]:
    """Statuses, blocks, and what is in the log."""
    environ: dict[str, Any] = {"PATH_INFO": "/a", "SCRIPT_NAME": "/x", "QUERY_STRING": "", "REQUEST_METHOD": method}
    environ["wsgi.errors"] = io.StringIO()
    setup_testing_defaults(environ)
    statuses = []

    def start_response(status: str, headers: Any, exc_info: Any = None, /) -> Callable[[bytes], object]:
        statuses.append(status)
        return lambda block: None

    body = lint(environ, start_response)
    try:
        blocks = list(body)
    finally:
        getattr(body, "close", lambda: None)()
    return statuses, blocks, environ["wsgi.errors"].getvalue()


def answers(status: Any, headers: Any, *blocks: Any) -> App:
    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, headers)
        return list(blocks)

    return app


def late(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
    yield b"early"
    start_response("200 OK", [KIND])


def twice(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [KIND])
    start_response("404 Not Found", [KIND])
    return [b""]


def never(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    return []


def string(environ: dict[str, Any], start_response: StartResponse) -> Any:
    start_response("200 OK", [KIND])
    return "text"


@pytest.mark.parametrize(
    ("app", "method", "words"),
    [
        (answers("200 OK", [KIND], "text"), "GET", "a block of the body is of type str, and bytes are wanted"),
        (answers("20 OK", [KIND], b""), "GET", "Status codes must be three characters: '20'"),
        (answers("200 OK", {"Content-Type": "text/plain"}, b""), "GET", "Headers ({'Content-Type'"),
        (answers("200 OK", [("Content-Type", b"text/plain")], b""), "GET", "must be of type str"),
        (answers("200 OK", [KIND, ("Content Type", "a")], b""), "GET", "Bad header name: 'Content Type'"),
        (answers("200 OK", [], b"x"), "GET", "No Content-Type header found in headers"),
        (answers("204 No Content", [KIND]), "GET", "Content-Type header found in a 204 response"),
        (answers("204 No Content", [], b"x"), "GET", "there is a body where none can be: GET, 204 No Content"),
        (answers("200 OK", [KIND], b"x"), "HEAD", "there is a body where none can be: HEAD, 200 OK"),
        (answers("200 OK", [KIND, ("Content-Length", "3")], b"ab"), "GET", "Content-Length says 3, and the body has 2"),
        (answers("200 OK", [KIND, ("Content-Length", "x")], b"ab"), "GET", "ValueError(\"invalid literal for int()"),
        (late, "GET", "a block of the body comes before start_response is called"),
        (twice, "GET", "start_response is called again without exc_info"),
        (never, "GET", "start_response was not called"),
        (string, "GET", "You should not return a string as your application iterator"),
    ],
)  # fmt: skip
def test_what_is_told(app: App, method: str, words: str) -> None:
    lint = Lint(app, every=1)
    statuses, blocks, told = ask(lint, method)
    assert words in told, told
    assert f"({method} /x/a)" in told
    again = ask(lint, method)
    assert again == (statuses, blocks, ""), "once"


def test_who_does_nothing_wrong_is_not_told_of() -> None:
    assert ask(Lint(answers("200 OK", [KIND, ("Content-Length", "2")], b"a", b"b"), every=1))[2] == ""
    assert ask(Lint(answers("200 OK", [KIND, ("Content-Length", "2")]), every=1), "HEAD")[2] == ""
    assert ask(Lint(answers("304 Not Modified", [("ETag", "x")]), every=1))[2] == ""


def test_one_of_so_many_is_looked_at() -> None:
    asked = []

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        asked.append(type(start_response.__self__).__name__ if hasattr(start_response, "__self__") else "")
        return answers("200 OK", [KIND], b"")(environ, start_response)

    lint = Lint(app, every=10)
    for _ in range(30):
        ask(lint)
    assert [place for place, name in enumerate(asked) if name == "_Looked"] == [0, 10, 20]


def test_many_threads_tell_once() -> None:
    lint, told = Lint(answers("200 OK", [KIND], "text"), every=1), []
    threads = [threading.Thread(target=lambda: told.append(ask(lint)[2])) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([one for one in told if one]) == 1


def test_an_error_of_the_app_stays_its_own() -> None:
    closed = []

    class Breaks:
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"
            raise LookupError("in the middle")

        def close(self) -> None:
            closed.append(True)

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [KIND])
        return Breaks()

    with pytest.raises(LookupError):
        ask(Lint(app, every=1))
    assert closed == [True]
