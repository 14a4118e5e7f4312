"""The app that every server runs for the corner cases: `/w/NAME` behaves as NAME says, any other path records.

What it sees goes as JSON lines into the file that CORNERS_RECORD names, so that it survives the server and is there
also when no answer comes. It must not know what is right: judges decide that. Nothing here is made for one server.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Environ = dict[str, Any]
Body = Iterable[bytes]
App = Callable[[Environ, Any], Body]

RECORD = os.open(os.environ["CORNERS_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
TEXT = ("Content-Type", "text/plain")
SHOWN = ("SERVER_PROTOCOL", "CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_HOST", "HTTP_X", "HTTP_X_FORWARDED_FOR")


def note(event: str, **what: object) -> None:
    os.write(RECORD, json.dumps({"event": event, **what}).encode() + b"\n")


def application(environ: Environ, start_response: Any) -> Body:
    path = environ["PATH_INFO"]
    if path == "/alive":
        return plain(start_response, b"alive in %d." % os.getpid())
    name = path.removeprefix("/w/").partition("/")[0] if path.startswith("/w/") else "records"
    return BEHAVIOURS[name](environ, start_response)


def plain(start_response: Any, body: bytes) -> Body:
    start_response("200 OK", [TEXT, ("Content-Length", str(len(body)))])
    return [body]


# --- the request ------------------------------------------------------------------------------------------------------


def records(environ: Environ, start_response: Any) -> Body:
    """Reads the whole body, as a portable app does: until read() says nothing more."""
    request = {key: environ[key] for key in SHOWN if key in environ}
    request |= {"method": environ["REQUEST_METHOD"], "path": environ["PATH_INFO"]}
    request |= {"query": environ.get("QUERY_STRING", ""), "plain": type(environ) is dict}
    request |= {"terminated": bool(environ.get("wsgi.input_terminated")), "fields": sorted(fields(environ))}
    note("enter", **request)
    body, error = b"", ""
    try:
        while block := environ["wsgi.input"].read(65536):
            body += block
    except Exception as caught:
        error = type(caught).__name__
    note("saw", **request, body=body[:2000].decode("latin-1"), length=len(body), error=error)
    return plain(start_response, b"seen")


def fields(environ: Environ) -> Iterator[str]:
    return (key for key in environ if key.startswith("HTTP_"))


def reads_by_size(environ: Environ, start_response: Any) -> Body:
    """read(2), readline, readlines, then read at the end twice; says what each gave."""
    source = environ["wsgi.input"]
    parts = [source.read(2), source.readline(), *source.readlines(), source.read(5), source.read()]
    note("parts", parts=[part.decode() for part in parts])
    return plain(start_response, b"read")


def reads_lines_by_size(environ: Environ, start_response: Any) -> Body:
    note("parts", parts=[environ["wsgi.input"].readline(3).decode() for _ in range(3)])
    return plain(start_response, b"read")


def iterates_its_input(environ: Environ, start_response: Any) -> Body:
    note("parts", parts=[line.decode() for line in environ["wsgi.input"]])
    return plain(start_response, b"read")


def reads_nothing(environ: Environ, start_response: Any) -> Body:
    note("enter", path=environ["PATH_INFO"])
    return plain(start_response, b"unread")


# --- framing the answer -----------------------------------------------------------------------------------------------


def says_hello(environ: Environ, start_response: Any) -> Body:
    start_response("200 OK", [TEXT])
    return [b"he", b"llo"]


def streams(environ: Environ, start_response: Any) -> Body:
    start_response("200 OK", [TEXT])
    yield b"he"
    yield b"llo"


def is_longer_than_told(environ: Environ, start_response: Any) -> Body:
    start_response("200 OK", [TEXT, ("Content-Length", "5")])
    return [b"hello", b"more!"]


def writes_more_than_told(environ: Environ, start_response: Any) -> Body:
    write = start_response("200 OK", [TEXT, ("Content-Length", "5")])
    write(b"hello")
    write(b"more!")
    return []


def is_shorter_than_told(environ: Environ, start_response: Any) -> Body:
    start_response("200 OK", [TEXT, ("Content-Length", "10")])
    return [b"hello"]


def answers_204_with_a_body(environ: Environ, start_response: Any) -> Body:
    start_response("204 No Content", [("X-App", "1")])
    return [b"not to be sent"]


def answers_304_with_a_body(environ: Environ, start_response: Any) -> Body:
    start_response("304 Not Modified", [("ETag", '"1"')])
    return [b"not to be sent"]


def answers_204_with_a_length(environ: Environ, start_response: Any) -> Body:
    start_response("204 No Content", [("Content-Length", "0")])
    return []


def writes_and_returns(environ: Environ, start_response: Any) -> Body:
    write = start_response("200 OK", [TEXT])
    write(b"one ")
    write(b"two ")
    return [b"three"]


# --- start_response ---------------------------------------------------------------------------------------------------


def starts_late(environ: Environ, start_response: Any) -> Body:
    """As late as PEP 3333 lets an app: in the first step of the iteration."""
    start_response("201 Created", [TEXT])
    yield b"late"


def never_starts(environ: Environ, start_response: Any) -> Body:
    return [b"no head"]


def starts_twice(environ: Environ, start_response: Any) -> Body:
    start_response("200 OK", [TEXT])
    start_response("201 Created", [TEXT])
    return [b"twice"]


def replaces_by_exc_info(environ: Environ, start_response: Any) -> Body:
    """An empty block is no reason to send the head: it can still be replaced."""
    start_response("200 OK", [TEXT, ("X-First", "1")])
    yield b""
    try:
        raise ValueError("on purpose")
    except ValueError:
        start_response("503 Sorry", [TEXT], sys.exc_info())
    yield b"sorry"


def fails_by_exc_info(environ: Environ, start_response: Any) -> Body:
    """The head is out: start_response has to raise, and the answer must not look whole."""
    start_response("200 OK", [TEXT])
    yield b"part"
    try:
        raise ValueError("on purpose")
    except ValueError:
        try:
            start_response("500 Sorry", [TEXT], sys.exc_info())
        except BaseException as raised:
            note("raised", kind=type(raised).__name__)
            raise
    yield b"went on"


def sends(status: str, *headers: tuple[str, str]) -> App:
    def app(environ: Environ, start_response: Any) -> Body:
        start_response(status, [TEXT, *headers])
        return [b"said"]

    return app


# --- failing and closing ----------------------------------------------------------------------------------------------


def fails(environ: Environ, start_response: Any) -> Body:
    raise RuntimeError("on purpose")


def fails_midway(environ: Environ, start_response: Any) -> Body:
    start_response("200 OK", [TEXT])
    yield b"part"
    raise RuntimeError("on purpose")


def fails_midway_of_a_length(environ: Environ, start_response: Any) -> Body:
    start_response("200 OK", [TEXT, ("Content-Length", "10")])
    yield b"part"
    raise RuntimeError("on purpose")


def exits(environ: Environ, start_response: Any) -> Body:
    sys.exit(1)


class Closing:
    """An iterable that notes its close()."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        note("close")


def closes(environ: Environ, start_response: Any) -> Body:
    start_response("200 OK", [TEXT])
    return Closing([b"he", b"llo"])


def closes_behind_a_failure(environ: Environ, start_response: Any) -> Body:
    start_response("200 OK", [TEXT])
    return Closing(failing())


def failing() -> Iterator[bytes]:
    yield b"part"
    raise RuntimeError("on purpose")


def closes_an_endless_body(environ: Environ, start_response: Any) -> Body:
    start_response("200 OK", [TEXT])
    return Closing(bytes(65536) for _ in range(2000))


class File:
    """A file of which we know whether it was closed."""

    def __init__(self, content: bytes, position: int) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it
        self._file.write(content)
        self._file.seek(position)
        self.read, self.fileno = self._file.read, self._file.fileno
        self.seek, self.tell = self._file.seek, self._file.tell

    def close(self) -> None:
        note("close")
        self._file.close()


def sends_a_file(environ: Environ, start_response: Any) -> Body:
    """From its third byte, five bytes by Content-Length."""
    if "wsgi.file_wrapper" not in environ:
        note("no wrapper")
        return plain(start_response, b"34567")
    start_response("200 OK", [TEXT, ("Content-Length", "5")])
    blocks: Body = environ["wsgi.file_wrapper"](File(b"0123456789", 3), 4096)
    return blocks


BEHAVIOURS: dict[str, App] = {
    **{
        app.__name__: app
        for app in (
            records, reads_by_size, reads_lines_by_size, iterates_its_input, reads_nothing, says_hello,
            streams, is_longer_than_told, writes_more_than_told, is_shorter_than_told,
            answers_204_with_a_body, answers_304_with_a_body, answers_204_with_a_length, writes_and_returns,
            starts_late, never_starts, starts_twice, replaces_by_exc_info, fails_by_exc_info, fails,
            fails_midway, fails_midway_of_a_length, exits, closes, closes_behind_a_failure,
            closes_an_endless_body, sends_a_file,
        )
    },
    "splits_its_value": sends("200 OK", ("X-A", "a\r\nX-Split: yes")),
    "splits_its_value_by_a_line_feed": sends("200 OK", ("X-A", "a\nX-Split: yes")),
    "splits_its_name": sends("200 OK", ("X-A: 1\r\nX-Split", "yes")),
    "splits_its_status": sends("200 OK\r\nX-Split: yes"),
    "sends_a_null": sends("200 OK", ("X-A", "a\0b")),
    "is_not_latin_1": sends("200 OK", ("X-A", "\u20ac")),
    "sends_transfer_encoding": sends("200 OK", ("Transfer-Encoding", "chunked")),
    "sends_keep_alive": sends("200 OK", ("Keep-Alive", "timeout=77")),
    "sends_upgrade": sends("200 OK", ("Connection", "upgrade"), ("Upgrade", "magic")),
    "knows_its_date": sends("200 OK", ("Date", "Thu, 01 Jan 1970 00:00:00 GMT")),
    "knows_its_server": sends("200 OK", ("Server", "mine")),
    "has_two_lengths": sends("200 OK", ("Content-Length", "4"), ("Content-Length", "2")),
}  # fmt: skip
