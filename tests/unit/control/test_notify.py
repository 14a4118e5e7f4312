"""Hints by file events: they come, they survive whatever happens to the folder, and they are only hints."""

from __future__ import annotations

import os
import resource
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hedgerow.control import notify
from hedgerow.control.notify import Notify

DEADLINE_S = 10.0


class Heard:
    """Hints and lines, and how to wait for one of them."""

    def __init__(self) -> None:
        self.hints = 0
        self.lines: list[str] = []
        self._changed = threading.Condition()

    def hint(self) -> None:
        with self._changed:
            self.hints += 1
            self._changed.notify_all()

    def say(self, line: str) -> None:
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()

    def wait_for_line(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.lines, DEADLINE_S), "nothing is said"

    def after(self, before: int) -> float:
        """Waits until there is a hint more than before; how long."""
        began = time.monotonic()
        with self._changed:
            assert self._changed.wait_for(lambda: self.hints > before, DEADLINE_S), "no hint"
        return time.monotonic() - began

    def until_quiet(self) -> int:
        """How many hints there are when no more come for a while."""
        with self._changed:
            while self._changed.wait(0.15):
                pass
            return self.hints


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    monkeypatch.setattr(notify, "CHECK_MS", 100)
    monkeypatch.setattr(notify, "RETRY_S", 0.2)
    return Heard()


@pytest.fixture
def watched(heard: Heard, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "apps"
    folder.mkdir()
    with Notify(folder, heard.hint, heard.say):
        _touch_until_heard(folder, heard)
        yield folder


def _touch_until_heard(folder: Path, heard: Heard) -> None:
    """Who watches when is not known: the first event that is heard tells."""
    end = time.monotonic() + DEADLINE_S
    before = heard.hints
    while heard.hints == before:
        assert time.monotonic() < end, "it does not begin to watch"
        (folder / "first").touch()
        time.sleep(0.06)
    heard.until_quiet()


def test_a_change_is_hinted_at_sooner_than_a_scan(watched: Path, heard: Heard) -> None:
    took = []
    for number in range(3):
        before = heard.until_quiet()
        (watched / "app.py").write_text(str(number))
        took.append(heard.after(before))
    assert sorted(took)[1] < 0.3, took


def test_a_change_in_a_folder_that_was_made_since_is_hinted_at(watched: Path, heard: Heard) -> None:
    (watched / "new" / "deep").mkdir(parents=True)
    before = heard.until_quiet()
    (watched / "new" / "deep" / "app.py").touch()
    heard.after(before)


@pytest.mark.parametrize("how", ["removed", "made anew", "replaced"])
def test_the_folder_may_go_and_come(watched: Path, heard: Heard, how: str) -> None:
    before = heard.until_quiet()
    if how == "removed":
        shutil.rmtree(watched)
        heard.until_quiet()
        watched.mkdir()
    elif how == "made anew":  # with the same inode number, as ext4 gives it
        shutil.rmtree(watched)
        watched.mkdir()
    else:
        (watched.parent / "other").mkdir()
        watched.rename(watched.parent / "old")
        (watched.parent / "other").rename(watched)
    heard.after(before)
    _touch_until_heard(watched, heard)
    assert heard.lines == []


def test_the_folder_may_come_later(heard: Heard, tmp_path: Path) -> None:
    with Notify(tmp_path / "later", heard.hint, heard.say):
        assert heard.until_quiet() == 0
        (tmp_path / "later").mkdir()
        heard.after(0)
        _touch_until_heard(tmp_path / "later", heard)
    assert heard.lines == []


def test_thousands_of_events_are_few_hints(watched: Path, heard: Heard) -> None:
    before = heard.hints
    began = time.monotonic()
    for number in range(1000):
        (watched / f"{number}.py").touch()
    took = time.monotonic() - began
    shutil.rmtree(watched)
    watched.mkdir()
    assert 1 <= heard.until_quiet() - before <= 10 + 30 * took
    _touch_until_heard(watched, heard)


def test_a_name_that_is_no_utf8_is_a_change_too(watched: Path, heard: Heard) -> None:
    before = heard.until_quiet()
    (Path(os.fsdecode(os.fsencode(watched) + b"/\xff.py"))).touch()
    heard.after(before)
    _touch_until_heard(watched, heard)


def test_without_a_descriptor_for_events_one_line_is_said_and_later_tried_again(heard: Heard, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = os.open(tmp_path, os.O_RDONLY)
    os.close(taken)
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken, limits[1]))
    try:
        notes = Notify(tmp_path, heard.hint, heard.say)
        heard.wait_for_line()
        heard.after(2)  # it has tried again, and said nothing more
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with notes:
        assert len(heard.lines) == 1
        assert "it is scanned all the same" in heard.lines[0]
        _touch_until_heard(tmp_path, heard)


def test_it_ends_at_once_and_hints_no_more(heard: Heard, tmp_path: Path) -> None:
    notes = Notify(tmp_path, heard.hint, heard.say)
    _touch_until_heard(tmp_path, heard)
    began = time.monotonic()
    notes.close()
    assert time.monotonic() - began < 1
    before = heard.hints
    (tmp_path / "late").touch()
    assert heard.until_quiet() == before
