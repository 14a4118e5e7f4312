"""What `hedgerow serve` serves of a folder: what holds still is taken, what cannot be made says why."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hedgerow.config import Settings
from hedgerow.control import releases
from hedgerow.control.plan import Content
from hedgerow.control.sources import FolderSource
from hedgerow.errors import UserError
from hedgerow.hosting.manifest import Manifest, read_manifest


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    folder = tmp_path / "apps"
    folder.mkdir()
    drop(folder, "blog", "application = 1")
    return folder


def drop(apps: Path, name: str, text: str) -> None:
    (apps / name).mkdir(exist_ok=True)
    (apps / name / "app.py").write_text(text)


def source(apps: Path, tmp_path: Path) -> FolderSource:
    return FolderSource(Settings(apps=apps, state=tmp_path / "state"), 1)


def looked(source: FolderSource, last: Content) -> Content:
    return source.look() or last


def text_of(code: str) -> str:
    return (Path(code) / "app.py").read_text()


def test_all_is_taken_at_once(apps: Path, tmp_path: Path) -> None:
    wanted = source(apps, tmp_path).take()
    assert text_of(wanted.apps["blog"]) == "application = 1"
    assert wanted.broken == {}


def test_a_change_is_taken_when_it_held_still_for_one_look(apps: Path, tmp_path: Path) -> None:
    served = source(apps, tmp_path)
    served.take()
    drop(apps, "blog", "application = 22")
    drop(apps, "shop", "application = 3")
    assert served.look() is None
    drop(apps, "shop", "application = 4444")
    now = served.look()
    assert now is not None
    assert text_of(now.apps["blog"]) == "application = 22"
    assert "shop" not in now.apps
    assert text_of(looked(served, now).apps["shop"]) == "application = 4444"
    assert served.look() is None


def test_a_folder_that_is_replaced_is_not_taken_down_between(apps: Path, tmp_path: Path) -> None:
    served = source(apps, tmp_path)
    served.take()
    shutil.rmtree(apps / "blog")
    assert served.look() is None
    drop(apps, "blog", "application = 22")
    assert served.look() is None
    now = served.look()
    assert now is not None
    assert text_of(now.apps["blog"]) == "application = 22"


def test_a_removed_folder_goes(apps: Path, tmp_path: Path) -> None:
    served = source(apps, tmp_path)
    served.take()
    shutil.rmtree(apps / "blog")
    assert served.look() is None
    assert served.look() == Content()


def test_what_cannot_be_made_says_why_until_it_can(apps: Path, tmp_path: Path) -> None:
    served = source(apps, tmp_path)
    first = served.take()
    (apps / "blog" / "link").symlink_to("/etc/passwd")
    drop(apps, "shop", "application = 1")
    (apps / "shop" / "app.toml").write_text("data = 3")
    served.look()
    now = served.look()
    assert now is not None
    assert now.apps == {}
    assert "shop/app.toml" in now.broken["shop"]
    assert "leaves the app's folder" in now.broken["blog"]
    (apps / "blog" / "link").unlink()
    served.look()
    mended = served.look()
    assert mended is not None
    assert mended.apps == first.apps
    assert list(mended.broken) == ["shop"]


def test_an_app_is_left_out_until_its_folder_changes(apps: Path, tmp_path: Path) -> None:
    served = source(apps, tmp_path)
    served.take()
    assert served.without("blog", "it hangs") == Content({}, {"blog": "blog: it hangs"})
    assert served.look() is None
    drop(apps, "blog", "application = 22")
    served.look()
    now = served.look()
    assert now is not None
    assert list(now.apps) == ["blog"]


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        source(tmp_path / "nowhere", tmp_path).take()


def test_no_app_takes_the_others_down(apps: Path, tmp_path: Path) -> None:
    for name in ("deep", "pipe", "long"):
        drop(apps, name, "application = 1")
    (apps / "deep" / "app.toml").write_text("data = " + "[" * 2000)
    os.mkfifo(apps / "pipe" / "app.toml")
    (apps / "long" / "app.toml").write_text(f'data = ["{"x" * 300}"]')
    now = source(apps, tmp_path).take()
    assert list(now.apps) == ["blog"]
    assert list(now.broken) == ["deep", "long", "pipe"]
    assert "too deeply" in now.broken["deep"]
    assert "is not a file" in now.broken["pipe"]
    assert "name too long" in now.broken["long"]


def test_an_error_that_nobody_foresaw_is_the_trouble_of_its_app(
    apps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(apps, "shop", "application = 1")

    def read(folder: Path) -> Manifest:
        if folder.name == "shop":
            raise RuntimeError("unforeseen")
        return read_manifest(folder)

    monkeypatch.setattr(releases, "read_manifest", read)
    now = source(apps, tmp_path).take()
    assert (list(now.apps), now.broken) == (["blog"], {"shop": "shop: RuntimeError('unforeseen')"})


def test_what_one_process_does_not_do_is_told(apps: Path, tmp_path: Path) -> None:
    for name, manifest in {
        "threads": 'concurrency = "threads"',
        "own": 'pool = "own"',
        "live": 'run = "node x.js"',
    }.items():
        drop(apps, name, "application = 1")
        (apps / name / "app.toml").write_text(manifest)
    made = source(apps, tmp_path)
    assert [remark.partition(";")[0] for remark in made.remarks()] == [
        "own: its app.toml asks for a pool of its own",
        'threads: its app.toml says concurrency = "threads"',
    ]
    content = made.take()
    assert set(content.apps) == {"blog", "own", "threads"}
    assert content.broken == {
        "live": "live: its app.toml says run, and only `hedgerow up` starts servers that apps bring"
    }
