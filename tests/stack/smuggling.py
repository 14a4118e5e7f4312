"""Bytes that two servers in a row might take apart differently, and the requests that the app may see of each.

A row's requests ask for `/smuggle/ROW/first`, `/second` or `/hidden`. The last one stands where one reading has a body
and the other a request; it counts as seen only where it is a request by all readings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

SEEN_NONE: tuple[str, ...] = ()
FIRST = ("first",)
BOTH = ("first", "second")


@dataclass(frozen=True)
class Row:
    """seen: what the app is asked, in this order."""

    name: str
    data: bytes
    seen: tuple[str, ...]


def request(
    row: str, word: str, *lines: str, method: str = "GET", version: str = " HTTP/1.1", end: str = "\r\n"
) -> str:
    return end.join([f"{method} /smuggle/{row}/{word}{version}", "Host: a.example", *lines, "", ""])


def hidden(row: str) -> str:
    return request(row, "hidden")


def row(name: str, text: str, seen: tuple[str, ...] = SEEN_NONE) -> Row:
    return Row(name, text.encode("latin-1"), seen)


def post(name: str, lines: list[str], body: str, seen: tuple[str, ...] = SEEN_NONE) -> Row:
    return row(name, request(name, "first", *lines, method="POST") + body, seen)


def rows() -> list[Row]:
    found = [*framings(), *lengths(), *codings(), *chunks(), *heads(), *bodies()]
    assert len({one.name for one in found}) == len(found)
    return found


def framings() -> Iterator[Row]:
    """Both a length and chunks: in one reading the hidden request is body, in the other it is the next one."""
    for name, lines in {
        "length-then-chunked": ["Content-Length: {whole}", "Transfer-Encoding: chunked"],
        "chunked-then-length": ["Transfer-Encoding: chunked", "Content-Length: {whole}"],
        "length-of-the-size-then-chunked": ["Content-Length: 4", "Transfer-Encoding: chunked"],
        "chunked-then-length-of-the-size": ["Transfer-Encoding: chunked", "Content-Length: 4"],
        "length-zero-and-chunked": ["Content-Length: 0", "Transfer-Encoding: chunked"],
        "chunked-with-keep-alive-in-1.0": ["Transfer-Encoding: chunked", "Connection: keep-alive", "Content-Length: 5"],
    }.items():
        inner = hidden(name)
        body = f"{len(inner):02x}\r\n{inner}\r\n0\r\n\r\n" if "size" in name else f"0\r\n\r\n{inner}"
        told = [line.format(whole=len(body)) for line in lines]
        version = " HTTP/1.0" if name.endswith("1.0") else " HTTP/1.1"
        yield row(name, request(name, "first", *told, method="POST", version=version) + body)
    for name in ("chunked-in-1.0", "chunked-in-1.0-kept"):
        lines = ["Transfer-Encoding: chunked"] + ["Connection: keep-alive"] * name.endswith("kept")
        head = request(name, "first", *lines, method="POST", version=" HTTP/1.0")
        yield row(name, head + f"0\r\n\r\n{hidden(name)}")


def lengths() -> Iterator[Row]:
    """The length twice, or written so that one reader takes it for another number."""
    for name, values in {
        "two-lengths": ["0", "{n}"],
        "two-lengths-turned": ["{n}", "0"],
        "the-same-length-twice": ["{n}", "{n}"],
        "list-of-lengths": ["0, {n}"],
        "list-of-one-length": ["{n},{n}"],
        "length-with-a-plus": ["+{n}"],
        "length-with-a-minus": ["-{n}"],
        "length-in-hexadecimal": ["0x{n}"],
        "length-with-an-exponent": ["1e2"],
        "length-with-a-space": ["{n} 0"],
        "length-with-a-zero-byte": ["{n}\0"],
        "length-with-a-semicolon": ["{n};"],
        "length-with-a-fraction": ["{n}.0"],
        "length-with-an-underscore": ["1_0"],
        "length-empty": [""],
        "length-of-64-bits": ["18446744073709551616"],
        "length-of-64-bits-and-some": ["18446744073709551{n}"],
    }.items():
        inner = hidden(name)
        yield post(name, [f"Content-Length: {value.format(n=len(inner))}" for value in values], inner)


def codings() -> Iterator[Row]:
    """A coding that one reader knows and another one does not, beside a length that has the hidden request as body."""
    for name, value in {
        "coding-xchunked": "xchunked",
        "coding-identity": "identity",
        "coding-chunked-identity": "chunked, identity",
        "coding-identity-chunked": "identity, chunked",
        "coding-chunked-chunked": "chunked, chunked",
        "coding-gzip-chunked": "gzip, chunked",
        "coding-with-a-parameter": "chunked;q=1",
        "coding-with-a-tab": "\tchunked\t",
        "coding-with-a-vertical-tab": "\x0bchunked",
        "coding-with-a-form-feed": "chunked\x0c",
        "coding-with-a-zero-byte": "chunked\0",
        "coding-with-8-bits": "chunked\xa0",
        "coding-with-a-carriage-return": "\rchunked",
        "coding-in-quotes": '"chunked"',
        "coding-in-capitals": "CHUNKED",
        "coding-empty": "",
        "coding-folded": "\r\n chunked",
        "coding-folded-behind-a-coding": "identity\r\n chunked",
        "coding-twice": "chunked\r\nTransfer-Encoding: chunked",
        "coding-twice-identity-first": "identity\r\nTransfer-Encoding: chunked",
        "coding-twice-unknown-second": "chunked\r\nTransfer-Encoding: x",
    }.items():
        body = f"0\r\n\r\n{hidden(name)}"
        yield post(name, [f"Content-Length: {len(body)}", f"Transfer-Encoding: {value}"], body)
        # Chunked by all readings is the one in capitals: what is behind its last chunk is the client's next request.
        alone, plain = f"{name}-alone", name == "coding-in-capitals"
        behind = request(alone, "second" if plain else "hidden")
        yield post(alone, [f"Transfer-Encoding: {value}"], f"0\r\n\r\n{behind}", BOTH if plain else SEEN_NONE)
    for name, line, seen in (
        ("coding-space-before-colon", "Transfer-Encoding : chunked", SEEN_NONE),
        ("coding-tab-before-colon", "Transfer-Encoding\t: chunked", SEEN_NONE),
        ("coding-behind-a-fold", "X-Fold: a\r\n Transfer-Encoding: chunked", SEEN_NONE),
        ("coding-behind-a-carriage-return", "X-Own: a\rTransfer-Encoding: chunked", SEEN_NONE),
        ("coding-behind-a-line-feed", "X-Own: a\nTransfer-Encoding: chunked", SEEN_NONE),
        ("coding-with-an-underscore", "Transfer_Encoding: chunked", FIRST),
        ("coding-with-a-zero-byte-in-its-name", "Transfer-Encoding\0: chunked", SEEN_NONE),
        ("coding-without-colon", "Transfer-Encoding chunked", SEEN_NONE),
        ("coding-quoted-by-a-name", '"Transfer-Encoding": chunked', FIRST),
        ("coding-named-by-connection", "Connection: transfer-encoding\r\nX-Own: chunked", FIRST),
        ("length-named-by-connection", "Connection: content-length", FIRST),
    ):
        body = f"0\r\n\r\n{hidden(name)}"
        yield post(name, [f"Content-Length: {len(body)}", line], body, seen)


def chunks() -> Iterator[Row]:
    """Chunks whose size or end is read in two ways; the hidden request is behind what one of them takes for the end."""
    for name, size in {
        "chunk-size-negative": "-1",
        "chunk-size-with-a-plus": "+5",
        "chunk-size-with-0x": "0x5",
        "chunk-size-of-letters": "5g",
        "chunk-size-with-an-underscore": "0_5",
        "chunk-size-empty": "",
        "chunk-size-of-64-bits": "ffffffffffffffff",
        "chunk-size-beyond-64-bits": "10000000000000005",
        "chunk-size-of-an-exabyte": "fffffffffffffff",
        "chunk-size-with-a-carriage-return": "5\rX",
        "chunk-size-with-a-zero-byte": "5\0",
        "chunk-size-too-small": "4",
        "chunk-size-too-large": "6",
    }.items():
        yield post(name, ["Transfer-Encoding: chunked"], f"{size}\r\naaaaa\r\n0\r\n\r\n{hidden(name)}")
    for name, body in {
        "chunk-without-its-end": "5\r\naaaaa0\r\n\r\n{}",
        "chunk-ended-by-a-carriage-return": "5\r\naaaaa\r0\r\n\r\n{}",
        "chunk-ended-by-other-bytes": "5\r\naaaaaXX0\r\n\r\n{}",
        "chunk-last-missing": "5\r\naaaaa\r\n{}",
    }.items():
        yield post(name, ["Transfer-Encoding: chunked"], body.format(hidden(name)))
    # Whatever stands in an extension or a trailer, nginx drops it and sends on a body of the right size. Behind it
    # comes the client's next request, which is none that was hidden.
    for name, body in {
        "chunk-extension": "5;a=b\r\naaaaa\r\n0\r\n\r\n",
        "chunk-extension-in-quotes": '5;a="b;\\""\r\naaaaa\r\n0\r\n\r\n',
        "chunk-extension-of-sizes": "5;5;5=5\r\naaaaa\r\n0\r\n\r\n",
        "chunk-extension-at-the-last": "5\r\naaaaa\r\n0;a=b\r\n\r\n",
        "chunk-size-with-zeros": "0000000000000005\r\naaaaa\r\n0\r\n\r\n",
        "chunk-trailer-of-framing": "5\r\naaaaa\r\n0\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n",
        "chunk-trailer-of-a-request-line": "5\r\naaaaa\r\n0\r\nGET /smuggle/chunk-trailer/hidden HTTP/1.1: a\r\n\r\n",
    }.items():
        second = request(name, "second")
        yield post(name, ["Transfer-Encoding: chunked"], body + second, BOTH)
    name = "chunk-last-without-empty-line"  # so the hidden one is its trailers
    yield post(name, ["Transfer-Encoding: chunked"], f"0\r\n{hidden(name)}", FIRST)
    for name, body in {
        "chunk-extension-with-a-line-feed": "5;a\nb\r\naaaaa\r\n0\r\n\r\n{}",
        "chunk-extension-with-a-carriage-return": "5;a\rb\r\naaaaa\r\n0\r\n\r\n{}",
        "chunk-extension-that-hides-a-size": "2;\nxx\r\n4c\r\n0\r\n\r\n{}",
    }.items():
        yield post(name, ["Transfer-Encoding: chunked"], body.format(hidden(name)))


def heads() -> Iterator[Row]:
    """Line ends, blanks and versions. nginx writes line ends anew, so the worker sees its reading and no other."""
    name = "bare-line-feeds"
    yield row(name, request(name, "first", end="\n") + request(name, "second"), BOTH)
    name = "bare-line-feed-before-a-length"
    inner = hidden(name)
    yield post(name, [f"X-Own: a\nContent-Length: {len(inner)}"], inner, FIRST)
    name = "carriage-return-before-a-length"
    yield post(name, [f"X-Own: a\rContent-Length: {len(hidden(name))}"], hidden(name))
    name = "length-folded"
    yield post(name, [f"Content-Length:\r\n {len(hidden(name))}"], hidden(name))
    name = "length-behind-a-fold"
    yield post(name, [f"X-Fold: a\r\n Content-Length: {len(hidden(name))}"], hidden(name))
    name = "length-in-the-first-line"
    yield row(
        name, f"GET /smuggle/{name}/first HTTP/1.1\r\n Content-Length: 9\r\nHost: a.example\r\n\r\n{hidden(name)}"
    )
    name = "carriage-returns-alone"
    yield row(name, request(name, "first", end="\r") + hidden(name))
    name = "space-in-the-target"
    yield row(name, f"GET /smuggle/{name}/first /hidden HTTP/1.1\r\nHost: a.example\r\n\r\n")
    name = "second-line-in-the-target"
    yield row(name, f"GET /smuggle/{name}/first HTTP/1.1 HTTP/1.1\r\nHost: a.example\r\n\r\n{hidden(name)}")
    name = "tabs-in-the-first-line"
    yield row(name, f"GET\t/smuggle/{name}/first\tHTTP/1.1\r\nHost: a.example\r\n\r\n")
    name = "version-0.9"
    yield row(name, f"GET /smuggle/{name}/first\r\n{hidden(name)}", FIRST)
    name = "version-2.0"
    yield row(name, request(name, "first", version=" HTTP/2.0") + hidden(name))
    name = "version-1.0-without-keep-alive"
    yield row(name, request(name, "first", version=" HTTP/1.0") + hidden(name), FIRST)
    name = "two-hosts"
    yield row(name, request(name, "first", "Host: b.example") + hidden(name))
    name = "zero-byte-in-a-value"
    yield row(name, request(name, "first", "X-Own: a\0b") + hidden(name))
    name = "two-requests-as-they-should-be"
    yield row(name, request(name, "first") + request(name, "second"), BOTH)


def bodies() -> Iterator[Row]:
    """Bodies that who answers early leaves unread, or of methods of which some servers expect none."""
    for method in ("GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND"):
        name = f"length-with-{method}"
        inner = hidden(name)
        yield row(name, request(name, "first", f"Content-Length: {len(inner)}", method=method) + inner, FIRST)
    for name, line in {
        "body-with-expect": "Expect: 100-continue",
        "body-with-another-expectation": "Expect: 100-continue, x",
        "body-with-upgrade-to-h2c": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA",
        "body-with-upgrade-to-websocket": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777",
    }.items():
        inner = hidden(name)
        yield post(name, [line, f"Content-Length: {len(inner)}"], inner, FIRST)
    # Nobody reads these: a static file and a 413 are answered at once, and the body is a thousand hidden requests.
    for name, target, copies in (
        ("unread-body-of-a-static-file", "/holds/static/page.txt", 1),
        ("unread-large-body-of-a-static-file", "/holds/static/page.txt", 25_000),
        ("unread-body-of-an-app", "/holds/", 1),
        ("unread-large-body-of-an-app", "/holds/", 25_000),
        ("unread-body-above-the-apps-ceiling", "/", 40_000),
    ):
        body = hidden(name) * copies
        yield row(name, f"POST {target} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {len(body)}\r\n\r\n{body}")
