"""The tests of the rounds can fail: weaker configurations, each of which runs a request twice here, are caught."""

from __future__ import annotations

from pathlib import Path

import pytest
from front_backends import backends, executed, reads_and_drops
from front_support import binaries, running

from hedgerow.control.front import NginxBinary


@pytest.fixture(params=binaries(), ids=str)
def binary(request: pytest.FixtureRequest) -> NginxBinary:
    return request.param


def edit(snippets: Path, name: str, old: str, new: str) -> None:
    text = (snippets / name).read_text()
    assert old in text
    (snippets / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("method", "name", "old", "new"),
    [
        (
            "POST",
            "rounds.conf",
            "proxy_next_upstream error timeout;",
            "proxy_next_upstream error timeout non_idempotent;",
        ),
        ("DELETE", "round-guard.conf", "(?:GET|HEAD) few ", "[A-Z]+ few "),
        ("DELETE", "round-guard.conf", '[45]-3)$"   few;', '[45]-3)$"   none;'),
        ("DELETE", "rounds.conf", "error_page 502 = $after_break;", "error_page 502 = @again;"),
    ],
    ids=["non_idempotent", "every method", "sent counts as unsent", "no guard"],
)
def test_a_weaker_configuration_is_caught(
    binary: NginxBinary, tmp_path: Path, method: str, name: str, old: str, new: str
) -> None:
    """Each of these changes makes a request run twice here, so the tests of the rounds would see it."""
    with (
        backends(reads_and_drops, reads_and_drops) as addresses,
        running(tmp_path, binary, addresses, change=lambda snippets: edit(snippets, name, old, new)) as front,
    ):
        front.request(method, "/", body=b"abc" * (method == "POST"))
        assert len(executed(*addresses)) > 1
