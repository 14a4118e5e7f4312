"""`[static]`: what is public by convention, what has to be said, and which names have a hash in them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from hedgerow.errors import LoadError, UserError
from hedgerow.hosting.manifest import read_manifest
from hedgerow.hosting.public import with_public_files
from hedgerow.hosting.static_table import StaticTable, public_folder


def app_folder(place: Path, toml: str = "", *files: str) -> Path:
    folder = place / "shop"
    folder.mkdir(parents=True)
    (folder / "app.toml").write_text(toml)
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize(
    ("toml", "files", "public"),
    [
        ("", ["static/a"], "static"),
        ("", [], None),
        ("", ["static"], None),
        ("", ["static/__init__.py"], None),
        ('[static]\nfolder = ""', ["static/a"], None),
        ('[static]\nfolder = "pub"', ["static/a", "pub/a"], "pub"),
        ('[static]\nfolder = "pub"', [], "pub"),
        ('[[middleware]]\nuse = "auth"', ["static/a"], None),
        ('[[middleware]]\nuse = "static"', ["static/a"], None),
        ('[[middleware]]\nuse = "cors"', ["static/a"], "static"),
        ('[[middleware]]\nuse = "auth"\n[static]\nfolder = "static"', ["static/a"], "static"),
        ('[[middleware]]\nuse = "auth"\n[static]\nmax_age = 5', ["static/a"], "static"),
    ],
)
def test_what_is_public(tmp_path: Path, toml: str, files: list[str], public: str | None) -> None:
    folder = app_folder(tmp_path, toml, *files)
    manifest = read_manifest(folder)
    found = public_folder(manifest.static, manifest.middleware, folder)
    assert found == (None if public is None else folder / public)


@pytest.mark.parametrize(
    "line",
    [
        'folder = ".."', 'folder = "a/../.."', 'folder = "/etc"', 'folder = "."', 'folder = "a\\u0000"', "folder = 1",
        'url = "assets/"', 'url = "/assets"', 'url = "/a//b/"', 'url = "/../"', 'url = "//"', "max_age = -1",
        'hashed = "("', "unknown = 1",
    ],
)  # fmt: skip
def test_a_mistake_is_told(tmp_path: Path, line: str) -> None:
    with pytest.raises(UserError, match=r"shop/app\.toml: .*static\."):
        read_manifest(app_folder(tmp_path, f"[static]\n{line}"))


def test_who_brings_a_server_sends_its_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sends its files itself"):
        read_manifest(app_folder(tmp_path, 'run = "node x"\n[static]\nfolder = "pub"'))


@pytest.mark.parametrize(
    ("path", "hashed"),
    [
        ("/static/app.3f9a01bc.js", True),
        ("/static/app-3f9a01bc2d.min.css", True),
        ("/static/css/base.55e7cbb9ba48.css", True),
        ("/static/main_0a1b2c3d4e5f60718293.js.map", True),
        ("/static/app.3f9a01b.js", False),
        ("/static/report-20240131.pdf", False),
        ("/static/app.deadbeef.js", False),
        ("/static/3f9a01bc.js", False),
        ("/static/v.3f9a01bc/app.js", False),
        ("/static/app.3F9A01BC.js", False),
        ("/static/photo.3f9a01bc", False),
        ("/static/550e8400-e29b-41d4-a716-446655440000.jpg", False),
        ("/static/photo-550e8400-e29b-41d4-a716-446655440a0b.jpg", False),
        ("/static/a-" + "0a" * 33 + ".js", False),
    ],
)
def test_a_hash_in_a_name(path: str, hashed: bool) -> None:
    assert bool(re.search(StaticTable().immutable(), path)) is hashed


def ask(application: Any, path: str, files: str = "") -> tuple[str, bytes]:
    """files: whether the front can send them."""
    told: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SCRIPT_NAME": "", "hedgerow.files": files}
    blocks = application(environ, lambda status, headers: told.append(status))
    body = b"".join(blocks)
    getattr(blocks, "close", lambda: None)()
    return told[0], body


def the_app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("404 the app", [])
    return [b""]


def test_the_newest_other_release_goes_first(tmp_path: Path) -> None:
    home = tmp_path / "releases" / "shop"
    made = {"live": {"a": "live"}, "old": dict.fromkeys("abc", "old"), "new": {"b": "new"}, ".making-x": {"d": "x"}}
    for number, (release, files) in enumerate(made.items()):
        for name, text in files.items():
            path = home / release / "shop" / "static" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        os.utime(home / release, (1000 + number, 1000 + number))
    folder = home / "live" / "shop"
    app = with_public_files(the_app, read_manifest(folder), folder, home)
    assert [ask(app, f"/static/{name}") for name in "abcd"] == [
        ("200 OK", b"live"), ("200 OK", b"new"), ("200 OK", b"old"), ("404 the app", b"")
    ]  # fmt: skip


def release(home: Path, name: str, toml: str, *files: str) -> Path:
    folder = app_folder(home / name, toml, *files)
    os.utime(home / name, (1000, 1000))
    return folder


@pytest.mark.parametrize(
    ("toml", "files", "path", "status"),
    [
        ('[[middleware]]\nuse = "auth"', ["static/a"], "a", "404 the app"),
        ('[static]\nfolder = ""', ["static/a"], "a", "404 the app"),
        ("", ["static/__init__.py", "static/a"], "__init__.py", "404 the app"),
        ("", ["static/__init__.py", "static/a"], "a", "404 the app"),
        ('run = "node x"', ["static/a"], "a", "404 the app"),
        ("no toml", ["static/a"], "a", "404 the app"),
        ('[static]\nfolder = "pub"', ["static/a", "pub/b"], "a", "404 the app"),
        ('[static]\nfolder = "pub"', ["static/a", "pub/b"], "b", "200 OK"),
        ("", ["static/a"], "a", "200 OK"),
    ],
)
def test_each_release_says_what_of_it_is_public(
    tmp_path: Path, toml: str, files: list[str], path: str, status: str
) -> None:
    """What a former one guarded does not become public with the next."""
    release(tmp_path, "old", toml, *files)
    folder = release(tmp_path, "live", "", "static/c")
    assert ask(with_public_files(the_app, read_manifest(folder), folder, tmp_path), f"/static/{path}")[0] == status


def test_other_releases_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And again when one has come; one that cannot be looked at hides no other."""
    release(tmp_path, "old", "", "static/old")
    folder = release(tmp_path, "live", "", "static/live")
    (tmp_path / "pruned").symlink_to(tmp_path / "nowhere")
    os.utime(tmp_path, (2000, 2000))
    app = with_public_files(the_app, read_manifest(folder), folder, tmp_path)
    assert ask(app, "/static/old")[0] == "200 OK"
    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", None)
        assert [ask(app, f"/static/{name}")[0] for name in ("old", "new")] == ["200 OK", "404 the app"]
    release(tmp_path, "new", "", "static/new")
    assert [ask(app, f"/static/{name}")[0] for name in ("old", "new")] == ["200 OK", "200 OK"]


def test_a_url_beyond_ascii(tmp_path: Path) -> None:
    folder = app_folder(tmp_path, '[static]\nurl = "/caf\u00e9/"', "static/a")
    app = with_public_files(the_app, read_manifest(folder), folder, tmp_path / "releases" / "shop")
    assert ask(app, "/café/a".encode().decode("latin-1")) == ("200 OK", b"static/a")


def test_no_name_tells_that_a_file_of_a_changing_folder_stays(tmp_path: Path) -> None:
    assert StaticTable().immutable(changing=True) == ""
    assert StaticTable(hashed="x").immutable(changing=True) == "x"
    folder = app_folder(tmp_path, "", "static/a.3f9a01bc.js")
    app = with_public_files(the_app, read_manifest(folder), folder, tmp_path / "releases" / "shop")
    kept: list[str] = []
    environ = {"REQUEST_METHOD": "HEAD", "PATH_INFO": "/static/a.3f9a01bc.js"}
    app(environ, lambda status, headers: kept.append(dict(headers)["Cache-Control"]))  # type: ignore[arg-type, return-value]
    assert kept == ["public, max-age=60"]


def test_what_is_no_release_has_no_other(tmp_path: Path) -> None:
    """And its files come and go."""
    folder = app_folder(tmp_path, "", "static/a")
    app_beside = tmp_path / "more" / "shop" / "static"
    app_beside.mkdir(parents=True)
    (app_beside / "b").write_text("b")
    app = with_public_files(the_app, read_manifest(folder), folder, tmp_path / "releases" / "shop")
    assert ask(app, "/static/b")[0] == "404 the app"
    (folder / "static" / "b").write_text("later")
    assert ask(app, "/static/b") == ("200 OK", b"later")


def test_the_front_is_told_of_the_apps_own_files_only(tmp_path: Path) -> None:
    """A folder may be a link to what all apps share."""
    folder = app_folder(tmp_path / "releases" / "shop" / "live", "", "static/a")
    releases = folder.parents[1]
    assert ask(with_public_files(the_app, read_manifest(folder), folder, releases), "/static/a", "0") == ("200 OK", b"")
    (folder / "static").rename(tmp_path / "shared")
    (folder / "static").symlink_to(tmp_path / "shared")
    app = with_public_files(the_app, read_manifest(folder), folder, releases)
    assert ask(app, "/static/a", "0") == ("200 OK", b"static/a")


def test_a_folder_that_is_said_and_not_there_is_a_mistake(tmp_path: Path) -> None:
    folder = app_folder(tmp_path, '[static]\nfolder = "pub"')
    with pytest.raises(LoadError, match=r"shop/app\.toml: static\.folder: there is no folder 'pub'"):
        with_public_files(the_app, read_manifest(folder), folder, tmp_path)
