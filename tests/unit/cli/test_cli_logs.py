"""`hedgerow logs` as a shell runs it: where its lines go, and what a line may do to a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hedgerow.cli.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünï\ttab", "plain ünï\ttab"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\x9b2J\x7f", r"\x9b2J\x7f"),
        ("\ud800", r"\ud800"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "logs" / "r1").mkdir(parents=True)
    return tmp_path


def write(state: Path, *lines: str) -> None:
    (state / "logs" / "r1" / "8001-a.log").write_text("".join(line + "\n" for line in lines))


def told(message: str, **more: str) -> str:
    return json.dumps({"time": "2026-01-01T00:00:01Z", "app": "blog", "message": message} | more)


def hedgerow_logs(state: Path, *arguments: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "hedgerow.cli", "logs", "--state", str(state), *arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HEDGEROW_")}
    options: dict[str, object] = {"stdout": subprocess.PIPE} | more
    return subprocess.run(command, env=clean, stderr=subprocess.PIPE, timeout=30, check=False, **options)  # type: ignore[call-overload, no-any-return]


def test_a_file_that_is_appended_to_keeps_what_it_had(state: Path) -> None:
    write(state, told("hello"))
    with (state / "out").open("w") as out:
        out.write("kept\n")
    with (state / "out").open("a") as out:
        found = hedgerow_logs(state, stdout=out)
    assert found.returncode == 0, found.stderr
    first, second = (state / "out").read_text().splitlines()
    assert first == "kept"
    assert second.endswith("hello")


def test_no_line_reaches_the_terminal_raw(state: Path) -> None:
    trace = "Traceback\n  \x1b[2J\x9b"
    write(state, told("\x1b[31m\nforged \ud800", traceback=trace), "\x1b]0;title\x07 no JSON")
    found = hedgerow_logs(state)
    assert found.returncode == 0, found.stderr
    rows = found.stdout.decode().splitlines()
    assert [row[-31:] for row in rows[:1]] == [r"blog         \x1b[31m\nforged \ud800"[-31:]]
    assert rows[1:] == ["    Traceback", r"      \x1b[2J\x9b", r"\x1b]0;title\x07 no JSON"]


def test_raw_is_what_was_written(state: Path) -> None:
    lines = [told("\x1b[31m \ud800"), "\x1b[31m no JSON"]
    write(state, *lines)
    assert hedgerow_logs(state, "--raw").stdout.decode().splitlines() == lines


def test_a_negative_count_is_a_mistake(state: Path) -> None:
    found = hedgerow_logs(state, "-n", "-3")
    assert found.returncode == 2
    assert b"Traceback" not in found.stderr
