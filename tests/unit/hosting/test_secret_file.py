"""The file of an app's secret variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from hedgerow.errors import UserError
from hedgerow.hosting.secret_file import read_secrets

GOOD = """
# a comment
PLAIN=one two
export EXPORTED = three
QUOTED="four # five"
SINGLE='six"'
EMPTY=
URL=postgres://user:pass=word@host/db
"""


def test_what_a_file_says(tmp_path: Path) -> None:
    (tmp_path / "blog.env").write_text(GOOD)
    assert read_secrets(tmp_path, "blog") == {
        "PLAIN": "one two",
        "EXPORTED": "three",
        "QUOTED": "four # five",
        "SINGLE": 'six"',
        "EMPTY": "",
        "URL": "postgres://user:pass=word@host/db",
    }
    assert read_secrets(tmp_path, "shop") == {}
    assert read_secrets(tmp_path / "nothing", "blog") == {}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"A=1\nhidden\n", "line 2: NAME=value is wanted"),
        (b"A='hidden\n", "line 1: the quote is not closed"),
        (b"A='\n", "line 1: the quote is not closed"),
        (b"A-B=hidden\n", "line 1: 'A-B' is no name of a variable"),
        (b"HEDGEROW_STATE=hidden\n", "line 1: HEDGEROW_STATE is not the app's to set"),
        (b"A=hidden\0\n", "line 1: A has a zero byte"),
        (b"A=\xff\n", "it is not UTF-8"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_without_a_value(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "blog.env").write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_secrets(tmp_path, "blog")
    assert str(caught.value).endswith(told)
    assert "blog.env" in str(caught.value)
    assert "hidden" not in str(caught.value)
