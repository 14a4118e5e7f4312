"""What the stack of `apps/same` is asked, and how an answer is compared."""

from __future__ import annotations

import base64
import gzip
import http.client
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from remote_support import DEADLINE_S

# What a server may add, or have its own way with. Waitress adds Via beside a Server of ours. A Content-Length of ours
# has to stay, but for 304, where servers may leave it out (RFC 9110, 8.6).
SERVERS_OWN = {"server", "date", "connection", "keep-alive", "transfer-encoding", "via", "content-length"}
OURS = "x-set-by-ours"
GONE = "the server has not sent it"
PASSWORD = "the password"  # noqa: S105
# What is another one each time, by chance or by time.
BY_CHANCE = (
    (re.compile(r"(session-[0-9a-f]{8}=)[\w.-]{20,}"), r"\1*"),
    (re.compile(r'"port": \d+'), '"port": *'),  # of a connection to the upstream
)
MADE_ID = re.compile(r"\b[0-9a-f]{32}\b")


@dataclass(frozen=True)
class Ask:
    """One request, and the status that it must have. body: a list goes in chunks; only_status: the rest is the server's
    own; visits: with the session cookie of the ones before.
    """

    path: str
    status: int = 200
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | list[bytes] | None = None
    only_status: bool = False
    visits: bool = False
    note: str = ""

    @property
    def name(self) -> str:
        fields = " ".join(f"{name}:{value[:24]}" for name, value in self.headers.items())
        return " ".join(filter(None, (self.method, self.path[:60], fields, self.note)))


class Answer(NamedTuple):
    """fields: those that ours have set, in lower case, by name; beside: names of the others."""

    status: str
    fields: list[tuple[str, str]]
    body: bytes
    beside: set[str]


class Client:
    """Of one server, whose first process is `pid`. It keeps the session's cookie."""

    def __init__(self, port: int, pid: int) -> None:
        self._port, self.pid = port, pid
        self._cookie = ""

    def ask(self, ask: Ask) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_S)
        try:
            self._send(connection, ask)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        status = f"{answer.status} {answer.reason}"
        if ask.only_status:
            return Answer(status[:3], [], b"", set())
        if ask.visits and (given := answer.getheader("Set-Cookie")):
            self._cookie = given.partition(";")[0]
        ours = set((answer.getheader(OURS) or "").split(","))
        fields = sorted(((name.lower(), value) for name, value in answer.getheaders()), key=lambda one: one[0])
        beside = {name for name, _ in fields} - ours - {OURS}
        ours -= SERVERS_OWN - ({"content-length"} if answer.status != 304 else set())
        told = [(name, plain(value.strip())) for name, value in fields if name in ours]
        told += [(name, GONE) for name in ours.difference(name for name, _ in fields)]
        if ask.path.startswith("/remote") and answer.getheader("Content-Encoding") == "gzip":
            body = gzip.decompress(body)  # which is in blocks as the network has brought them
        return Answer(status, told, plain(body.decode("latin-1")).encode("latin-1"), beside)

    def leave(self, path: str) -> None:
        """Ask, and go when a first block has come."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=DEADLINE_S) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: site.example\r\n\r\n".encode())
            assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")

    def _send(self, connection: http.client.HTTPConnection, ask: Ask) -> None:
        connection.putrequest(ask.method, ask.path, skip_host=True, skip_accept_encoding=True)
        fields = {"Host": "site.example", "X-Request-ID": "given-1"} | dict(ask.headers)
        if ask.visits and self._cookie:
            fields["Cookie"] = self._cookie
        if isinstance(ask.body, bytes):
            fields["Content-Length"] = str(len(ask.body))
        elif ask.body is not None:
            fields["Transfer-Encoding"] = "chunked"
        for name, value in fields.items():
            if value:
                connection.putheader(name, value)
        connection.endheaders(ask.body, encode_chunked=isinstance(ask.body, list))


def plain(text: str) -> str:
    """Without what chance has made."""
    for pattern, instead in BY_CHANCE:
        text = pattern.sub(instead, text)
    return MADE_ID.sub("*", text)


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def _all(*groups: Iterable[Ask]) -> list[Ask]:
    return [ask for group in groups for ask in group]


GZIP = {"Accept-Encoding": "gzip"}
SHOP = {"Origin": "https://shop.example"}
PREFLIGHT = {"Access-Control-Request-Method": "POST"}
PROXY = {
    "X-Forwarded-For": "192.0.2.9, 198.51.100.7", "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil, shop.example", "X-Forwarded-Prefix": "/shop", "Forwarded": "for=192.0.2.9",
}  # fmt: skip
PATHS = (
    "/tell", "/tell?", "/tell?a=%20+b&c=%C3%A9&/../x", "/tell/a%20b", "/tell/caf%C3%A9", "/tell/%FF%fe", "/tell/a%2Fb",
    "/tell/100%25", "/tell/a;b=c", "/tell/a%3Fb", "/tell/a%23b", "/tell//a", "/tell/a//",
    "/tell/a%5Cb", "/tell/a%2e%2e/b", "/%74ell", "/tell/~!$&'()*+,:@",
)  # fmt: skip
SIMPLE = (
    "stream", "blocks", "write", "file", "204", "206", "299", "418", "303", "304", "500", "empty", "nothing", "bare",
    "cookies", "long", "latin", "loud", "foot", "own", "xml",
)  # fmt: skip
STATUS = {"204": 204, "206": 206, "299": 299, "418": 418, "303": 303, "304": 304, "500": 500}
ASKS = _all(
    (Ask(path) for path in PATHS),
    (Ask(f"/{page}", STATUS.get(page, 200), method) for page in SIMPLE for method in ("GET", "HEAD")),
    (Ask(f"/{page}", STATUS.get(page, 200), headers=GZIP) for page in SIMPLE if page not in ("empty", "418", "303")),
    (
        Ask("/blocks", 200, "HEAD", GZIP),
        Ask("/blocks", headers={"Accept-Encoding": "gzip;q=0, *"}),
        Ask("/large", 500),
        Ask("/xml/broken", 500),
        Ask("/xml?title=Caf%C3%A9&plain=1"),
        Ask("/tell", method="POST", body=b"a=b", headers={"Content-Type": "application/x-www-form-urlencoded"}),
        Ask("/tell", method="POST", body=b""),
        Ask("/tell", method="PUT", body=b"x" * 300_000),
        Ask("/tell", method="DELETE"),
        Ask("/tell", method="OPTIONS"),
        Ask("/tell", method="PROPFIND"),
        Ask("/tell", headers={"X-Request-ID": ""}),
        Ask("/tell", headers={"X-Request-ID": "not an id"}),
        Ask("/tell", headers={"X-Long": "l" * 7000}),
        Ask("/tell", headers={"X-Latin": "caf\xe9"}),
        Ask("/tell", headers=PROXY),
        Ask("/tell", headers=SHOP),
        Ask("/stream", headers=SHOP | GZIP),
        Ask("/tell", headers={"Origin": "https://evil.example"}),
        Ask("/tell", 204, "OPTIONS", SHOP | PREFLIGHT),
        Ask("/tell", 204, "OPTIONS", PREFLIGHT | {"Origin": "https://evil.example"}),
        Ask("/visits", visits=True),
        Ask("/visits", visits=True, note="again"),
        Ask("/visits", visits=True, headers=PROXY),
        Ask("/visits/out", visits=True),
        Ask("/visits", visits=True, headers={"Cookie": "session-00000000=broken"}, note="after"),
        Ask("/guarded", 401),
        Ask("/guarded", headers=basic("anna", PASSWORD)),
        Ask("/guarded", 401, headers=basic("anna", "no"), method="HEAD"),
        Ask("/guarded/open"),
        Ask("/x//GUARDED/"),
        Ask("//GUARDED/x", 401),
        Ask("/sub", 308),
        Ask("/sub?q=%20", 308, "HEAD"),
        Ask("/sub", method="POST", body=b"to the mount itself"),
        Ask("/sub/tell/a%2Fb?q"),
        Ask("/sub/deeper/tell"),
        Ask("/sub%2Fdeeper"),
        Ask("/x/tell", headers={"Host": "other.example:8080"}),
        Ask("/remote/tell?a=%2F"),
        Ask("/remote/a%2Fb/caf%C3%A9//c"),
        Ask("/remote/tell", method="POST", body=b"sent on"),
        Ask("/remote/upload", method="PUT", body=b"y" * 200_000),
        Ask("/remote/download/length?2", method="HEAD"),
        Ask("/remote/download/chunks?3"),
        Ask("/remote/download/plain?1"),
        Ask("/remote/download/length?1", headers=GZIP),
        Ask("/remote/hints"),
        Ask("/remote/bare?204", 204),
        Ask("/remote/bare?304", 304),
        Ask("/remote/status?404", 404),
        Ask("/remote/noise", 502, "POST", body=b""),
    ),
)
TEXT = "/static/caf%C3%A9.txt"
DATE = {"If-Modified-Since": "Fri, 13 Nov 2026 00:00:00 GMT"}
BROTLI = {"Accept-Encoding": "br, gzip"}
STATIC = _all(
    (Ask(TEXT, headers=headers) for headers in ({}, GZIP, BROTLI, SHOP)),
    (Ask(TEXT, 200, "HEAD", headers) for headers in ({}, GZIP, {"Range": "bytes=0-1"})),
    (Ask(TEXT, 206, headers={"Range": f"bytes={given}"}) for given in ("0-0", "100-40099", "-1", "5-")),
    (
        Ask(TEXT, 206, headers={"Range": "bytes=1-3"} | BROTLI),
        Ask(TEXT, 416, headers={"Range": "bytes=60000-"}),
        Ask(TEXT, headers={"Range": "bytes=0-1,3-4"}),
        Ask(TEXT, headers={"Range": "bytes=0-1", "If-Range": '"other"'}),
        Ask(TEXT, 304, headers={"If-None-Match": "*"}),
        Ask(TEXT, 304, "HEAD", DATE),
        Ask(TEXT, 412, headers={"If-Match": '"other"'}),
        Ask("/static/app.0123abcd.js"),
        Ask("/static/empty.css"),
        Ask("/static/sub?q", 308),
        Ask("/static/sub/"),
        Ask("/static/none.txt"),
        Ask("/static/%2e%2e%2fpage.xsl", 401),
        Ask("/static/.hidden"),
        Ask(TEXT, method="POST", body=b"the app's"),
    ),
)
CHUNKED = [
    Ask("/tell", method="POST", body=[b"in ", b"c" * 100_000, b" chunks"], note="in chunks"),
    Ask("/tell", method="POST", body=[], note="in no chunk"),
    Ask("/remote/upload", method="POST", body=[b"sent ", b"on"]),
]
DOTS = [Ask("/tell/."), Ask("/tell/a/../b", 401), Ask("/remote/./tell", 400)]
RAISED = [Ask("/replaced", 503), Ask("/raising", 500, only_status=True)]
# While the file of `maintenance` is there.
DOWN = [
    Ask("/blocks", 503, note="down"), Ask("/blocks", 503, "HEAD", GZIP | SHOP, note="down"), Ask("/tell", note="down"),
]  # fmt: skip
