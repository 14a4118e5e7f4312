"""Files of an app by a real nginx and a real worker: which one sends what, the same to the client either way, and
nothing but what the app may give.

Who has sent a file is read in the front's log: `file` is its round if nginx did.
"""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from front_support import Answer, Client, Front, binaries, running
from worker_support import APPS, Worker, listening, listening_at

from hedgerow.control import releases
from hedgerow.worker.files import ADDED, KEPT

MODIFIED = 1_700_000_000
LATER, EARLIER = formatdate(MODIFIED + 1, usegmt=True), formatdate(MODIFIED - 1, usegmt=True)
LARGE = bytes(range(256)) * 1000
TEXT = b"0123456789" * 30
FILES = {
    "a.txt": TEXT,
    "app.js": b"let a = 1;" * 100,
    "app.js.gz": gzip.compress(b"let a = 1;" * 100),
    "app.js.br": b"by brotli",
    "app.js.zst": b"by zstandard",
    "app.3f9a01bc.js": b"hashed",
    "report-20240131.txt": b"a date",
    "new.css": b"new{}",
    "pin.svg": b"<svg/>",
    "font.woff2": b"font",
    "empty.txt": b"",
    "sub/b.css": b"b{}",
    "caf\xe9.txt": b"accent",
    "100% of.txt": b"percent",
    "q?.txt": b"question",
    "x;y.txt": b"semicolon",
    "a%2e%2eb.txt": b"looks encoded",
    "back\\slash.txt": b"backslash",
    "$uri.txt": b"dollar",
    ".hidden": b"SECRET",
    ".git/config": b"SECRET",
    "large.bin": LARGE,
}
DATA = {
    "large.bin": LARGE,
    "small.txt": TEXT,
    "private.bin": LARGE,
    "packed.gz": gzip.compress(os.urandom(100_000)),
    "sp ace.bin": LARGE,
    "line\nfeed.bin": LARGE,
}


@dataclass(frozen=True)
class Port:
    port: int


@dataclass
class Way:
    """A way to the app. app: the worker that runs it; front: None for a client that comes to the worker itself."""

    port: int
    app: Worker
    state: Path
    front: Front | None = None

    def ask(self, target: str, *lines: str, method: str = "GET", app: str = "/files") -> Answer:
        with Client(self.port) as client:
            client.head(method, app + target, *lines)
            return client.answer(method)

    def by_nginx(self, target: str, *lines: str) -> tuple[Answer, bool]:
        """The answer, and whether nginx has sent the file."""
        answer = self.ask(target, *lines)
        return answer, self.front is not None and self.front.line_of(answer)["round"] == "file"


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (MODIFIED, MODIFIED))


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    """In a place that nginx can reach also when its user is another, as root's is."""
    with short_folder() as place:
        place.chmod(0o755)
        yield filled(place)
        for folder, _, _ in os.walk(place):
            os.chmod(folder, 0o700)


def filled(place: Path) -> Path:
    """Two releases of the app, of which the second is served, and an app beside it. Secrets are everywhere else."""
    source, state = place / "apps" / "files", place / "state"
    shutil.copytree(APPS / "files", source, ignore=shutil.ignore_patterns("__pycache__"))
    write(source / "static", {"old.css": b"old{}", "app.0ld5eed5.js": b"old", "a.txt": b"not this one"})
    write(source / "data", DATA)
    releases.make(source, state)
    shutil.rmtree(source / "static")
    write(source / "static", FILES)
    (source / "static" / "in.txt").symlink_to("a.txt")
    write(source, {"secret.txt": b"SECRET", "static-too/d.txt": b"SECRET", "app.toml": b'data = ["media"]\n'})
    releases.make(source, state)
    write(place / "apps" / "other", {"app.py": b"application = None", "static/o.txt": b"SECRET"})
    releases.make(place / "apps" / "other", state)
    write(state, {"top.txt": b"SECRET", "data/other/o.bin": b"SECRET" * 20_000, "data/files-too/o.bin": b"SECRET"})
    write(place, {"outside.txt": b"SECRET"})
    data = state / "data" / "files" / "data"
    (data / "private.bin").chmod(0o600)
    (data / "out").symlink_to(place / "outside.txt")
    (data / "up").symlink_to(state)
    (data / "in").symlink_to("large.bin")
    os.mkfifo(data / "pipe")
    return state


def code(state: Path) -> Path:
    return state / "releases" / "files" / releases.kept(state, "files")[0] / "files"


@contextmanager
def worker(state: Path, run: Path, listener: socket.socket, **options: Any) -> Iterator[Worker]:
    settings = {"STATE": state, "TRUST_FRONT": "1"}
    run.mkdir(exist_ok=True)
    yield Worker(run, options.pop("apps", {"files": code(state)}), listener, "a", settings=settings, **options)


@contextmanager
def way_to(name: str, state: Path, folder: Path) -> Iterator[Way]:
    with ExitStack() as stack:
        listener = stack.enter_context(listening())
        served: dict[str, Any] = {"threads": name == "threads"}
        if name == "pool":
            run = stack.enter_context(short_folder())
            behind = stack.enter_context(listening_at(run / "p.sock"))
            pool = stack.enter_context(worker(state, run, behind, name="p", content={"behind": True, "pool": "own"}))
            forward = {"path": "/files", "host": "", "sockets": [behind.getsockname()]}
            served = {"apps": {}, "content": {"forwards": {"files": forward}}}
        started = stack.enter_context(worker(state, folder / "run", listener, **served))
        port, app = started.address[1], pool if name == "pool" else started
        if name == "alone":
            yield Way(port, app, state)
            return
        front = stack.enter_context(running(folder, binaries()[0], [Port(port)], state=state))
        yield Way(front.port, app, state, front)


@contextmanager
def short_folder() -> Iterator[Path]:
    """The path of a unix socket has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="hedgerow-") as place:
        yield Path(place)


@pytest.fixture(scope="module", params=["front", "alone", "pool", "threads"])
def way(request: pytest.FixtureRequest, state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    with way_to(request.param, state, tmp_path_factory.mktemp(request.param)) as found:
        yield found


# --- what a client gets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith((".", "app.js."))])
def test_a_public_file_is_sent(way: Way, name: str) -> None:
    """Whatever its name is made of; by nginx, if there is one; with the same head either way."""
    answer, by_nginx = way.by_nginx("/static/" + quote(name.encode()))
    assert (answer.status, answer.body) == (200, FILES[name])
    assert by_nginx == (way.front is not None)
    assert answer.header("Accept-Ranges") == ["bytes"]
    assert answer.header("Last-Modified") == [formatdate(MODIFIED, usegmt=True)]
    assert answer.header("Content-Length") == [str(len(answer.body))]
    assert len(answer.header("ETag")) == len(answer.header("X-Request-Id")) == len(answer.header("Content-Type")) == 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", 'text/plain; charset="utf-8"'),
        ("app.js", 'text/javascript; charset="utf-8"'),
        ("pin.svg", "image/svg+xml"),
        ("font.woff2", "font/woff2"),
        ("large.bin", "application/octet-stream"),
    ],
)
def test_it_has_its_type(way: Way, name: str, kind: str) -> None:
    assert way.ask(f"/static/{name}").header("Content-Type") == [kind]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.txt", "public, max-age=60"),
        ("app.3f9a01bc.js", "public, max-age=31536000, immutable"),
        ("report-20240131.txt", "public, max-age=60"),
        ("app.0ld5eed5.js", "public, max-age=60"),
    ],
)
def test_how_long_it_may_be_kept(way: Way, name: str, kept: str) -> None:
    assert way.ask(f"/static/{name}").header("Cache-Control") == [kept]


@pytest.mark.parametrize(
    ("accepted", "coding"), [("gzip, br", "br"), ("gzip", "gzip"), ("zstd;q=1, br;q=0", "zstd"), ("identity", "")]
)
def test_a_compressed_one_goes_to_who_takes_it(way: Way, accepted: str, coding: str) -> None:
    answer, by_nginx = way.by_nginx("/static/app.js", f"Accept-Encoding: {accepted}")
    end = {"br": ".br", "gzip": ".gz", "zstd": ".zst", "": ""}[coding]
    assert answer.body == FILES["app.js" + end]
    assert answer.header("Content-Encoding") == ([coding] if coding else [])
    assert answer.header("Vary") == ["Accept-Encoding"]
    assert answer.header("Content-Type") == ['text/javascript; charset="utf-8"']
    assert by_nginx == (way.front is not None)


def test_what_is_known_is_not_sent(way: Way) -> None:
    etag = way.ask("/static/a.txt").header("ETag")[0]
    for line, status in (
        (f"If-None-Match: {etag}", 304),
        (f'If-None-Match: "x", W/{etag}', 304),
        ("If-None-Match: *", 304),
        ('If-None-Match: "x"', 200),
        (f"If-Modified-Since: {LATER}", 304),
        (f"If-Modified-Since: {EARLIER}", 200),
        (f"If-Match: {etag}", 200),
        ('If-Match: "x"', 412),
        (f"If-Unmodified-Since: {LATER}", 200),
        (f"If-Unmodified-Since: {EARLIER}", 412),
    ):
        answer = way.ask("/static/a.txt", line)
        assert (answer.status, answer.body if status == 200 else b"") == (status, TEXT if status == 200 else b""), line
        if status == 304:
            assert answer.header("ETag") == [etag]
            assert answer.header("Cache-Control") == ["public, max-age=60"]
            assert answer.header("Content-Encoding") == []


def test_ranges(way: Way) -> None:
    first = way.ask("/static/large.bin")
    etag, modified = first.header("ETag")[0], first.header("Last-Modified")[0]
    size = len(LARGE)
    for lines, status, body in (
        (("Range: bytes=0-9",), 206, LARGE[:10]),
        (("Range: bytes=100-",), 206, LARGE[100:]),
        (("Range: bytes=-7",), 206, LARGE[-7:]),
        ((f"Range: bytes={size - 2}-{size + 5}",), 206, LARGE[-2:]),
        ((f"Range: bytes={size}-",), 416, None),
        (("Range: bytes=5-4",), None, None),
        (("Range: lines=1-2",), 200, LARGE),
        (("Range: bytes=0-9", f"If-Range: {etag}"), 206, LARGE[:10]),
        (("Range: bytes=0-9", 'If-Range: "x"'), 200, LARGE),
        (("Range: bytes=0-9", f"If-Range: {modified}"), 206, LARGE[:10]),
        (("Range: bytes=0-9", f"If-Range: {EARLIER}"), 200, LARGE),
    ):
        answer = way.ask("/static/large.bin", *lines)
        if status is None:  # no range at all, or one that cannot be had: RFC 9110 allows both
            assert answer.status in (200, 416)
            continue
        assert answer.status == status, lines
        assert body is None or answer.body == body, lines
        if status == 206:
            start = LARGE.find(body) if body == LARGE[:10] else size - len(body)
            assert answer.header("Content-Range") == [f"bytes {start}-{start + len(body) - 1}/{size}"]
            assert answer.header("ETag") == [etag]
        if status == 416:
            assert answer.header("Content-Range") == [f"bytes */{size}"]
            assert len(answer.header("X-Request-Id")) == 1


def test_several_ranges(way: Way) -> None:
    """nginx sends them one by one; a worker sends the whole."""
    answer = way.ask("/static/large.bin", "Range: bytes=0-1,10-12")
    if way.front is None:
        assert (answer.status, answer.body) == (200, LARGE)
    else:
        assert answer.status == 206
        assert answer.header("Content-Type")[0].startswith("multipart/byteranges; boundary=")
        assert LARGE[:2] in answer.body
        assert LARGE[10:13] in answer.body
        assert len(answer.body) < 1000


def test_head_is_the_head_of_get(way: Way) -> None:
    changing = ("date", "x-request-id", "connection", "server")
    for target in ("/static/a.txt", "/static/app.js", "/static/large.bin", "/static/empty.txt"):
        for lines in ((), ("Accept-Encoding: gzip",)):
            got, head = way.ask(target, *lines), way.ask(target, *lines, method="HEAD")
            assert (head.status, head.body) == (200, b"")
            told = [sorted((name.lower(), value) for name, value in each.headers) for each in (got, head)]
            kept = [[field for field in each if field[0] not in changing] for each in told]
            assert kept[0] == kept[1]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(way: Way, method: str) -> None:
    answer = way.ask("/static/a.txt", "Content-Length: 0", method=method)
    assert (answer.status, answer.header("Allow")) == (405, ["GET, HEAD"])
    assert way.ask("/static/none.txt", "Content-Length: 0", method=method).status == 404, "it is the app's"


def test_a_page_of_the_former_release_gets_its_files(way: Way) -> None:
    for name, content in (("old.css", b"old{}"), ("app.0ld5eed5.js", b"old")):
        answer, by_nginx = way.by_nginx(f"/static/{name}")
        assert (answer.status, answer.body) == (200, content)
        assert by_nginx == (way.front is not None)
    assert way.ask("/static/a.txt").body == TEXT, "the live release goes first"


def test_a_link_inside_is_followed(way: Way) -> None:
    assert way.ask("/static/in.txt").body == TEXT


# --- what nobody gets -------------------------------------------------------------------------------------------------

TRICKS = [
    "/static/../secret.txt",
    "/static/%2e%2e/secret.txt",
    "/static/.%2e/secret.txt",
    "/static/%2E%2E%2Fsecret.txt",
    "/static/..%2fsecret.txt",
    "/static/..%2Fapp.py",
    "/static/%252e%252e/secret.txt",
    "/static/%252e%252e%252fsecret.txt",
    "/static/..%5csecret.txt",
    "/static/..\\secret.txt",
    "/static/%2e%2e%5csecret.txt",
    "/static//../secret.txt",
    "/static//secret.txt",
    "/static//a.txt",
    "//static/a.txt",
    "/static/./a.txt",
    "/static/%2e/a.txt",
    "/static/sub/../../secret.txt",
    "/static/sub/%2e%2e/%2e%2e/secret.txt",
    "/static/sub/%2e%2e/a.txt",
    "/static/..;/secret.txt",
    "/static;/../secret.txt",
    "/static/a.txt;x",
    "/static/a.txt/",
    "/static/a.txt/.",
    "/static/a.txt%00.png",
    "/static/%00",
    "/static/a.txt%00",
    "/static/../secret.txt%00.txt",
    "/static/a.txt%20",
    "/static/a.txt%0a",
    "/static/a.txt%0d%0aX-Accel-Redirect:%20@file",
    "/static/.hidden",
    "/static/.git/config",
    "/static/%2egit/config",
    "/static/sub/",
    "/static/sub",
    "/static/",
    "/static",
    "/static-too/d.txt",
    "/static/../static-too/d.txt",
    "/static/%c0%ae%c0%ae/secret.txt",
    "/static/%e0%80%ae%e0%80%ae/secret.txt",
    "/static/%uff0e%uff0e/secret.txt",
    "/static/\uff0e\uff0e/secret.txt",
    "/static/%2e%2e/%2e%2e/%2e%2e/other/static/o.txt",
    "/static/../../../../../top.txt",
    "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/top.txt",
    "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2ftop.txt",
    "/static//etc/passwd",
    "/static/%2fetc%2fpasswd",
    "/static/file:///etc/passwd",
    "/STATIC/a.txt",
    "/static/A.TXT",
    "/static/app.js.gz",
    "/static/app.js.zst",
    "/%73tatic/%2e%2e/secret.txt",
    "/x/../static/../secret.txt",
    "/@file/static/a.txt",
]


@pytest.mark.parametrize("target", TRICKS)
def test_no_path_leads_elsewhere(way: Way, target: str) -> None:
    """What is not there is the app's 404, or a refusal before it is asked; never a file."""
    with Client(way.port) as client:
        client.send(b"GET /files" + target.encode() + b" HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n")
        answer = client.answer()
    assert answer.status in (400, 404), answer.body
    assert b"SECRET" not in answer.body
    assert b"root:" not in answer.body
    assert TEXT not in answer.body


@pytest.mark.parametrize("name", ["X-Hedgerow-Files", "X-Accel-File", "X-Accel-Redirect", "X_Hedgerow_Files"])
def test_a_client_cannot_say_what_front_and_worker_say(way: Way, name: str) -> None:
    """Without a front that cleans it, a worker that trusts one believes it: such addresses are for the front alone."""
    answer = way.ask("/static/a.txt", f"{name}: /top.txt")
    if way.front is not None:
        assert (answer.status, answer.body) == (200, TEXT)
    assert b"SECRET" not in answer.body


@pytest.mark.parametrize(
    "target", ["/static/a.txt", "/static/none", "/redirect?to=/data/large.bin", "/wrapped/large.bin", "/redirect?to=/x"]
)
def test_no_word_for_the_front_reaches_a_client(way: Way, target: str) -> None:
    names = {name.lower() for name, _ in way.ask(target).headers}
    if way.front is None:  # a worker that trusts its front tells it why a page is not the app's
        names.discard("x-hedgerow-cause")
    assert not [name for name in names if name.startswith(("x-accel", "x-hedgerow"))]


# --- files of the app's own -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "to", ["/data/large.bin", "{data}/large.bin", "{code}/data/large.bin", "/data/sp%20ace.bin", "/data/in"]
)
def test_an_app_names_a_file(way: Way, to: str) -> None:
    to = to.format(data=way.state / "data" / "files" / "data", code=code(way.state))
    answer, by_nginx = way.by_nginx(f"/redirect?to={quote(to)}&more=Content-Disposition:attachment&more=Set-Cookie:a=1")
    assert (answer.status, answer.body) == (200, LARGE)
    assert by_nginx == (way.front is not None)
    for name, value in (
        ("Content-Type", "text/x-own"), ("Content-Disposition", "attachment"), ("Set-Cookie", "a=1")
    ):  # fmt: skip
        assert answer.header(name) == [value]
    part = way.ask(f"/redirect?to={quote(to)}", "Range: bytes=5-9")
    assert (part.status, part.body) == (206, LARGE[5:10])
    none = way.ask(f"/redirect?to={quote(to)}", f"Range: bytes={len(LARGE)}-")
    assert (none.status, none.header("Content-Range")) == (416, [f"bytes */{len(LARGE)}"])


@pytest.mark.parametrize(
    "to",
    [
        "/data/none.bin",
        "/data/../../../../../top.txt",
        "/data/..%2f..%2f..%2f..%2f..%2ftop.txt",
        "/data/%252e%252e/%252e%252e/top.txt",
        "/data/out",
        "/data/up/top.txt",
        "/data/pipe",
        "/data/",
        "/data/large.bin%00",
        "/data/large.bin%0a",
        "/etc/passwd",
        "{state}/top.txt",
        "{state}/data/other/o.bin",
        "{state}/data/files/../other/o.bin",
        "{state}/data/files-too/o.bin",
        "{state}/data/files/data/up/top.txt",
        "//data//..//..//..//..//..//top.txt",
        "/proc/self/environ",
        "/files/static/a.txt",
    ],
)
def test_an_app_names_none_but_its_own(way: Way, to: str) -> None:
    """It is told so by a 500 and a line in the log: an empty page would be taken for the file."""
    to = to.format(state=way.state)
    answer = way.ask(f"/redirect?to={quote(to)}")
    assert answer.status == 500
    assert b"SECRET" not in answer.body


def test_the_log_tells_which_file_was_not_its_own(way: Way) -> None:
    way.ask("/redirect?to=/etc/shadow")
    told = way.app.lines("names '/etc/shadow'")
    assert any("no file in the app's releases or data" in line.get("traceback", "") for line in told)


def test_what_is_no_path_is_not_the_apps_to_say(way: Way) -> None:
    for to in ("@refused", "@file", "@last", "x"):
        answer = way.ask(f"/redirect?to={to}")
        assert (answer.status, answer.body) == (200, b""), "as ever: the field is dropped"


def test_a_redirect_that_comes_too_late_is_an_error(way: Way) -> None:
    assert way.ask("/late/large.bin").status == 500


def test_a_status_of_the_apps_own_is_kept(way: Way) -> None:
    answer, by_nginx = way.by_nginx("/redirect?to=/data/large.bin&status=404+Gone", "Range: bytes=0-1")
    assert (answer.status, answer.body, by_nginx) == (404, LARGE, False)


# Who sends what the app gives open: target, lines, by nginx.
WRAPPED = [
    ("/wrapped/large.bin", (), True),
    ("/wrapped/large.bin?kind=raw", (), True),
    ("/wrapped/in", (), True),
    ("/wrapped/large.bin?more=Vary:Cookie&more=ETag:%22mine%22&more=Link:x", (), True),
    (f"/wrapped/large.bin?more=Content-Length:{len(LARGE)}", (), True),
    ("/wrapped/large.bin?more=X-Own:1", (), False),
    ("/wrapped/large.bin?more=Accept-Ranges:none", (), False),
    (f"/wrapped/large.bin?more=Last-Modified:{quote(LATER)}", (), False),
    ("/wrapped/large.bin", ("If-Match: *",), False),
    ("/wrapped/line%0afeed.bin", (), False),
]


@pytest.mark.parametrize(("target", "lines", "expected"), WRAPPED)
def test_a_whole_file_that_an_app_gives_open(way: Way, target: str, lines: tuple[str, ...], expected: bool) -> None:
    answer, by_nginx = way.by_nginx(target, *lines)
    assert (answer.status, answer.body) == (200, LARGE)
    assert by_nginx == (expected and way.front is not None)
    assert answer.header("Content-Type") == ["text/x-own"]
    for name, value in (("Vary", "Cookie"), ("ETag", '"mine"'), ("Link", "x"), ("X-Own", "1")):
        if f"more={name}:" in target:
            assert answer.header(name) == [value]


def test_what_is_no_whole_file_comes_from_the_worker(way: Way) -> None:
    """A small one, the rest of one, another content than its descriptor has, one that is deleted, one of nobody's."""
    data = way.state / "data" / "files" / "data"
    write(data, {"gone.bin": LARGE})
    for target, body in (
        ("small.txt", TEXT),
        ("large.bin?skip=5", LARGE[5:]),
        ("packed.gz?kind=gzip", gzip.decompress(DATA["packed.gz"])),
        ("gone.bin?gone=1", LARGE),
        ("up/data/other/o.bin", b"SECRET" * 20_000),
    ):
        answer, by_nginx = way.by_nginx(f"/wrapped/{target}")
        assert (answer.status, answer.body, by_nginx) == (200, body, False), target


def test_another_method_is_answered_by_the_worker(way: Way) -> None:
    answer = way.ask("/wrapped/large.bin", "Content-Length: 0", method="POST")
    assert (answer.status, answer.body) == (200, LARGE)
    answer = way.ask("/redirect?to=/data/large.bin", "Content-Length: 0", "Range: bytes=0-1", method="POST")
    assert (answer.status, answer.body) == (200, LARGE)


# --- nginx and worker agree -------------------------------------------------------------------------------------------


def test_the_snippet_has_the_fields_that_the_worker_leaves_to_it() -> None:
    text = (Path(__file__).parents[2] / "nginx" / "snippets" / "files.conf").read_text()
    added = {line.split()[1].lower() for line in text.splitlines() if line.strip().startswith("add_header")}
    assert added == ADDED
    assert not ADDED & KEPT
