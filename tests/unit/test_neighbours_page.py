"""docs/neighbours.md: each row names tests that there are, and each test of bad neighbours is named."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "neighbours.md"
HEAD = "what it does"
NAME = re.compile(r"`(?:(\w+)::(\w+))?(\[[^`]+\])?`")


def rows() -> list[list[str]]:
    lines = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [row for row in lines if row[0] not in (HEAD, "---")]


def named(cell: str) -> list[str]:
    """`file::test[case]`; a further case of the same test is named alone."""
    found, before = [], ""
    for file, test, case in NAME.findall(cell):
        before = f"test_{file}.py::test_{test}" if file else before
        found.append(before + case)
    return found


@pytest.fixture(scope="module")
def there() -> set[str]:
    """What pytest would run, as `file::test[case]`."""
    files = {name.partition("::")[0] for row in rows() for name in named(row[-1])}
    paths = [str(path) for path in (ROOT / "tests").rglob("test_*.py") if path.name in files]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *paths]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    return {re.sub(r"^[^:]*/", "", line, count=1) for line in found.splitlines() if "::" in line}


def test_each_row_has_a_test_of_that_name(there: set[str]) -> None:
    whole = there | {name.partition("[")[0] for name in there}
    assert len(rows()) > 20
    for row in rows():
        assert len(row) == 5, row
        assert named(row[-1]), row
        assert set(named(row[-1])) <= whole, row[0]


def test_each_test_of_bad_neighbours_is_in_a_row(there: set[str]) -> None:
    ours = {name for name in there if name.startswith("test_bad_neighbours.py::")}
    assert len(ours) > 15
    assert ours <= {name for row in rows() for name in named(row[-1])}
