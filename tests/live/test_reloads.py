"""docs/reloads.md: ours loses nothing by a broken release and a slow one; the page has these cases and servers."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "peers"))

import reload_servers
import reloads
from reload_cases import CASES, MISSING, SLOW, Result
from reload_table import kind, table

WATCHED_S = 2.0  # longer than a broken release takes to be refused


def test_ours_loses_nothing_by_a_broken_release_and_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload_servers, "WORKERS", 1)  # one import of 3 s less to wait for
    monkeypatch.setattr(reloads, "QUIET_S", 0.3)
    monkeypatch.setattr(reloads, "BUSY_S", 0.4)
    with reload_servers.HEDGEROW.running(reload_servers.app_text("v0")) as subject:
        broken = reloads.broken(subject, MISSING, WATCHED_S)
        slow = reloads.reloaded(subject, SLOW, 1)
    print(f"{broken}\n{slow}")
    assert broken.failures == []
    assert broken.silent_after_s is None
    assert broken.told
    assert slow.failures == []
    assert broken.requests > 300
    assert slow.requests > 500
    assert 2 * SLOW.import_s < slow.first_new_s[0] < reloads.PATIENCE_S, "it is tried before it serves"
    assert slow.last_old_s[0] > SLOW.import_s, "the old release answers meanwhile"


def test_the_page_has_these_cases_and_servers_and_says_of_ours_that_nothing_failed() -> None:
    told: list[tuple[str, str, str, str]] = []
    for part in reloads.DOCUMENT.read_text(encoding="utf-8").split("\n## ")[1:]:
        rows = re.findall(r"^\| (.+?) \| (.+?) \| [\d,]+ \| ([\d,]+) \|", part, re.M)
        told += [(part.partition("\n")[0], *row) for row in rows]
    wanted = [(f"`{case.id}`: {case.meaning}", way.name, way.how) for case in CASES for way in reloads.WAYS]
    assert [row[:3] for row in told] == wanted
    assert [failed for _, name, _, failed in told if name == "hedgerow"] == ["0"] * len(CASES)


def test_the_table_tells_silence_and_what_came_instead() -> None:
    failures = ["02:04:35 get GET after 0.00 s: ValueError(\"502 b'<!doctype'\")", "x: TimeoutError('timed out')"]
    assert [kind(line) for line in failures] == ["502", "nothing for 60 s"]
    assert kind("ConnectionResetError(104, 'reset')") == "a broken connection or answer"
    silent = Result(2_000, 40, failures, 1.2, silent_after_s=1.54, told=True)
    row = table(MISSING, {reloads.HEDGEROW: [silent, silent]}).splitlines()[-1]
    assert row.endswith("| 4,000 | 80 | for 1.5 s | 502, nothing for 60 s | yes |")
