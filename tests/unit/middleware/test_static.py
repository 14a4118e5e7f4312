"""Static files: what is there and what is not, what is sent of it, and that no file stays open."""

from __future__ import annotations

import gzip
import os
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

import pytest
from asking_middleware import Answer, App, ask

from hedgerow.middleware.compress import Compress
from hedgerow.middleware.conditional import Known, wanted
from hedgerow.middleware.sending import Part
from hedgerow.middleware.static import Static

BODY = b"0123456789" * 30
MODIFIED = 1_700_000_000
DATE, LATER, EARLIER = (formatdate(MODIFIED + by, usegmt=True) for by in (0, 1, -1))


@pytest.fixture(params=["listed", "looked for"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """In both ways to find a file."""
    made = tmp_path / "shown"
    for name in ("a.txt", "sub/index.html", "sub/b.css", "app.3f9a01bc.js", "caf\xe9 %.txt", ".well-known/c.txt"):
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(BODY)
        os.utime(path, (MODIFIED, MODIFIED + 0.5))
    (made / "empty").mkdir()
    (made / ".env").write_text("secret")
    (made / ".git").mkdir()
    (made / ".git" / "config").write_text("secret")
    (tmp_path / "outside.txt").write_text("secret")
    (tmp_path / "shown-too").mkdir()
    (tmp_path / "shown-too" / "d.txt").write_text("secret")
    (made / "out.txt").symlink_to(tmp_path / "outside.txt")
    (made / "out").symlink_to(tmp_path)
    (made / "around").symlink_to(made)
    (made / "in.txt").symlink_to(made / "a.txt")
    os.mkfifo(made / "pipe")
    return made, {"folder": made, "changing": request.param == "looked for"}


def of(options: dict[str, Any], path: str, *given: Any, app: App | None = None, **fields: Any) -> Answer:
    """path: percent-encoded."""
    decoded = unquote_to_bytes(path).decode("latin-1")
    return ask(lambda inner: Static(inner, **options), app or App(status="404 No File"), decoded, *given, **fields)


def is_the_apps(answer: Answer) -> bool:
    return (answer.status, answer.body) == ("404 No File", b"hello")


def test_a_file_is_sent_with_all_that_a_cache_needs(folder: tuple[Path, dict[str, Any]]) -> None:
    answer = of(folder[1], "/a.txt")
    assert (answer.status, answer.body) == ("200 OK", BODY)
    etag = f'"{(MODIFIED * 10**9 + 500_000_000):x}-12c"'
    assert sorted(answer.headers) == [
        ("Accept-Ranges", "bytes"), ("Cache-Control", "max-age=60"), ("Content-Length", "300"),
        ("Content-Type", 'text/plain; charset="utf-8"'), ("ETag", etag), ("Last-Modified", DATE),
    ]  # fmt: skip
    head = of(folder[1], "/a.txt", "HEAD")
    assert (head.status, sorted(head.headers), head.body) == ("200 OK", sorted(answer.headers), b"")


def test_paths(folder: tuple[Path, dict[str, Any]]) -> None:
    for path in ("/sub/b.css", "/caf%C3%A9%20%25.txt", "/.well-known/c.txt", "/in.txt", "/sub/index.html"):
        assert of(folder[1], path).body == BODY, path
    below = folder[1] | {"path": "/static"}
    assert of(below, "/static/sub/b.css")["Content-Type"].startswith("text/css")
    for path in ("/sub/b.css", "/static", "/static/", "/staticsub/b.css", "/static//sub/b.css"):
        assert is_the_apps(of(below, path)), path


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.txt", "/sub/../../outside.txt", "/%2e%2e/outside.txt", "/..%2foutside.txt", "/..%5coutside.txt",
        "/sub/..%2f..%2foutside.txt", "/sub/../a.txt", "/./a.txt", "//a.txt", "/sub//b.css", "/sub%2f/b.css",
        "/a.txt%00", "/a.txt%00.css", "/%00", "/..%00/outside.txt", "/..%c0%af..%c0%afoutside.txt", "/sub\\b.css",
        "/out.txt", "/out/outside.txt", "/out/shown/a.txt", "/around/a.txt", "/shown-too/d.txt", "/../shown-too/d.txt",
        "/.env", "/.git/config", "/sub/../.env", "/pipe", "/a.txt/", "/a.txt/x", "/A.TXT", "/sub", "/sub/", "/empty/",
        "/", "", "/nothing", "/%ff", "/" + "l" * 300, "/" + "l/" * 3000, "//etc/passwd", "/caf%E9%20%25.txt",
    ],
)  # fmt: skip
def test_nothing_else_is_found(folder: tuple[Path, dict[str, Any]], path: str) -> None:
    for index in (False, True):
        if not (index and path in ("/sub", "/sub/")):
            assert is_the_apps(of(folder[1] | {"index": index}, path)), path


def test_an_absolute_path_is_none_below_the_mount_either(folder: tuple[Path, dict[str, Any]]) -> None:
    target = str(folder[0] / "a.txt")
    for path in (target, "/" + target, "/sub/" + target, "/static/" + target):
        assert is_the_apps(of(folder[1] | {"path": "/static"}, path)), path


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_the_apps(folder: tuple[Path, dict[str, Any]], method: str) -> None:
    app = App(status="404 No File")
    assert is_the_apps(of(folder[1], "/a.txt", method, app=app))
    assert (app.seen[0]["PATH_INFO"], app.closed) == ("/a.txt", 1)


def test_an_index_is_at_the_path_of_its_folder(folder: tuple[Path, dict[str, Any]]) -> None:
    options = folder[1] | {"index": True}
    assert of(options, "/sub/").body == BODY

    def mounted(app: Any) -> Any:
        def wrapped(environ: Any, start_response: Any) -> Any:
            environ |= {"SCRIPT_NAME": "/caf\xc3\xa9", "QUERY_STRING": "a=%20"}
            return Static(app, **options)(environ, start_response)

        return wrapped

    for path in ("/sub", "/sub/index.html"):
        answer = ask(mounted, App(), path)
        assert (answer.status, answer["Location"]) == ("308 Permanent Redirect", "/caf%C3%A9/sub/?a=%20"), path
    (folder[0] / "index.html").write_text("the root")
    assert of(options, "/").body == b"the root"
    assert ask(mounted, App(), "")["Location"] == "/caf%C3%A9/?a=%20"


def test_what_a_cache_may_keep(folder: tuple[Path, dict[str, Any]]) -> None:
    options = folder[1] | {"max_age": 0, "immutable": r"\.[0-9a-f]{8,}\."}
    assert of(options, "/a.txt")["Cache-Control"] == "max-age=0"
    assert of(options, "/app.3f9a01bc.js")["Cache-Control"] == "max-age=31536000, immutable"


# --- compressed beside it ---------------------------------------------------------------------------------------------


def test_what_lies_compressed_beside_it_goes_to_who_takes_it(folder: tuple[Path, dict[str, Any]]) -> None:
    (folder[0] / "a.txt.gz").write_bytes(gzip.compress(BODY))
    (folder[0] / "sub" / "b.css.gz").write_bytes(b"by gzip")
    (folder[0] / "sub" / "b.css.br").write_bytes(b"by brotli")
    (folder[0] / "alone.gz").write_bytes(b"no variant of anything")
    told = {
        accepted: (answer.body, answer["Content-Encoding"], answer["Vary"])
        for accepted in ("", "gzip", "br, gzip", "gzip;q=1, br;q=0", "*", "identity", "gzip;q=0, zstd")
        for answer in [of(folder[1], "/sub/b.css", Accept_Encoding=accepted)]
    }
    plain = (BODY, "", "Accept-Encoding")
    by_gzip, by_brotli = (b"by gzip", "gzip", "Accept-Encoding"), (b"by brotli", "br", "Accept-Encoding")
    assert list(told.values()) == [plain, by_gzip, by_brotli, by_gzip, by_brotli, plain, plain]
    answer = of(folder[1], "/a.txt", Accept_Encoding="gzip")
    assert gzip.decompress(answer.body) == BODY
    assert answer["Content-Type"] == 'text/plain; charset="utf-8"'
    etags = {answer["ETag"], of(folder[1], "/a.txt")["ETag"]}
    assert len(etags) == 2, "other bytes, another ETag"
    assert (of(folder[1], "/alone.gz").body, is_the_apps(of(folder[1], "/a.txt.gz"))) == (
        b"no variant of anything",
        True,
    )
    assert of(folder[1], "/in.txt")["Vary"] == ""


# --- what the client knows --------------------------------------------------------------------------------------------

KNOWN = Known('"e"', MODIFIED, 300)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"If_None_Match": '"e"'}, 304),
        ({"If_None_Match": 'W/"e"'}, 304),
        ({"If_None_Match": '"a", W/"b" ,"e"'}, 304),
        ({"If_None_Match": '"a,e"'}, 200),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": "e"}, 200),
        ({"If_None_Match": '"other"', "If_Modified_Since": LATER}, 200),
        ({"If_None_Match": '"e"', "If_Modified_Since": EARLIER}, 304),
        ({"If_Modified_Since": DATE}, 304),
        ({"If_Modified_Since": LATER}, 304),
        ({"If_Modified_Since": EARLIER}, 200),
        ({"If_Modified_Since": "yesterday"}, 200),
        ({"If_Modified_Since": "Mon, 99 Nov 99999 99:99:99 GMT"}, 200),
        ({"If_Match": '"e"'}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": 'W/"e"'}, 412),
        ({"If_Match": '"other"', "If_None_Match": '"e"'}, 412),
        ({"If_Unmodified_Since": DATE}, 200),
        ({"If_Unmodified_Since": EARLIER}, 412),
        ({"If_Unmodified_Since": "?"}, 200),
        ({"If_None_Match": '"e"', "Range": "bytes=0-1"}, 304),
    ],
)
def test_what_is_known_is_not_sent(fields: dict[str, str], status: int) -> None:
    for method in ("GET", "HEAD"):
        environ = {"REQUEST_METHOD": method} | {"HTTP_" + name.upper(): value for name, value in fields.items()}
        assert wanted(environ, KNOWN).status == status


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("bytes=0-0", (206, 0, 1)),
        ("bytes=0-", (206, 0, 300)),
        ("bytes=299-", (206, 299, 300)),
        ("bytes=290-9999", (206, 290, 300)),
        ("bytes=-1", (206, 299, 300)),
        ("bytes=-9999", (206, 0, 300)),
        ("Bytes = 1-2", (206, 1, 3)),
        ("bytes=1-2,", (206, 1, 3)),
        ("bytes=300-", (416, 0, 0)),
        ("bytes=999-1000", (416, 0, 0)),
        ("bytes=-0", (416, 0, 0)),
        ("bytes=2-1", (200, 0, 300)),
        ("bytes=0-1,5-6", (200, 0, 300)),
        ("bytes=--1", (200, 0, 300)),
        ("bytes=a-b", (200, 0, 300)),
        ("bytes=-", (200, 0, 300)),
        ("lines=0-1", (200, 0, 300)),
        ("bytes=\u0661-", (200, 0, 300)),
        ("bytes=" + "1" * 5000 + "-", (200, 0, 300)),
    ],
)
def test_ranges(given: str, found: tuple[int, int, int]) -> None:
    assert wanted({"REQUEST_METHOD": "GET", "HTTP_RANGE": given}, KNOWN) == found
    assert wanted({"REQUEST_METHOD": "HEAD", "HTTP_RANGE": given}, KNOWN) == (200, 0, 300)


def test_a_range_of_nothing_cannot_be_had() -> None:
    nothing = KNOWN._replace(size=0)
    assert [
        wanted({"REQUEST_METHOD": "GET", "HTTP_RANGE": given}, nothing).status
        for given in ("bytes=0-", "bytes=0-5", "bytes=-5")
    ] == [416, 416, 416]


@pytest.mark.parametrize(
    ("given", "status"), [('"e"', 206), (DATE, 206), ('W/"e"', 200), ('"other"', 200), (LATER, 200), ("", 200)]
)
def test_a_range_is_of_what_the_client_has_the_rest_of(given: str, status: int) -> None:
    asked = {"REQUEST_METHOD": "GET", "HTTP_RANGE": "bytes=1-2", "HTTP_IF_RANGE": given}
    assert wanted(asked, KNOWN).status == status


def test_ranges_and_validators_of_a_file(folder: tuple[Path, dict[str, Any]]) -> None:
    whole = of(folder[1], "/a.txt")
    part = of(folder[1], "/a.txt", Range="bytes=295-", If_Range=whole["ETag"])
    assert (part.status, part.body) == ("206 Partial Content", b"56789")
    assert (part["Content-Range"], part["Content-Length"]) == ("bytes 295-299/300", "5")
    beyond = of(folder[1], "/a.txt", Range="bytes=300-")
    assert (beyond.status[:3], beyond["Content-Range"]) == ("416", "bytes */300")
    known = of(folder[1], "/a.txt", If_None_Match=whole["ETag"])
    assert (known.status, known.body) == ("304 Not Modified", b"")
    assert sorted(known.headers) == [
        (name, whole[name]) for name in ("Cache-Control", "ETag", "Last-Modified")
    ]  # fmt: skip


# --- files that change, and servers -----------------------------------------------------------------------------------


def test_the_head_is_true_of_a_file_that_was_replaced(folder: tuple[Path, dict[str, Any]]) -> None:
    made = Static(App(status="404 No File"), **folder[1])
    before = ask(lambda _: made, App(), "/a.txt")
    (folder[0] / "a.txt").write_bytes(b"shorter")
    after = ask(lambda _: made, App(), "/a.txt", If_None_Match=before["ETag"])
    assert (after.body, after["Content-Length"]) == (b"shorter", "7")
    (folder[0] / "a.txt").unlink()
    assert is_the_apps(ask(lambda _: made, App(), "/a.txt"))
    (folder[0] / "new.txt").write_bytes(b"new")
    assert is_the_apps(ask(lambda _: made, App(), "/new.txt")) is not folder[1]["changing"]


class Wrapper(FileWrapper):
    """A server's. It knows what it was given."""

    given: list[Any] = []  # noqa: RUF012

    def __init__(self, file: Any, block_size: int = 8192) -> None:
        super().__init__(file, block_size)
        self.given.append(file)


@pytest.mark.parametrize("wrapper", [None, Wrapper])
@pytest.mark.parametrize("given", ["", "bytes=10-19"])
def test_a_file_is_open_only_while_it_is_sent(folder: tuple[Path, dict[str, Any]], given: str, wrapper: Any) -> None:
    app = Static(App(), **folder[1])
    asked = {"REQUEST_METHOD": "GET", "PATH_INFO": "/a.txt", "HTTP_RANGE": given}
    asked |= {"wsgi.file_wrapper": wrapper} if wrapper else {}
    before = opened()
    body = app(asked, lambda status, headers, exc_info=None: print)  # type: ignore[arg-type, return-value]
    assert opened() == before + 1
    assert next(iter(body)) == (BODY[10:20] if given else BODY)
    body.close()  # type: ignore[attr-defined]
    assert opened() == before
    if wrapper:
        assert isinstance(Wrapper.given.pop(), Part) is bool(given)
    for quiet in ({"HTTP_IF_NONE_MATCH": "*"}, {"REQUEST_METHOD": "HEAD"}, {"HTTP_IF_MATCH": '"no"'}):
        app(asked | quiet, lambda status, headers, exc_info=None: print)  # type: ignore[arg-type, return-value]
        assert opened() == before

    def refuse(status: str, headers: Any, exc_info: Any = None) -> Any:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        app(asked, refuse)
    assert opened() == before


def test_middleware_around_it_gets_a_body_also_behind_a_front(folder: tuple[Path, dict[str, Any]]) -> None:
    """A word to the front is for the outermost layer; and the folder may be one that the front cannot reach."""

    def behind(app: Any) -> Any:
        made = Compress(Static(app, **folder[1]), minimum=10)
        return lambda environ, start_response: made({**environ, "hedgerow.files": "0"}, start_response)

    plain = ask(behind, App(), "/a.txt")
    assert (plain.body, plain["X-Accel-Redirect"], plain["Vary"]) == (BODY, "", "Accept-Encoding")
    packed = ask(behind, App(), "/a.txt", Accept_Encoding="gzip")
    assert (gzip.decompress(packed.body), packed["X-Accel-Redirect"]) == (BODY, "")
    assert (packed["Content-Encoding"], packed["Vary"]) == ("gzip", "Accept-Encoding")


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no folder 'nowhere'"):
        Static(App(), folder=tmp_path / "nowhere")
