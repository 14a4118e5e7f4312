"""`os._exit` in a worker: it tells where it was called, and ends the process all the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os

from hedgerow.worker import exits

exits.install(open({file!r}, "w"))
{call}
print("it goes on")
"""


def run(file: str, call: str = "os._exit(3)") -> tuple[int, str]:
    command = [sys.executable, "-c", CODE.format(file=file, call=call)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return ended.returncode, ended.stdout


def test_it_says_where(tmp_path: Path) -> None:
    assert run(str(tmp_path / "fault")) == (3, "")
    assert (tmp_path / "fault").read_text().startswith("os._exit(3)\n\n")
    assert 'File "<string>", line 7 in <module>' in (tmp_path / "fault").read_text()


@pytest.mark.parametrize("call", ["os._exit(3)", "os._exit(status=3)"])
def test_it_ends_also_if_that_cannot_be_written(call: str) -> None:
    assert run("/dev/full", call) == (3, "")


def test_of_a_child_nothing_is_said(tmp_path: Path) -> None:
    assert run(str(tmp_path / "fault"), "if not os.fork(): os._exit(3)\nos.wait()") == (0, "it goes on\n")
    assert (tmp_path / "fault").read_text() == ""
