"""What holds for all bytes: laws of the request reader and of an answer's head, as plain functions that assert.

The property tests call them with bytes that hypothesis makes, the fuzzer (tests/fuzz) with bytes that coverage finds.
The second opinion is h11, as a strict server and as a strict client.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import h11

from hedgerow.errors import HttpError
from hedgerow.http.reader import RequestReader
from hedgerow.http.request import Framing, Request
from hedgerow.http.response import LAST_CHUNK, BodyFraming, ResponseHead, chunk

MAX_HEAD = 2_000  # small limits, so that few bytes reach them
MAX_BODY = 4_000
MAX_LINE = 10_000  # what may wait of a body: an incomplete chunk line or trailer line
GOOD = b"GET /behind HTTP/1.1\r\nHost: b\r\n\r\n"
BIG = 2**20


@dataclass
class Seen:
    """One request as it was read. start, end: its first byte, and the one behind its last; end is -1 if it never came
    whole.
    """

    head: tuple[object, ...]
    request: Request
    start: int
    body: bytes = b""
    end: int = -1


@dataclass
class Reading:
    """All that a connection would see of some bytes. status: of the error that ended it, or 0."""

    seen: list[Seen] = field(default_factory=list)
    status: int = 0

    @property
    def essence(self) -> list[object]:
        """What must not depend on how the bytes arrived.

        Two things may: which of two faults of one head is named first, since a whole head is checked from its beginning
        and one in pieces as far as it has come; and how much of a body is given out before its fault is met.
        """
        faulty = self.status > 0
        return [faulty, [(one.head, one.end, b"" if faulty and one.end < 0 else one.body) for one in self.seen]]


def read(pieces: Iterable[bytes], max_head: int = MAX_HEAD, max_body: int = MAX_BODY) -> Reading:
    """Feed pieces as a connection does: body to its end, then the next request, until an error or the last request.

    Asserts on the way: nothing but HttpError is raised, with 4xx or 5xx; what waits unread stays within the limits;
    behind an error no request comes.
    """
    reader = RequestReader(max_head_bytes=max_head, max_body_bytes=max_body)
    reading = Reading()
    arrived = 0
    for piece in pieces:
        reader.feed(piece)
        arrived += len(piece)
        try:
            if not _go_on(reader, reading, arrived):
                break
        except HttpError as error:
            reading.status = error.status
            break
    if reading.status:
        assert 400 <= reading.status <= 599
        _assert_dead(reader)
    return reading


def _go_on(reader: RequestReader, reading: Reading, arrived: int) -> bool:
    """Take what there is; False when the client has said its last request."""
    while True:
        open_one = reading.seen[-1] if reading.seen and reading.seen[-1].end < 0 else None
        if open_one is not None:
            while block := reader.read_body():
                open_one.body += block
            if not reader.body_done:
                assert reader.buffered <= MAX_LINE
                return True
            open_one.end = arrived - reader.buffered
            if not open_one.request.keep_alive:
                return False
        start = arrived - reader.buffered
        request = reader.next_request()
        if request is None:
            assert reader.buffered <= reader.max_head_bytes
            return True
        reading.seen.append(Seen(facts(request), request, start))


def _assert_dead(reader: RequestReader) -> None:
    """Nobody's request, good as it may be, comes behind an error."""
    for _ in range(2):
        reader.feed(GOOD)
        try:
            request = reader.next_request()
        except HttpError:
            continue
        assert request is None, f"behind an error came {request!r}"


def facts(request: Request) -> tuple[object, ...]:
    """Everything that a Request says. An empty cookie line leaves a space at the end of the joined ones."""
    fields = tuple(
        (key, value.strip(" ") if key == "HTTP_COOKIE" else value) for key, value in sorted(request.fields.items())
    )
    framing = (request.framing, request.length, request.expects_continue)
    return request.method, request.target, request.path, request.http11, request.keep_alive, fields, framing


def pieces_of(data: bytes) -> list[bytes]:
    """The bytes in pieces of one to about thirty, cut by a rule that only depends on the bytes."""
    state = zlib.crc32(data)
    pieces, position = [], 0
    while position < len(data):
        state = (state * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        size = 1 + (state >> 16) % (31 if state & 0x8000 else 3)
        pieces.append(data[position : position + size])
        position += size
    return pieces


def assert_reads_as_in_pieces(data: bytes) -> Reading:
    """However the bytes are cut, they say the same requests, and end in an error or not. Returns the reading."""
    whole = read([data])
    assert read(pieces_of(data)).essence == whole.essence
    return whole


# The second opinion on requests.

_BWS_IN_CHUNK_HEAD = re.compile(r"illegal chunk header: bytearray\(b['\"][0-9A-Fa-f]+(?: |\\t)+;")
_CODINGS = re.compile(rb"(?im)^transfer-encoding:(?P<under>[^\r]*,)?[ \t]*chunked[ \t]*\r$")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#]*@)?([^/?#]*)")


def assert_h11_reads_the_same(data: bytes, seen: Seen, faulty: bool) -> None:
    """h11 takes the bytes of the request that we accepted, finds the same request in them, and the same end.

    faulty: the request never came whole, because of a fault in its body. h11 differs on purpose in this: it refuses
    empty lines in front of a request (they are cut off), codings under `chunked` (they are taken off for it), white
    space before a chunk's extension (BWS, which RFC 9112 section 7.1.1 tells to take; only the head is compared then),
    and a chunk without its CRLF at its first byte too many, where we wait for the end of the line.
    """
    start = seen.start
    while data[start : start + 2] == b"\r\n":
        start += 2
    wire = data[start : seen.end if seen.end >= 0 else len(data)]
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=BIG)
    server.receive_data(_only_chunked(wire) if seen.request.framing is Framing.CHUNKED else wire)
    request = server.next_event()
    assert isinstance(request, h11.Request)
    ours = seen.request
    assert (request.method.decode(), request.target.decode()) == (ours.method, ours.target)
    assert request.http_version == (b"1.1" if ours.http11 else b"1.0")
    assert _cgi_fields(request, ours.target) == {
        key: value for key, value in ours.fields.items() if key != "HTTP_TRANSFER_ENCODING"
    }
    assert ours.keep_alive == _may_go_on(request)
    _assert_nothing_is_said_twice(wire)
    assert not set(ours.fields.get("HTTP_HOST", "")) & set(' \t,/?#@\\<>"{}|^')
    if not faulty:
        _assert_h11_finds_the_end(server, seen)


def _assert_h11_finds_the_end(server: h11.Connection, seen: Seen) -> None:
    body = b""
    try:
        while isinstance(event := server.next_event(), h11.Data):
            body += bytes(event.data)
    except h11.RemoteProtocolError as error:
        if seen.end >= 0 and _BWS_IN_CHUNK_HEAD.match(str(error)) is None:
            raise
        return
    assert body == seen.body
    assert isinstance(event, h11.EndOfMessage) == (seen.end >= 0), "they disagree on where the request ends"
    assert seen.end < 0 or server.trailing_data[0] == b""


def _assert_nothing_is_said_twice(wire: bytes) -> None:
    """Where h11 would choose, we refuse: two framings, two fields of those that stand alone, chunks in HTTP/1.0."""
    line, *lines = wire.partition(b"\r\n\r\n")[0].split(b"\r\n")
    names = [field_line.partition(b":")[0].lower() for field_line in lines]
    for name in (b"host", b"content-length", b"content-type", b"transfer-encoding", b"expect"):
        assert names.count(name) <= 1
    assert b"transfer-encoding" not in names or not (b"content-length" in names or line.endswith(b"1.0"))


def _may_go_on(request: h11.Request) -> bool:
    """RFC 9112 section 9.3, from h11's reading; CONNECT is the last request of a connection."""
    options = [
        option.strip(b" \t").lower()
        for name, value in request.headers
        if name == b"connection"
        for option in value.split(b",")
    ]
    asked = request.http_version == b"1.1" or b"keep-alive" in options
    return asked and b"close" not in options and request.method != b"CONNECT"


def _only_chunked(wire: bytes) -> bytes:
    """The head without the codings under `chunked`, of which there must be just one, at the end."""
    head, mark, rest = wire.partition(b"\r\n\r\n")
    codings = _CODINGS.findall(head + b"\r")
    assert len(codings) == 1
    assert b"chunked" not in re.split(rb"[ \t,]+", codings[0].lower())
    return _CODINGS.sub(b"Transfer-Encoding: chunked\r", head + b"\r")[:-1] + mark + rest


def _cgi_fields(request: h11.Request, target: str) -> dict[str, str]:
    """The fields as CGI names them (RFC 3875), made from h11's reading."""
    fields: dict[str, str] = {}
    for name, value in request.headers:
        if b"_" in name or name == b"transfer-encoding":
            continue
        key = name.decode().upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        joint = "; " if key == "HTTP_COOKIE" else ","
        fields[key] = f"{fields[key]}{joint}{text}" if key in fields else text
    absolute = _ABSOLUTE.match(target)
    if absolute is not None:
        fields["HTTP_HOST"] = absolute[1]
    return fields


def assert_survives_rewriting(seen: Seen) -> None:
    """Written anew in the plainest form, a request that we accepted is read as the same."""
    again = read([plain(seen.request, seen.body)], max_head=BIG, max_body=BIG)
    assert again.status == 0
    assert [(one.head, one.body) for one in again.seen] == [(seen.head, seen.body)]


def plain(request: Request, body: bytes) -> bytes:
    """A request in its plainest form."""
    lines = [f"{request.method} {request.target} HTTP/1.{int(request.http11)}"]
    codings = [coding for key, coding in request.fields.items() if key == "HTTP_TRANSFER_ENCODING"]
    for key, value in request.fields.items():
        if key == "HTTP_TRANSFER_ENCODING":
            continue
        lines.append(f"{key.removeprefix('HTTP_').replace('_', '-').title()}: {value}")
    if request.framing is Framing.CHUNKED:
        lines.append("Transfer-Encoding: " + ", ".join([*codings, "chunked"]))
        body = (chunk(body) if body else b"") + LAST_CHUNK
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def assert_reader_holds(data: bytes) -> Reading:
    """All laws of the reader, for any bytes at all."""
    reading = assert_reads_as_in_pieces(data)
    for one in reading.seen:
        assert_h11_reads_the_same(data, one, faulty=one.end < 0 and reading.status > 0)
        if one.end >= 0:
            assert_survives_rewriting(one)
    return reading


# The second opinion on answers.

_OURS = frozenset(
    [
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "trailers", "transfer-encoding", "upgrade", "content-length", "date", "server",
    ]
)  # fmt: skip


def assert_answer_holds(
    status: str, headers: list[tuple[str, str]], body: bytes, method: str, http11: bool, keep_alive: bool
) -> bool:
    """An answer is refused by ValueError, or a strict client reads the same status, fields, body and end out of it.

    Returns whether it was accepted.
    """
    try:
        head = ResponseHead(status, headers)
    except ValueError:
        return False
    head.settle(method, http11, keep_alive, "D")
    if head.length is not None and head.length >= 10**20:
        return True  # h11 takes no more digits
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=BIG)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    if head.framing is BodyFraming.LENGTH:
        assert head.length is not None
        body = ((body or b"x") * (min(head.length, BIG) // max(1, len(body)) + 1))[: head.length]
    client.receive_data(head.head + _framed(head, body))
    answer = client.next_event()
    assert isinstance(answer, h11.Response)
    assert f"{answer.status_code} {answer.reason.decode('latin-1')}" == status
    sent = [(name.lower(), value.strip(" \t")) for name, value in headers]
    read_back = [(name.decode(), value.decode("latin-1")) for name, value in answer.headers]
    assert [pair for pair in sent if is_the_apps(pair[0])] == [pair for pair in read_back if is_the_apps(pair[0])]
    assert http11 or head.framing is not BodyFraming.CHUNKED
    if head.length is None or head.length <= BIG:
        _assert_body_and_end(client, head, body)
    return True


def is_the_apps(name: str) -> bool:
    """Whether a field is an app's to send, and not the server's."""
    return name not in _OURS and (not name.startswith("x-accel-") or name == "x-accel-buffering")


def _framed(head: ResponseHead, body: bytes) -> bytes:
    if head.framing is BodyFraming.NONE:
        return b""
    if head.framing is BodyFraming.CHUNKED:
        return (chunk(body) if body else b"") + LAST_CHUNK
    return body


def _assert_body_and_end(client: h11.Connection, head: ResponseHead, body: bytes) -> None:
    if head.framing is BodyFraming.CLOSE:
        client.receive_data(b"")
    got = b""
    while isinstance(event := client.next_event(), h11.Data):
        got += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert got == (b"" if head.framing is BodyFraming.NONE else body)
    assert (client.their_state in (h11.MUST_CLOSE, h11.CLOSED)) == head.close
