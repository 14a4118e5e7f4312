"""The cases of docs/corner-cases.md: ours has no miss, the judge can tell one, the page has exactly these cases."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT / "tests" / "peers"))

import corners  # noqa: E402
import servers  # noqa: E402
from verdicts import Mark, Verdict  # noqa: E402

# Where the standard leaves a choice, and we made another one than most: said in the page's remarks.
CHOICES = {"http-1.2": "refused"}
MISSES = ["host-missing", "absolute-host", "shorter", "exc-info-before", "two-lengths"]  # of gunicorn 27
HITS = ["lengths-differ", "pipelined-ten", "head-no-body", "close"]


@pytest.fixture(scope="module")
def ours() -> dict[str, Verdict]:
    return corners.verdicts(servers.HEDGEROW, corners.CASES, print)


@pytest.mark.parametrize("case", [case.id for case in corners.CASES])
def test_ours_is_right(ours: dict[str, Verdict], case: str) -> None:
    if case in CHOICES:
        assert ours[case] == Verdict(Mark.ALLOWED, CHOICES[case])
    else:
        assert ours[case].mark is Mark.RIGHT, ours[case]


def test_the_judge_tells_a_miss_from_a_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "PEERS_PYTHON", servers.OWN_PYTHON)  # gunicorn is among the tools of the tests
    asked = [case for case in corners.CASES if case.id in MISSES + HITS]
    found = corners.verdicts(servers.GUNICORN_GTHREAD, asked, print)
    assert {case: found[case].mark for case in MISSES} == dict.fromkeys(MISSES, Mark.WRONG)
    assert {case: found[case].mark for case in HITS} == dict.fromkeys(HITS, Mark.RIGHT)


def test_the_page_has_exactly_these_cases() -> None:
    told = re.findall(r"^\| `([^`]+)` \| (.+?) \| .+? \| (\S+)", corners.DOCUMENT.read_text(encoding="utf-8"), re.M)
    assert [(case, meaning) for case, meaning, _ in told] == [(case.id, case.meaning) for case in corners.CASES]
    assert {case: cell for case, _, cell in told if cell != "✓"} == CHOICES
