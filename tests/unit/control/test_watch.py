"""The apps folder: what holds still is taken, what cannot be made keeps what ran."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hedgerow.control import releases
from hedgerow.control.watch import Watch
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


def text_of(code: str) -> str:
    return (Path(code) / "app.py").read_text()


def test_the_first_look_takes_all_at_once(apps: Path, tmp_path: Path) -> None:
    wanted = Watch(apps, tmp_path / "state").look(settle=False)
    assert text_of(wanted.apps["blog"]) == "application = 1"
    assert wanted.broken == {}


def test_a_change_is_taken_when_it_held_still_for_one_look(apps: Path, tmp_path: Path) -> None:
    watch = Watch(apps, tmp_path / "state")
    first = watch.look(settle=False)
    drop(apps, "blog", "application = 22")
    drop(apps, "shop", "application = 3")
    assert watch.look() == first
    drop(apps, "shop", "application = 4444")
    now = watch.look()
    assert text_of(now.apps["blog"]) == "application = 22"
    assert "shop" not in now.apps
    assert text_of(watch.look().apps["shop"]) == "application = 4444"


def test_a_folder_that_is_replaced_is_not_taken_down_between(apps: Path, tmp_path: Path) -> None:
    watch = Watch(apps, tmp_path / "state")
    first = watch.look(settle=False)
    shutil.rmtree(apps / "blog")
    assert watch.look() == first
    drop(apps, "blog", "application = 22")
    assert watch.look() == first
    assert text_of(watch.look().apps["blog"]) == "application = 22"


def test_a_removed_folder_goes(apps: Path, tmp_path: Path) -> None:
    watch = Watch(apps, tmp_path / "state")
    watch.look(settle=False)
    shutil.rmtree(apps / "blog")
    watch.look()
    assert watch.look().apps == {}


def test_what_cannot_be_made_keeps_what_ran_and_says_why(apps: Path, tmp_path: Path) -> None:
    watch = Watch(apps, tmp_path / "state")
    first = watch.look(settle=False)
    (apps / "blog" / "link").symlink_to("/etc/passwd")
    drop(apps, "shop", "application = 1")
    (apps / "shop" / "app.toml").write_text("data = 3")
    watch.look()
    now = watch.look()
    assert now.apps == first.apps
    assert "shop/app.toml" in now.broken["shop"]
    assert "leaves the app's folder" in watch.troubles["blog"]
    (apps / "blog" / "link").unlink()
    watch.look()
    watch.look()
    assert list(watch.troubles) == ["shop"]


def test_a_watch_that_starts_again_knows_what_ran(apps: Path, tmp_path: Path) -> None:
    first = Watch(apps, tmp_path / "state").look(settle=False)
    (apps / "blog" / "link").symlink_to("/etc/passwd")
    again = Watch(apps, tmp_path / "state", first.apps).look(settle=False)
    assert again.apps == first.apps


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        Watch(tmp_path / "nowhere", tmp_path / "state").look()


def test_no_app_takes_the_others_down(apps: Path, tmp_path: Path) -> None:
    for name in ("deep", "pipe", "long"):
        drop(apps, name, "application = 1")
    (apps / "deep" / "app.toml").write_text("data = " + "[" * 2000)
    os.mkfifo(apps / "pipe" / "app.toml")
    (apps / "long" / "app.toml").write_text(f'data = ["{"x" * 300}"]')
    watch = Watch(apps, tmp_path / "state")
    now = watch.look(settle=False)
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
    now = Watch(apps, tmp_path / "state").look(settle=False)
    assert (list(now.apps), now.broken) == (["blog"], {"shop": "shop: RuntimeError('unforeseen')"})
