"""The corner cases of HTTP/1.1: bytes of a client, most of them from the files of tests/corpus, and the judge of each.

A refused case is followed by one right request (`/smuggled`), which nobody may run whose framing is in doubt.
"""

from __future__ import annotations

from urllib.parse import unquote

from cases import Case
from verdicts import (
    RIGHT,
    Judge,
    Leniency,
    allowed,
    both,
    if_,
    in_order,
    refused,
    refused_in_its_body,
    sees,
    served,
    smuggled,
    takes,
)
from wire import HALF_CLOSE, IfSeen, Step, Until
from wire_corpus import SMUGGLED, Accept, Reject, accepts, rejects
from wire_judges import (
    answered_while_sending,
    closes,
    early_end_of_a_head,
    early_end_of_a_length,
    early_end_of_chunks,
    far_too_long,
    field,
    half_closed,
    interim,
    invited_lazily,
    length_and_coding,
    must_see,
    never_run,
    speaks_1_1,
    told_that_it_ends,
)

FRAMING = "Framing of a request"
CHUNKED = "Chunked bodies"
FIELDS = "Lines and fields"
TARGET = "Request line, target, Host"
CONNECTION = "Connections and expectations"

_REJECTS: dict[str, Reject] = {one.name: one for one in rejects()}
_ACCEPTS: dict[str, Accept] = {one.name: one for one in accepts()}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def _head(case_id: str, group: str, meaning: str, section: str, name: str, leniency: Leniency | None = None) -> Case:
    """A wrong head from reject/."""
    file = _REJECTS[name]
    follows = b"" if b"/smuggled" in file.data else SMUGGLED
    methods = ("GET",) * (file.before + 1)
    judge = refused(leniency, file.before, hides=not follows)
    return Case(case_id, group, meaning, section, (file.data + follows,), judge, methods)


def _lone(case_id: str, meaning: str, section: str, name: str, leniency: Leniency | None = None) -> Case:
    """A wrong head from reject/ whose end is in no doubt: nothing follows it, since a server may go on behind it."""
    return Case(case_id, TARGET, meaning, section, (_REJECTS[name].data,), refused(leniency))


def _body(case_id: str, meaning: str, section: str, name: str, leniency: Leniency | None = None) -> Case:
    """A right head and a wrong body from reject/."""
    data = _REJECTS[name].data
    follows = b"" if b"/smuggled" in data else SMUGGLED
    return Case(case_id, CHUNKED, meaning, section, (data + follows,), refused_in_its_body(leniency, not follows))


def _right(
    case_id: str, group: str, meaning: str, section: str, name: str, *judges: Judge, or_refused: str = ""
) -> Case:
    """Right requests from accept/: the app sees what the corpus says, then the further judges are asked."""
    file = _ACCEPTS[name]
    wanted = [(one.method, unquote(one.path.partition("?")[0], "latin-1"), one.body) for one in file.requests]
    first = served(*wanted, closes=bool(file.rest), or_refused=or_refused)
    methods = tuple(one.method for one in file.requests)
    return Case(case_id, group, meaning, section, (file.data,), both(first, *judges), methods, keeps=file.keeps)


# --- the cases --------------------------------------------------------------------------------------------------------

_JOINED = takes("joined", "hello")
_REFUSED = "refused"
_LONG = b"x" * 2**20

FRAMING_CASES = [
    _head("length-and-coding", FRAMING, "Content-Length and Transfer-Encoding", "9112 6.1, 6.3",
          "400-CVE-2020-10109-length-and-coding", length_and_coding),
    _head("length-hides-a-request", FRAMING, "the same, a request hidden between the two ends", "9112 6.3",
          "400-transfer-encoding-hides-a-request-from-content-length", length_and_coding),
    _head("lengths-differ", FRAMING, "two different Content-Length lines", "9112 6.3",
          "400-content-length-twice-different"),
    _head("lengths-differ-in-a-list", FRAMING, "a list of different lengths", "9112 6.3",
          "400-content-length-list-of-different"),
    _head("lengths-repeated", FRAMING, "the same Content-Length twice", "9110 8.6",
          "400-content-length-twice-the-same", _JOINED),
    _head("length-plus", FRAMING, "Content-Length: +5", "9112 6.3", "400-content-length-plus-sign"),
    _head("length-minus", FRAMING, "Content-Length: -5", "9112 6.3", "400-content-length-minus-sign"),
    _head("length-underscore", FRAMING, "Content-Length with `_`, as int() takes it", "9112 6.3",
          "400-content-length-underscore"),
    _head("length-hexadecimal", FRAMING, "Content-Length in hexadecimal", "9112 6.3", "400-content-length-hexadecimal"),
    _head("length-superscript", FRAMING, "Content-Length of another script's digit", "9112 6.3",
          "400-content-length-superscript-digit"),
    _head("length-empty", FRAMING, "an empty Content-Length", "9112 6.3", "400-content-length-empty"),
    Case("length-of-100-digits", FRAMING, "Content-Length of a hundred nines", "9110 8.6",
         (_REJECTS["400-content-length-of-a-hundred-nines"].data + SMUGGLED,), far_too_long),
    _head("coding-not-last", FRAMING, "`chunked` is not the last coding", "9112 6.3",
          "400-transfer-encoding-chunked-before-identity"),
    _head("coding-over-two-lines", FRAMING, "`chunked`, then `gzip` in a second line", "9112 6.3",
          "400-CVE-2024-1135-two-codings-in-two-lines"),
    _head("coding-twice", FRAMING, "`chunked` twice", "9112 6.1", "400-transfer-encoding-chunked-twice"),
    _head("coding-unknown", FRAMING, "an unknown last coding", "9112 6.3", "400-transfer-encoding-unknown"),
    _head("coding-behind-a-tab", FRAMING, "a vertical tab before `chunked`", "9112 6.3",
          "400-transfer-encoding-vertical-tab-before"),
    _head("coding-chunkedchunked", FRAMING, "a coding that ends in `chunked`", "9112 6.3",
          "400-transfer-encoding-chunkedchunked"),
    _head("coding-in-1.0", FRAMING, "Transfer-Encoding in HTTP/1.0", "9112 6.1",
          "400-transfer-encoding-in-http-1.0-with-keep-alive", length_and_coding),
    _head("coding-space-before-colon", FRAMING, "`Transfer-Encoding : chunked`", "9112 5.1",
          "400-transfer-encoding-space-before-the-colon"),
    _right("body-of-a-get", FRAMING, "a GET with a Content-Length body", "9110 9.3.1", "content-length-with-get",
           or_refused=_REFUSED),
    _right("coding-in-mixed-case", FRAMING, "`Transfer-Encoding: ChUnKeD`", "9112 7",
           "transfer-encoding-value-in-mixed-case"),
]  # fmt: skip

CHUNK_CASES = [
    _right("chunked", CHUNKED, "a chunked body reaches the app decoded", "9112 7.1", "chunked"),
    _right("chunked-extension", CHUNKED, "a chunk extension with a quoted `;`", "9112 7.1.1",
           "chunked-extension-quoted-semicolon"),
    _right("chunked-trailer", CHUNKED, "a trailer does not touch the header of its name", "9110 6.5.1",
           "chunked-trailer-does-not-reach-a-header", must_see("HTTP_X", "1", "trailer merged")),
    _right("chunked-end-is-told", CHUNKED, "the app can know that the body ends (`wsgi.input_terminated`)", "none",
           "chunked", told_that_it_ends),
    _body("chunk-plus", "a chunk size with `+`", "9112 7.1", "400-chunk-size-plus-sign"),
    _body("chunk-minus", "a chunk size with `-`", "9112 7.1", "400-chunk-size-minus-sign"),
    _body("chunk-underscore", "a chunk size with `_`", "9112 7.1", "400-chunk-size-underscore"),
    _body("chunk-prefix", "a chunk size with `0x`", "9112 7.1", "400-chunk-size-hexadecimal-prefix"),
    _body("chunk-leading-space", "a blank before a chunk size", "9112 7.1", "400-chunk-size-leading-space"),
    _body("chunk-empty", "an empty chunk size", "9112 7.1", "400-chunk-size-empty"),
    Case("chunk-overflow", CHUNKED, "a chunk size of 17 digits that is 5 in 64 bits", "9112 7.1",
         (_REJECTS["400-chunk-size-of-17-digits"].data + SMUGGLED,), far_too_long),
    _body("chunk-bare-lf", "a chunk size ended by a bare LF", "9112 7.1, 2.2",
          "400-chunk-size-ended-by-bare-line-feed"),
    _body("chunk-extension-lf", "a bare LF in a chunk extension (CVE-2025-55315)", "9112 7.1.1",
          "400-CVE-2021-22960-chunk-extension-with-a-line-feed"),
    _body("chunk-extension-cr", "a bare CR ends a chunk extension (CVE-2025-55315)", "9112 2.2",
          "400-CVE-2025-55315-chunk-extension-ended-by-bare-carriage-return"),
    Case("chunk-extension-1m", CHUNKED, "a chunk extension of 1 MiB", "9112 7.1.1",
         (b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5;a=" + _LONG
          + b"\r\nhello\r\n0\r\n\r\n",), refused_in_its_body(takes("no bound", "hello"))),
    _body("chunk-data-too-long", "more data than the chunk's size", "9112 7.1", "400-chunk-data-longer-than-its-size"),
    _body("chunk-data-no-crlf", "no CRLF behind a chunk's data", "9112 7.1", "400-chunk-data-without-line-end"),
    _body("chunk-data-other-bytes", "two other bytes for that CRLF (CVE-2025-43859)", "9112 7.1",
          "400-CVE-2025-43859-chunk-data-is-followed-by-two-other-bytes"),
    _body("trailer-is-a-request", "a request in the place of the trailers (CVE-2023-41419)", "9112 7.1.2",
          "400-CVE-2023-41419-trailer-is-a-request",
          lambda outcome: "" if smuggled(outcome) else takes("dropped", "hello")(outcome)),
    _body("trailer-without-colon", "a trailer without a colon", "9112 7.1.2",
          "400-CVE-2023-40175-trailer-taken-for-the-next-request", takes("dropped", "hello")),
]  # fmt: skip

FIELD_CASES = [
    _head("bare-lf", FIELDS, "lines ended by a bare LF", "9112 2.2", "400-header-ended-by-bare-line-feed",
          takes("takes LF")),
    _head("bare-cr", FIELDS, "a bare CR in a value", "9112 2.2", "400-header-value-with-a-carriage-return",
          sees("CR to space", "a b")),
    _head("cr-hides-a-length", FIELDS, "a length hidden behind a bare CR", "9112 2.2",
          "400-header-value-with-a-hidden-header-behind-a-carriage-return",
          sees("CR to space", "a Content-Length: 5")),
    _head("folded", FIELDS, "a folded line", "9112 5.2", "400-header-folded-with-a-space",
          sees("unfolded", "a b", "a  b", "a   b")),
    _head("space-before-colon", FIELDS, "white space before the colon", "9112 5.1",
          "400-header-with-a-space-before-the-colon"),
    _head("space-before-first-line", FIELDS, "white space before the first header", "9112 2.2",
          "400-header-first-line-begins-with-a-space", takes("accepted")),
    _head("nul-in-value", FIELDS, "NUL in a value", "9110 5.5", "400-header-value-with-a-zero-byte",
          sees("NUL to space", "a b")),
    _head("control-in-value", FIELDS, "another control byte in a value", "9110 5.5",
          "400-header-value-with-a-control-byte", sees("kept", "a\x01b")),
    _head("name-empty", FIELDS, "an empty field name", "9112 5", "400-header-with-an-empty-name", takes("accepted")),
    _head("no-colon", FIELDS, "a header without a colon", "9112 5", "400-header-without-colon", takes("accepted")),
    _head("content-type-twice", FIELDS, "two different Content-Type lines", "9110 5.3",
          "400-header-content-type-twice-different", takes("one of them")),
    Case("head-of-1m", FIELDS, "a header of 1 MiB", "9110 5.4",
         (b"GET / HTTP/1.1\r\nHost: a.example\r\nX: " + _LONG + b"\r\n\r\n",), refused(takes("no bound"))),
    _right("underscore", FIELDS, "`X_Forwarded_For` beside `X-Forwarded-For` (CVE-2024-45614)", "none",
           "CVE-2024-45614-underscores-do-not-overwrite",
           field("HTTP_X_FORWARDED_FOR", "192.0.2.1", "overwritten")),
    _right("repeated", FIELDS, "a repeated header is joined with a comma", "9110 5.3", "header-repeated-is-joined",
           lambda outcome: if_(str(outcome.of("saw")[0].get("HTTP_X")).replace(" ", "") == "a,b", "not joined")),
    _right("latin-1", FIELDS, "a value of obs-text is latin-1 to the app", "PEP 3333, unicode",
           "header-value-in-latin-1", must_see("HTTP_X", "caf\xe9", "other text"), or_refused=_REFUSED),
]  # fmt: skip

TARGET_CASES = [
    _lone("host-missing", "no Host in HTTP/1.1", "9112 3.2", "400-host-missing"),
    _lone("host-twice", "two Host lines", "9112 3.2", "400-host-twice-far-apart"),
    _lone("host-with-path", "a path in Host", "9112 3.2", "400-host-with-path"),
    _lone("host-with-space", "a blank in Host", "9112 3.2", "400-host-with-space"),
    _lone("host-with-user", "user information in Host", "9112 3.2", "400-host-with-userinfo"),
    _lone("absolute-without-host", "an absolute target does not replace a missing Host", "9112 3.2",
          "400-target-absolute-does-not-replace-a-missing-host"),
    _right("absolute", TARGET, "an absolute target: its path is the app's", "9112 3.2.2", "target-absolute-http"),
    _right("absolute-host", TARGET, "and its authority replaces Host", "9112 3.2.2", "target-absolute-http",
           must_see("HTTP_HOST", "b.example", "Host kept")),
    Case("options-asterisk", TARGET, "OPTIONS * is served", "9110 9.3.7",
         (_ACCEPTS["target-asterisk-with-options"].data,),
         lambda outcome: RIGHT if outcome.finals == [200] else allowed(str((*outcome.finals, "closed")[0])),
         ("OPTIONS",), keeps=True),
    _lone("get-asterisk", "GET *", "9112 3.2.4", "400-target-asterisk-with-get", takes("served")),
    _lone("fragment", "a fragment in the target (CVE-2023-45539)", "9112 3.2", "400-target-fragment", takes("served")),
    _lone("control-in-target", "a control byte in the target", "9112 3.2", "400-target-control-byte", takes("served")),
    _lone("two-spaces", "two blanks in the request line", "9112 3", "400-request-line-two-spaces-before-the-target",
          takes("served")),
    _lone("http-0.9", "a request line of HTTP/0.9", "9112 3", "400-request-line-http-0.9", takes("served")),
    _lone("http-2.0", "HTTP/2.0 as a version", "9110 2.5", "505-version-2.0", takes("served")),
    Case("http-1.2", TARGET, "HTTP/1.2 is served as 1.1", "9110 2.5", (_REJECTS["505-version-1.2"].data,),
         both(served(("GET", "/", ""), or_refused=_REFUSED), speaks_1_1), keeps=True),
    _lone("other-protocol", "RTSP/1.0 as a version", "9112 2.3", "400-version-of-rtsp"),
    _right("empty-line-first", TARGET, "an empty line before the request line", "9112 2.2",
           "request-line-behind-one-empty-line", or_refused=_REFUSED),
    _right("no-host-in-1.0", TARGET, "no Host in HTTP/1.0", "9112 3.2", "version-1.0-without-host"),
    _right("path-is-latin-1", TARGET, "PATH_INFO of UTF-8 escapes, as latin-1 text", "PEP 3333, unicode",
           "target-percent-encoded-utf-8"),
    Case("target-of-1m", TARGET, "a target of 1 MiB", "9112 3",
         (b"GET /" + _LONG + b" HTTP/1.1\r\nHost: a.example\r\n\r\n",), refused(takes("no bound"))),
]  # fmt: skip

HIDDEN = SMUGGLED
_UNREAD = b"POST /w/reads_nothing HTTP/1.1\r\nHost: a.example\r\n"


def _talk(case_id: str, meaning: str, section: str, judge: Judge, *steps: Step, keeps: bool = False) -> Case:
    return Case(case_id, CONNECTION, meaning, section, steps, judge, ("POST",), keeps)


def _sending(version: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST / HTTP/{version}", "Host: a.example", *lines, "", ""]).encode()


CONNECTION_CASES = [
    _right("pipelined-ten", CONNECTION, "ten pipelined requests, answered in order", "9112 9.3.2", "pipelined-ten"),
    _right("pipelined-not-ahead", CONNECTION, "a pipelined POST waits for the answer before it", "9112 9.3.2",
           "pipelined-length-bodies", in_order),
    _right("pipelined-mixed", CONNECTION, "pipelined, chunked and with lengths", "9112 9.3.2",
           "pipelined-mixed-framing"),
    _head("pipelined-error", CONNECTION, "a wrong request behind a right one: 200, 4xx, end", "9112 2.2",
          "400-second-request-length-and-coding", lambda outcome: length_and_coding(outcome)
          or takes("coding, then close", "", "hello")(outcome)),
    _right("close-ends", CONNECTION, "nothing is run behind `Connection: close`", "9112 9.6",
           "connection-close-second-request-is-not-answered"),
    _right("1.0-ends", CONNECTION, "nothing is run behind HTTP/1.0 without keep-alive", "9112 9.3",
           "version-1.0-second-request-is-not-answered", closes),
    _talk("unread-body", "a body that the app did not read is no request", "9112 9.3", never_run,
          _UNREAD + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN),
    _talk("unread-3m", "an unread body of 3 MiB: the answer arrives all the same", "9112 9.6", answered_while_sending,
          _UNREAD + b"Content-Length: %d\r\n\r\n" % (3 * 2**20), bytes(2**20), bytes(2**20), bytes(2**20)),
    _talk("expect", "100-continue: the client is invited, once", "9110 10.1.1",
          both(served(("POST", "/", "hello")), interim(100)),
          _sending("1.1", "Content-Length: 5", "Expect: 100-continue"), Until(CONTINUE), b"hello", keeps=True),
    _talk("expect-unread", "100-continue: an app that does not read gets no body", "9110 10.1.1", invited_lazily,
          _UNREAD + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", Until(b"\r\n\r\n"),
          IfSeen(CONTINUE, b"hello"), keeps=True),
    _talk("expect-desync", "100-continue: a body behind a final answer is no request", "9110 10.1.1", never_run,
          _UNREAD + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(HIDDEN), Until(b"\r\n\r\n"), HIDDEN),
    _right("expect-in-1.0", CONNECTION, "100-continue of HTTP/1.0 is ignored", "9110 10.1.1",
           "version-1.0-expectation-is-ignored", interim()),
    _right("upgrade-ignored", CONNECTION, "an upgrade that nobody follows: the next request is HTTP", "9110 7.8",
           "pipelined-behind-an-upgrade"),
    Case("half-close", CONNECTION, "a client that closes its side gets its answer", "9112 9.5",
         (b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", HALF_CLOSE), half_closed),
    _talk("half-close-in-a-head", "the client ends within a head", "9112 8", early_end_of_a_head,
          b"GET / HTTP/1.1\r\nHost: a.exa", HALF_CLOSE),
    _talk("half-close-in-a-length", "the client ends within a body with a length", "9112 8", early_end_of_a_length,
          _sending("1.1", "Content-Length: 100") + b"half of it", HALF_CLOSE),
    _talk("half-close-in-chunks", "the client ends within a chunked body", "9112 8", early_end_of_chunks,
          _sending("1.1", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n5\r\nwo", HALF_CLOSE),
]  # fmt: skip

WIRE_CASES = FRAMING_CASES + CHUNK_CASES + FIELD_CASES + TARGET_CASES + CONNECTION_CASES
