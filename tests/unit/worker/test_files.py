"""Which files the front is left to send: by what the file is, by who may read it, and by what the head says."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from hedgerow.http.response import ResponseHead
from hedgerow.pep3333.bridge import AppError
from hedgerow.pep3333.environ import FileWrapper
from hedgerow.worker.files import SMALLEST_BYTES, Files

US = str(os.geteuid())
TOLD = ("X-Accel-Redirect: @file", "X-Accel-File: /data/shop/a.bin")


@pytest.fixture
def state() -> Iterator[Path]:
    """Where others may read."""
    with tempfile.TemporaryDirectory() as place:
        for name in (".", "state", "state/data", "state/data/shop"):
            (Path(place) / name).mkdir(exist_ok=True)
            (Path(place) / name).chmod(0o755)
        made = Path(place) / "state"
        (made / "data" / "shop" / "a.bin").write_bytes(bytes(SMALLEST_BYTES))
        yield made


def files(state: Path) -> Files:
    return Files(state, "shop", state.parent)


def lines(state: Path, fields: list[tuple[str, str]], wrapper: Any = None, **asked: str) -> tuple[str, ...] | None:
    """What tells the front; () if the worker sends it in another way, None if it goes on as it is."""
    environ = {"REQUEST_METHOD": "GET", "hedgerow.files": US} | asked
    answer = files(state)(environ, "200 OK", ResponseHead("200 OK", fields), wrapper)
    return None if answer is None else answer[1]


def test_a_file_of_the_apps_data(state: Path) -> None:
    path = str(state / "data" / "shop" / "a.bin")
    assert lines(state, [("X-Accel-Redirect", path)]) == TOLD
    with open(path, "rb") as file:
        assert lines(state, [], FileWrapper(file)) == TOLD
        file.read(1)
        assert lines(state, [], FileWrapper(file)) is None
    with open(path, "r+b") as file:  # what it has written may not be in the file yet
        assert lines(state, [], FileWrapper(file)) is None


def test_a_small_wrapped_one_leaves_with_its_head(state: Path) -> None:
    path = state / "data" / "shop" / "b.bin"
    path.write_bytes(bytes(SMALLEST_BYTES - 1))
    with open(path, "rb") as file:
        assert lines(state, [], FileWrapper(file)) is None


@pytest.mark.parametrize("asked", [{"hedgerow.files": ""}, {"REQUEST_METHOD": "POST"}, {"HTTP_IF_MATCH": "*"}])
def test_the_front_cannot(state: Path, asked: dict[str, str]) -> None:
    path = state / "data" / "shop" / "a.bin"
    assert lines(state, [("X-Accel-Redirect", str(path))], **asked) == ()
    with open(path, "rb") as file:
        assert lines(state, [], FileWrapper(file), **asked) is None


def test_no_path_is_looked_up_where_no_front_sends(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where a descriptor has no path to be read, as on every system but Linux, the worker sends."""

    def refuse(*given: Any) -> Any:
        raise FileNotFoundError(given)

    monkeypatch.setattr(os, "readlink", refuse)
    with open(state / "data" / "shop" / "a.bin", "rb") as file:
        assert lines(state, [], FileWrapper(file)) is None
    assert lines(state, [], FileWrapper(file), **{"hedgerow.files": ""}) is None, "nor is the file asked, now closed"


class Fickle(Files):
    """A file that is deleted as soon as its path is known."""

    def asked(self, target: str) -> str:
        return self._deleted(super().asked(target))

    def _wrapped(self, wrapper: FileWrapper | None, head: ResponseHead) -> str | None:
        found = super()._wrapped(wrapper, head)
        assert found is not None
        return self._deleted(found)

    def _deleted(self, path: str) -> str:
        os.unlink(path)
        return path


def test_a_file_that_goes_in_between(state: Path) -> None:
    """What is open is still sent; of what is only named the app's log says that it cannot be read."""
    path, fickle = state / "data" / "shop" / "a.bin", Fickle(state, "shop", state.parent)
    environ = {"REQUEST_METHOD": "GET", "hedgerow.files": "other"}
    with open(path, "rb") as file:
        assert fickle(environ, "200 OK", ResponseHead("200 OK", []), FileWrapper(file)) is None
        assert len(file.read()) == SMALLEST_BYTES
    path.write_bytes(b"a")
    with pytest.raises(AppError, match="cannot be read"):
        fickle(environ, "200 OK", ResponseHead("200 OK", [("X-Accel-Redirect", str(path))]), None)
    assert files(state).lines(str(path), "other") == ()
    with pytest.raises(AppError):
        files(state).told("/data/shop/a.bin", "other")


def test_a_name_that_a_field_cannot_hold(state: Path) -> None:
    """nginx takes off blanks at the end of a field."""
    for name in ("b ", "b\n", "b\x7f"):
        (state / "data" / "shop" / name).write_bytes(b"b")
        assert files(state).lines(str(state / "data" / "shop" / name), US) == ()
    (state / "data" / "shop" / " b").write_bytes(b"b")
    assert files(state).lines(str(state / "data" / "shop" / " b"), US)[1] == "X-Accel-File: /data/shop/ b"


@pytest.mark.parametrize(
    ("what", "mode"), [("data/shop/a.bin", 0o640), ("data/shop", 0o750), (".", 0o700), ("..", 0o711)]
)
def test_another_user_may_not_read_it(state: Path, what: str, mode: int) -> None:
    """The worker's own may."""
    (state / what).chmod(mode)
    fields = [("X-Accel-Redirect", str(state / "data" / "shop" / "a.bin"))]
    assert lines(state, fields) == TOLD
    assert lines(state, fields, **{"hedgerow.files": "other"}) == (TOLD if mode == 0o711 else ())


def test_what_lies_outside_of_the_state_is_not_the_fronts(state: Path) -> None:
    (state.parent / "app.bin").write_bytes(bytes(SMALLEST_BYTES))
    assert lines(state, [("X-Accel-Redirect", "/app.bin")]) == (), "the app's own, by the worker"


@pytest.mark.parametrize(
    ("field", "by_front"),
    [
        (("Content-Type", "text/plain"), True),
        (("vary", "Cookie"), True),
        (("Accept-Ranges", "bytes"), True),
        (("Accept-Ranges", "none"), False),
        (("Date", "x"), True),
        (("Last-Modified", formatdate(5, usegmt=True)), True),
        (("Last-Modified", formatdate(6, usegmt=True)), False),
        (("Content-Range", "bytes 0-1/2"), False),
        (("X-Own", "1"), False),
    ],
)
def test_nothing_of_the_head_is_lost(state: Path, field: tuple[str, str], by_front: bool) -> None:
    path = state / "data" / "shop" / "a.bin"
    os.utime(path, (5, 5))
    assert lines(state, [field, ("X-Accel-Redirect", str(path))]) == (TOLD if by_front else ())


@pytest.mark.parametrize(
    ("given", "by_front"),
    [
        ("bytes=0-0", True),
        ("bytes=5-", True),
        ("bytes=-7", True),
        ("bytes=0-1, 5-6,-1", True),
        (f"bytes={SMALLEST_BYTES - 1}-{SMALLEST_BYTES + 9}", True),
        (f"bytes={SMALLEST_BYTES}-", False),
        ("bytes=9999999-,8888888-", False),
        ("bytes=0-1,9999999-", False),
        ("bytes=5-4", False),
        ("bytes=-0", False),
        ("bytes=0-1,", False),
        ("bytes=" + "9" * 30 + "-" + "9" * 30, False),
        ("bytes=x", False),
        ("lines=0-1", False),
    ],
)
def test_a_range_that_nginx_may_refuse_is_not_left_to_it(state: Path, given: str, by_front: bool) -> None:
    """Its own 416 has some fields twice."""
    fields = [("X-Accel-Redirect", str(state / "data" / "shop" / "a.bin"))]
    assert lines(state, fields, HTTP_RANGE=given) == (TOLD if by_front else ())


SENT = "Sat, 01 Jan 2000 00:00:00 GMT"
BEFORE, AFTER = "Fri, 31 Dec 1999 23:59:59 GMT", "Sat, 01 Jan 2000 00:00:01 GMT"
OWN = [("ETag", '"v1"'), ("Last-Modified", SENT)]


@pytest.mark.parametrize(
    ("fields", "asked", "status"),
    [
        (OWN, {"IF_MATCH": '"v1"'}, 200),
        (OWN, {"IF_MATCH": '"v2"'}, 412),
        ([("ETag", 'W/"v1"')], {"IF_MATCH": 'W/"v1"'}, 412),
        (OWN, {"IF_UNMODIFIED_SINCE": SENT}, 200),
        (OWN, {"IF_UNMODIFIED_SINCE": BEFORE}, 412),
        (OWN, {"IF_NONE_MATCH": '"v1"'}, 304),
        (OWN, {"IF_NONE_MATCH": '"v2"'}, 200),
        (OWN, {"IF_MODIFIED_SINCE": SENT}, 304),
        (OWN, {"IF_MODIFIED_SINCE": BEFORE}, 200),
        ([], {"IF_NONE_MATCH": "*"}, 200),
        ([], {"IF_MODIFIED_SINCE": AFTER}, 200),
        (OWN[:1], {"IF_MODIFIED_SINCE": AFTER}, 200),
        (OWN[1:], {"IF_NONE_MATCH": "*"}, 200),
        (OWN, {"RANGE": "bytes=0-1", "IF_RANGE": '"v1"'}, 206),
        (OWN, {"RANGE": "bytes=0-1", "IF_RANGE": SENT}, 206),
        (OWN, {"RANGE": "bytes=0-1", "IF_RANGE": '"v2"'}, 200),
        ([("ETag", 'W/"v1"')], {"RANGE": "bytes=0-1", "IF_RANGE": 'W/"v1"'}, 200),
        ([], {"RANGE": "bytes=0-1", "IF_RANGE": ""}, 200),
        (OWN, {"RANGE": "bytes=9999999-"}, 416),
    ],
)
def test_what_the_app_says_of_its_file_is_what_counts(
    state: Path, fields: list[tuple[str, str]], asked: dict[str, str], status: int
) -> None:
    """Where the worker sends it: the file was changed long before, and its own validators are not the app's."""
    path = state / "data" / "shop" / "a.bin"
    os.utime(path, (5, 5))
    given = [("Content-Type", "video/x"), ("Content-Encoding", "x"), ("Cache-Control", "max-age=9"), *fields]
    head = ResponseHead("200 OK", [*given, ("X-Accel-Redirect", str(path))])
    environ = {"REQUEST_METHOD": "GET"} | {f"HTTP_{name}": value for name, value in asked.items()}
    answer = files(state)(environ, "200 OK", head, None)
    assert answer is not None
    told: list[Any] = []
    body = answer[0](environ, lambda *line: told.append(line))
    getattr(body, "close", lambda: None)()
    (line, headers), found = told[0], dict(told[0][1])
    assert (int(line[:3]), len(found)) == (status, len(headers))
    assert found.get("ETag") == dict(fields).get("ETag"), "none that the app does not know"
    if status in (412, 416):
        assert found["Content-Type"] == "text/plain; charset=utf-8"
        assert not {"Content-Encoding", "Cache-Control"} & set(found)
    else:
        assert set(given) <= set(headers)
        assert found["Last-Modified"] == dict(fields).get("Last-Modified", formatdate(5, usegmt=True))


@pytest.mark.parametrize("inside", ["/data/other/a.bin", "/data/shop/../other/a.bin", "/data/shop/out", "/x", ""])
def test_what_a_pool_tells_is_looked_at_again(state: Path, inside: str) -> None:
    (state / "data" / "other").mkdir()
    (state / "data" / "other" / "a.bin").write_text("secret")
    (state / "data" / "shop" / "out").symlink_to(state / "data" / "other" / "a.bin")
    pool = Files(state, "shop")
    assert pool.told("/data/shop/a.bin", US) == TOLD
    with pytest.raises(AppError):
        pool.told(inside, US)


@pytest.mark.parametrize("name", ["/x\r\nSet-Cookie: a", "/@refused", "/%00", "/%ff", "/" + "a" * 5000])
def test_a_name_is_never_more_than_a_name(state: Path, name: str) -> None:
    with pytest.raises(AppError):
        files(state).asked(name)


def test_two_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="two fields X-Accel-Redirect"):
        ResponseHead("200 OK", [("X-Accel-Redirect", "/a"), ("X-Accel-Redirect", "/b")])
