"""Log files as one stream: time order, rotation, lines that are no JSON."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hedgerow.control.logs import BLOCK_BYTES, Follower, Line, history


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
    assert messages(following(logs, "r1", since=0.0).poll()) == ["one"]


def test_what_is_older_is_hardly_read(logs: Path, following: Callable[..., Follower]) -> None:
    since = datetime(2026, 1, 1, 0, 0, 40, tzinfo=UTC).timestamp()
    lines = [line(second, f"{number}") for second in range(60) for number in range(1000)]
    lines[5] = lines[45_001] = "Traceback\n"
    (logs / "r1" / "8001-a.log").write_text("".join(lines))
    found = following(logs, "r1", since=since).poll()
    assert [one for one in found if one.time >= since] == list(history(logs, "r1"))[40_000:]
    assert len(found) < 20_000 + 2 * BLOCK_BYTES / len(lines[0])


def rotate(path: Path) -> None:
    """As supervisord does it, with two backups."""
    for old, new in ((".1", ".2"), ("", ".1")):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{old}").replace(f"{path}{new}")
    path.touch()


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


MISSING = "hedgerow: lines may be missing here: a file was rotated away before it was read"


@pytest.mark.parametrize(
    ("rotations", "wanted"),
    [
        (1, ["0", "1"]),
        (2, ["0", "1", "2"]),
        (3, ["0", MISSING, "1", "2", "3"]),
        (4, ["0", MISSING, "2", "3", "4"]),
    ],
)
def test_rotations_between_two_polls_lose_nothing_that_is_still_there(
    logs: Path, following: Callable[..., Follower], rotations: int, wanted: list[str]
) -> None:
    path = logs / "r1" / "8001-a.log"
    for name, text in ((".2", "ancient"), (".1", "older"), ("", "before")):
        Path(f"{path}{name}").write_text(line(0, text))
    follower = following(logs)
    append(path, line(1, "0"))
    for number in range(1, rotations + 1):
        rotate(path)
        append(path, line(number + 1, str(number)))
    assert messages(follower.poll()) == wanted
    append(path, line(9, "later"))
    assert messages(follower.poll()) == ["later"]


def test_a_line_cut_by_the_rotation_is_one_line(logs: Path, following: Callable[..., Follower]) -> None:
    path = logs / "r1" / "8001-a.log"
    path.touch()
    follower = following(logs)
    append(path, line(1, "whole")[:20])
    assert follower.poll() == []
    rotate(path)
    append(path, line(1, "whole")[20:])
    assert messages(follower.poll()) == ["whole"]


def test_a_file_that_rotates_under_its_writer_is_followed_without_a_gap(
    logs: Path, following: Callable[..., Follower]
) -> None:
    """A writer that rotates every 50 lines, and a reader that polls without a pause."""
    path = logs / "r1" / "8001-a.log"
    path.touch()
    follower = following(logs)
    polled = threading.Event()

    def write() -> None:
        for number in range(2000):
            append(path, f'{{"time":"2026-01-01T00:00:00Z","message":"{number}"}}\n')
            if number % 50 == 49:
                rotate(path)
                polled.clear()
                polled.wait(10)  # a poll that began before the rotation counts too: at most two are ahead

    writer = threading.Thread(target=write)
    writer.start()
    found: list[str] = []
    while writer.is_alive():
        found += messages(follower.poll())
        polled.set()
    found += messages(follower.poll())
    writer.join()
    assert found == [str(number) for number in range(2000)]


def test_an_emptied_file_is_read_from_its_start(logs: Path, following: Callable[..., Follower]) -> None:
    path = logs / "r1" / "8001-a.log"
    path.write_text(line(1, "a long line that was there before"))
    follower = following(logs)
    path.write_text(line(2, "new"))
    assert messages(follower.poll()) == ["new"]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"time":"0001-01-01T00:00:00+23:00"}', '{"time":3}', "[]", "\x00"])
def test_a_line_that_nobody_can_read_is_told_as_it_is(logs: Path, text: str) -> None:
    (logs / "r1" / "8001-a.log").write_text(line(1, "one") + text + "\n")
    assert [found.text for found in history(logs)][1] == text
