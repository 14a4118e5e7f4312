"""Log files as one stream: time order, rotation, lines that are no JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hedgerow.control.logs import Follower, Line, history


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    for replica in ("r1", "r2"):
        (tmp_path / replica).mkdir()
    return tmp_path


def line(second: int, message: str) -> str:
    return f'{{"time":"2026-01-01T00:00:{second:02d}.000Z","message":"{message}"}}\n'


def messages(lines: Iterable[Line]) -> list[str]:
    return [found.fields.get("message", found.text) for found in lines]


def test_all_files_in_time_order_with_rotated_ones_and_foreign_lines_in_place(logs: Path) -> None:
    (logs / "r1" / "8001-a.log.1").write_text(line(1, "one") + "Traceback\n")
    (logs / "r1" / "8001-a.log").write_text(line(4, "four"))
    (logs / "r2" / "8001-a.log").write_text(line(2, "two") + line(3, "three"))
    (logs / "r2" / "nginx.log").write_text('{"time":"2026-01-01T01:00:05+01:00","message":"five"}\n')
    (logs / "r1" / "supervisord.log").write_text("not ours\n")
    assert messages(history(logs)) == ["one", "Traceback", "two", "three", "four", "five"]
    assert messages(history(logs, "r1")) == ["one", "Traceback", "four"]


@pytest.fixture
def following() -> Iterator[Callable[..., Follower]]:
    with contextlib.ExitStack() as stack:

        def make(*arguments: Any, **more: Any) -> Follower:
            follower = Follower(*arguments, **more)
            stack.callback(follower.close)
            return follower

        yield make


def test_following_reads_each_line_once_through_rotation_and_new_files(
    logs: Path, following: Callable[..., Follower]
) -> None:
    path = logs / "r1" / "8001-a.log"
    path.write_text(line(1, "before"))
    follower = following(logs)
    assert follower.poll() == []
    with path.open("a") as file:
        file.write(line(2, "two") + line(3, "three")[:10])
    assert messages(follower.poll()) == ["two"]
    with path.open("a") as file:
        file.write(line(3, "three")[10:])
    path.rename(path.with_name("8001-a.log.1"))
    path.write_text(line(4, "four"))
    (logs / "r2" / "8001-b.log").write_text(line(5, "five"))
    assert messages(follower.poll()) == ["three", "four", "five"]
    assert follower.poll() == []


def test_from_the_start_all_is_told(logs: Path, following: Callable[..., Follower]) -> None:
    (logs / "r1" / "8001-a.log").write_text(line(1, "one"))
    assert messages(following(logs, "r1", from_start=True).poll()) == ["one"]
