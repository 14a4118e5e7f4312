"""Bytes to requests. The reader owns what has arrived on a connection and is not yet used.

Its law: nothing is parsed ahead. llhttp is fed exactly one head, found by its empty line; the body is framed by our
own decoders; what comes behind it stays bytes until somebody asks for the next request. So a request behind a wrong
one, or behind one whose answer is not sent, never exists.
"""

from __future__ import annotations

import httptools

from ..errors import HttpError
from .body import ChunkedDecoder, Decoder, LengthDecoder
from .grammar import ABSOLUTE_FORM, BARE_LF, CONTENT_LENGTH, HOST, REQUEST_LINE
from .request import Framing, Request

# Names as they come on the wire, to CGI names; '' for a name that is dropped. Bounded, since a client chooses the
# names.
_KEYS: dict[bytes, str] = {}
_MAX_KEYS = 2000

# A second one would let two servers see two different requests.
_SINGLE = frozenset({"HTTP_HOST", "CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_TRANSFER_ENCODING", "HTTP_EXPECT"})


def _learn(name: bytes) -> str:
    """The CGI name of a field. A name with an underscore is dropped: it would be taken for one with a hyphen."""
    if b"_" in name:
        return ""
    key = name.decode("latin-1").upper().replace("-", "_")
    if key not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
        key = "HTTP_" + key
    if len(_KEYS) < _MAX_KEYS and len(name) <= 64:
        _KEYS[name] = key
    return key


class RequestReader:
    """Feed it bytes, ask it for the next request, then for that request's body.

    max_head_bytes, max_body_bytes: limits; beyond them HttpError 431 or 413.
    """

    __slots__ = (
        "_broken",
        "_buffer",
        "_decoder",
        "_fields",
        "_parser",
        "_searched",
        "_target",
        "max_body_bytes",
        "max_head_bytes",
    )

    def __init__(self, max_head_bytes: int = 65_536, max_body_bytes: int = 2 * 1024**3) -> None:
        self.max_head_bytes = max_head_bytes
        self.max_body_bytes = max_body_bytes
        self._buffer = b""
        self._searched = 0
        self._decoder: Decoder | None = None
        self._broken: HttpError | None = None
        self._parser: httptools.HttpRequestParser | None = None
        self._target = b""
        self._fields: dict[str, str] = {}

    def __repr__(self) -> str:
        body = "none" if self._decoder is None else "done" if self._decoder.done else "open"
        return f"<RequestReader buffered={len(self._buffer)} body={body}>"

    def feed(self, data: bytes) -> None:
        """Add bytes that have arrived."""
        self._buffer = self._buffer + data if self._buffer else data

    @property
    def buffered(self) -> int:
        """Bytes that have arrived and are not yet used."""
        return len(self._buffer)

    @property
    def body_done(self) -> bool:
        """Whether the body of the request last returned has been read to its end."""
        return self._decoder is None or self._decoder.done

    def read_body(self) -> bytes:
        """What has arrived of the body and was not returned before; empty when more has to come or when it is done.

        Raises HttpError for a malformed or too large body.
        """
        if self._decoder is None or self._decoder.done or not self._buffer:
            return b""
        if self._broken is not None:
            raise self._broken  # for good: what follows a malformed body is not to be understood
        try:
            data, self._buffer = self._decoder.decode(self._buffer)
        except HttpError as error:
            self._broken = error
            raise
        return data

    def next_request(self) -> Request | None:
        """The next request, or None when its head has not arrived whole. The body of the one before must be done.

        Raises HttpError when there is no way to understand what has arrived; the connection is of no more use then.
        """
        buffer = self._buffer
        while buffer[:2] == b"\r\n":  # RFC 9112 section 2.2: empty lines before the request line are ignored
            buffer = self._buffer = buffer[2:]
        end = buffer.find(b"\r\n\r\n", self._searched)
        if end < 0:
            self._check_incomplete(buffer)
            self._searched = max(0, len(buffer) - 3)
            return None
        end += 4
        if end > self.max_head_bytes:
            raise HttpError(431, "The request's head is too large.")
        self._buffer = buffer[end:]
        self._searched = 0
        return self._parse_head(buffer[:end])

    def close(self) -> None:
        """Forget everything. The parser holds the reader's methods: without this the pair waits for the cycle
        collector.
        """
        self._parser = None
        self._buffer = b""

    # What llhttp calls while it is fed.

    def on_url(self, url: bytes) -> None:
        """llhttp's callback for the request target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp's callback for one field."""
        key = _KEYS.get(name) or _learn(name)
        fields = self._fields
        if key in fields:
            if key in _SINGLE:
                raise HttpError(400, "A header that must stand alone is repeated.")
            joint = "; " if key == "HTTP_COOKIE" else ","
            fields[key] = f"{fields[key]}{joint}{value.decode('latin-1')}"
        elif key:
            fields[key] = value.decode("latin-1")

    # Steps of next_request.

    def _check_incomplete(self, buffer: bytes) -> None:
        """Refuse early what can not become a head any more, so that a wrong client need not wait for a time-out."""
        if len(buffer) > self.max_head_bytes:
            raise HttpError(431, "The request's head is too large.")
        if BARE_LF.search(buffer, self._searched):
            raise HttpError(400, "A line ends in a bare line feed.")

    def _parse_head(self, head: bytes) -> Request:
        if REQUEST_LINE.match(head) is None:
            raise _bad_request_line(head)
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        fields: dict[str, str] = {}
        self._fields = fields
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            self._parser = None  # we upgrade nothing; the request is served as if it had not asked
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ if isinstance(error.__context__, HttpError) else error from None
        except httptools.HttpParserError as error:
            raise HttpError(400, "The request is malformed.") from error
        http11 = head.startswith(b"1.1", head.find(b"\r") - 3)
        request = Request(
            parser.get_method().decode("ascii"),
            self._target.decode("latin-1"),
            http11,
            _keep_alive(http11, fields.get("HTTP_CONNECTION")),
            fields,
        )
        if not request.target.startswith("/"):
            self._take_authority(request)
        self._check_host(request)
        if not request.keep_alive or "HTTP_PROXY_CONNECTION" in fields:
            self._parser = None  # it would take what follows for an error
        self._decoder = None
        if "CONTENT_LENGTH" in fields or "HTTP_TRANSFER_ENCODING" in fields:
            self._frame_body(request)
        if "HTTP_EXPECT" in fields:
            self._check_expect(request)
        return request

    def _take_authority(self, request: Request) -> None:
        """RFC 9112 section 3.2.2: the authority of an absolute target counts, whatever Host says."""
        absolute = ABSOLUTE_FORM.fullmatch(request.target)
        if absolute is not None:
            request.fields["HTTP_HOST"] = absolute["authority"]
            request.path = absolute["path"] if absolute["path"].startswith("/") else "/" + absolute["path"]
        elif request.method == "CONNECT":
            request.path = ""
        elif request.target != "*":
            raise HttpError(400, "The request target is malformed.")

    def _check_host(self, request: Request) -> None:
        host = request.fields.get("HTTP_HOST")
        if host is None:
            if request.http11:
                raise HttpError(400, "An HTTP/1.1 request needs a Host header.")
        elif HOST.fullmatch(host) is None:
            raise HttpError(400, "The Host header is malformed.")

    def _frame_body(self, request: Request) -> None:
        """RFC 9112 section 6.3, without its leniency: never both, and nothing but a single `chunked`."""
        fields = request.fields
        # llhttp stands before a body that it will not get: the next request needs a fresh one.
        self._parser = None
        coding = fields.pop("HTTP_TRANSFER_ENCODING", None)
        length = fields.get("CONTENT_LENGTH")
        if coding is not None:
            if length is not None or not request.http11:
                raise HttpError(400, "Transfer-Encoding has no place beside Content-Length or in HTTP/1.0.")
            if coding.lower() != "chunked":
                raise HttpError(501, "The only transfer coding is chunked.")
            request.framing = Framing.CHUNKED
            self._decoder = ChunkedDecoder(self.max_body_bytes)
            return
        if length is None or CONTENT_LENGTH.fullmatch(length) is None:
            raise HttpError(400, "Content-Length is malformed.")
        request.framing = Framing.LENGTH
        request.length = int(length)
        if request.length > self.max_body_bytes:
            raise HttpError(413, "The body is too large.")
        self._decoder = LengthDecoder(request.length)

    def _check_expect(self, request: Request) -> None:
        if request.fields["HTTP_EXPECT"].lower() != "100-continue":
            raise HttpError(417, "The only expectation is 100-continue.")
        request.expects_continue = request.http11 and not self.body_done


def _keep_alive(http11: bool, connection: str | None) -> bool:
    """RFC 9112 section 9.3. llhttp's own answer is gone by the time the head is complete."""
    if connection is None:
        return http11
    options = [option.strip() for option in connection.lower().split(",")]
    return "close" not in options and (http11 or "keep-alive" in options)


def _bad_request_line(head: bytes) -> HttpError:
    line = head.partition(b"\r\n")[0]
    version = line.rpartition(b" ")[2]
    if version.startswith(b"HTTP/") and version not in (b"HTTP/1.0", b"HTTP/1.1") and len(version) == 8:
        return HttpError(505, "The version is neither HTTP/1.1 nor HTTP/1.0.")
    return HttpError(400, "The request line is malformed.")
