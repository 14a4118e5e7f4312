"""The apps folder as it is looked at: what holds still, and what is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hedgerow.control.folders import Folders
from hedgerow.errors import UserError


def write(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text(text)


def test_the_first_look_takes_what_is_there(tmp_path: Path) -> None:
    write(tmp_path / "blog", "1")
    folders = Folders(tmp_path, tmp_path / ".secrets")
    folders.look()
    assert list(folders.settled) == ["blog"]
    assert not folders.moving


def test_a_change_is_taken_when_it_holds_still(tmp_path: Path) -> None:
    write(tmp_path / "blog", "1")
    folders = Folders(tmp_path, tmp_path / ".secrets")
    folders.look()
    first = dict(folders.settled)
    for text in ("22", "333"):
        write(tmp_path / "blog", text)
        folders.look()
        assert (folders.moving, dict(folders.settled)) == (True, first)
    folders.look()
    assert not folders.moving
    assert folders.settled["blog"] != first["blog"]


def test_a_new_folder_is_taken_when_it_holds_still(tmp_path: Path) -> None:
    folders = Folders(tmp_path, tmp_path / ".secrets")
    folders.look()
    write(tmp_path / "blog", "1")
    folders.look()
    assert dict(folders.settled) == {}
    folders.look()
    assert list(folders.settled) == ["blog"]


def test_an_app_lacks_its_folder_only_after_two_looks(tmp_path: Path) -> None:
    write(tmp_path / "blog", "1")
    folders = Folders(tmp_path, tmp_path / ".secrets")
    assert not folders.lacks("blog"), "nobody has looked"
    folders.look()
    assert not folders.lacks("other"), "one look, of a folder that may not be mounted yet, says nothing"
    folders.look()
    assert folders.lacks("other")
    shutil.rmtree(tmp_path / "blog")
    folders.look()
    assert "blog" not in folders.settled
    assert not folders.lacks("blog")
    folders.look()
    assert folders.lacks("blog")
    write(tmp_path / "blog", "1")
    folders.look()
    assert not folders.lacks("blog")


def test_a_folder_that_is_away_takes_nothing_away(tmp_path: Path) -> None:
    apps = tmp_path / "apps"
    apps.mkdir()
    write(apps / "blog", "1")
    folders = Folders(apps, tmp_path / ".secrets")
    folders.look()
    folders.look()
    apps.rename(tmp_path / "elsewhere")
    for _ in range(3):
        with pytest.raises(UserError, match="there is no such folder"):
            folders.look()
    assert not folders.lacks("blog")
    assert list(folders.settled) == ["blog"]
