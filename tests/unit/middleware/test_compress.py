"""gzip: which answers, for whom, in which pieces, and what the head says then."""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse

import pytest
from asking_middleware import App, ask

from hedgerow.middleware.compress import Compress, takes

TEXT = b"All work and no play makes Jack a dull boy. " * 40
LENGTH = ("Content-Length", str(len(TEXT)))
KIND = ("Content-Type", "text/html; charset=utf-8")


def whole(*headers: tuple[str, str], **more: Any) -> App:
    return App([TEXT], (KIND, LENGTH, *headers), **more)


def test_an_answer_with_a_length_is_compressed_as_one() -> None:
    app = whole(("ETag", '"a"'), ("Accept-Ranges", "bytes"), ("Vary", "Cookie"))
    answer = ask(Compress, app, Accept_Encoding="br, gzip;q=0.5")
    assert gzip.decompress(answer.body) == TEXT
    assert len(answer.body) < len(TEXT) / 10
    assert answer["Content-Encoding"] == "gzip"
    assert (answer["Content-Length"], answer["Accept-Ranges"]) == ("", "")
    assert (answer["ETag"], answer["Vary"]) == ('W/"a"', "Cookie, Accept-Encoding")
    assert app.closed == 1
    plain = ask(Compress, whole(("ETag", '"a"')))
    assert (plain.body, plain["Content-Length"], plain["ETag"]) == (TEXT, str(len(TEXT)), '"a"')
    assert plain["Vary"] == "Accept-Encoding", "it would have been compressed for another client"


@pytest.mark.parametrize(
    "app",
    [
        App([TEXT], (("Content-Type", "image/png"), LENGTH)),
        App([b"short"], (KIND, ("Content-Length", "5"))),
        whole(("Content-Encoding", "br")),
        whole(("Cache-Control", "public, No-Transform")),
        whole(("Content-Range", f"bytes 0-{len(TEXT) - 1}/{len(TEXT)}"), status="206 Partial Content"),
        App([], (), "204 No Content"),
        App([], (("ETag", '"a"'),), "304 Not Modified"),
    ],
    ids=["a picture", "short", "compressed already", "not for changing", "a part", "nothing", "not modified"],
)
def test_what_goes_as_it_is(app: App) -> None:
    answer = ask(Compress, app, Accept_Encoding="gzip")
    assert (answer.body, answer.headers) == (b"".join(app.body), list(app.headers))


@pytest.mark.parametrize("kind", ["application/json", "application/problem+json", "image/svg+xml", "Text/Plain"])
def test_types_that_are_text_by_nature(kind: str) -> None:
    answer = ask(Compress, App([TEXT], (("Content-Type", kind), LENGTH)), Accept_Encoding="gzip")
    assert gzip.decompress(answer.body) == TEXT


def test_each_block_of_a_stream_can_be_read_when_it_comes() -> None:
    app = App([b"data: one\n\n", b"", b"data: two\n\n"], (("Content-Type", "text/event-stream"),))
    answer = ask(Compress, app, Accept_Encoding="gzip")
    reader = zlib.decompressobj(wbits=31)
    assert [reader.decompress(block) for block in answer.blocks[:3]] == [b"data: one\n\n", b"", b"data: two\n\n"]
    assert len(answer.blocks) == 4, "a block for each of the application's, and the end"
    assert reader.decompress(answer.blocks[3]) == b""
    assert reader.eof


def test_a_generator_that_starts_late_and_one_that_fails() -> None:
    closed = []

    def late(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [KIND])
        try:
            yield TEXT
            raise LookupError("in the middle")
        finally:
            closed.append(True)

    with pytest.raises(LookupError):
        ask(Compress, late, Accept_Encoding="gzip")
    assert closed == [True]


def test_what_is_written_comes_first() -> None:
    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        write: Callable[[bytes], object] = start_response("200 OK", [KIND])
        write(b"first ")
        return [b"second"]

    assert gzip.decompress(ask(Compress, app, Accept_Encoding="gzip").body) == b"first second"


def test_an_error_page_instead_has_its_own_head() -> None:
    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [KIND])
        try:
            raise LookupError
        except LookupError:
            import sys  # noqa: PLC0415

            start_response("500 Oh", [("Content-Type", "text/plain"), ("Content-Length", "2")], sys.exc_info())
        return [b"oh"]

    answer = ask(Compress, app, Accept_Encoding="gzip")
    assert (answer.status, answer.body, answer["Content-Encoding"]) == ("500 Oh", b"oh", "")


def test_head_has_the_head_of_get() -> None:
    answer = ask(Compress, App([], (KIND, LENGTH)), method="HEAD", Accept_Encoding="gzip")
    assert (answer.body, answer["Content-Encoding"], answer["Content-Length"]) == (b"", "gzip", "")


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [
        ("gzip", True), ("GZip", True), ("x-gzip", True), ("*", True), ("br;q=1, *;q=0.1", True), (",,gzip", True),
        ("gzip;q=0.001", True), ("", False), ("identity", False), ("gzip;q=0", False), ("gzip; q=0.0", False),
        ("*;q=0", False), ("br", False), ("*, gzip;q=0", False), ("gzip;q=x", False),
    ],
)  # fmt: skip
def test_who_takes_it(accepted: str, wanted: bool) -> None:
    assert takes(accepted, "gzip") is wanted


def test_options() -> None:
    always = functools.partial(Compress, minimum=0, types=("*",))
    answer = ask(always, App([b"ab"], (("Content-Type", "image/png"), ("Content-Length", "2"))), Accept_Encoding="gzip")
    assert gzip.decompress(answer.body) == b"ab"
