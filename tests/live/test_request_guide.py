"""docs/request.md and its Chinese twin: each command prints in a running stack what the pages show."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from control_support import free_port, stack
from guide_page import DOCS, blocks, run, settled, steps

ROOT = DOCS.parent
PAGES = DOCS / "request.md", DOCS / "request.zh.md"
PORTS = ("8080", "8001", "8002", "8090")
HAN = re.compile("[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def reader() -> None:
    """Has what the pages take for granted."""
    subprocess.run([ROOT / ".ci" / "packages.sh", "curl:curl", "netcat-openbsd:nc"], check=True, timeout=300)


def test_each_command_prints_what_the_page_shows(reader: None) -> None:
    given = steps(PAGES[0])
    assert len(given) > 20
    with stack(workers=2) as here:
        shutil.copytree(ROOT / "apps", here.apps, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        (here.base / ".venv").symlink_to(sys.prefix)  # as in a checkout
        here.up()
        others = [here.port, here.first, here.first + 1, free_port()]
        names = dict(zip(PORTS, map(str, others), strict=True))
        printed = run(given, here.base, {**here.environ, "HOME": str(here.base)}, names)
    wrong = [
        f"line {step.line}: $ {step.command}\n{settled(output)}--- but the page has\n{settled(step.shown)}"
        for step, output in zip(given, printed, strict=True)
        if settled(output) != settled(step.shown)
    ]
    assert not wrong, "\n".join(wrong)


def test_both_languages_have_the_same_commands_outputs_and_stations() -> None:
    assert without_lines(PAGES[0]) == without_lines(PAGES[1])
    english, chinese = (page.read_text() for page in PAGES)
    assert [re.findall(r"^#+ \d+", text, re.MULTILINE) for text in (english, chinese)] == [
        [f"## {number}" for number in range(1, 11)]
    ] * 2
    prose = re.sub(r"^```.*?^```$", "", chinese, flags=re.DOTALL | re.MULTILINE)
    assert all(HAN.search(part) for part in prose.split("\n\n") if part.strip()), "each paragraph is translated"


def without_lines(page: Path) -> list[tuple[str, str]]:
    return [(step.command, step.shown) for step in (*steps(page), *steps(page, containers=True))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#:]+)[^)]*\)", text):
        assert (DOCS / link).exists(), link
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors
    engine = ROOT / "appserver" / "hedgerow"
    for path in re.findall(r"`((?:apps|nginx|http|pep3333)/[\w/.]*)`", text):
        assert any((place / path).exists() for place in (ROOT, engine)), path


def test_what_no_two_runs_have_alike_is_all_that_may_differ() -> None:
    """The marks are narrow: a figure, an address or a status elsewhere is compared."""
    assert settled("X-Request-Id: " + "0" * 32) == settled("X-Request-Id: " + "af" * 16)
    assert settled("4c\nid: 1\n") == settled("4d\nid: 1\n")
    for one, other in [
        ("Content-Length: 4760", "Content-Length: 4761"),
        ("first byte after 0.001 s, last after 2.002 s", "first byte after 2.001 s, last after 2.002 s"),
        ("hedgerow.address = '8001'", "hedgerow.address = '9001'"),
        ("hedgerow.worker = 7", "hedgerow.worker = None"),
        ('"status":200', '"status":500'),
        ("X-Request-Id: " + "0" * 32, "X-Request-Id: " + "0" * 31),
    ]:
        assert settled(one) != settled(other)


def test_a_command_ends_where_its_quotes_do(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo 'a\n> b'\na\nb\n$ printf '> c\\n'\n> c\n```\n")
    assert [step.line for step in steps(page)] == [2, 6]
    assert [(step.command, step.shown) for step in steps(page)] == [
        ("echo 'a\nb'", "a\nb\n"),
        (r"printf '> c\n'", "> c\n"),
    ]
    assert run(steps(page), tmp_path, {}, {"1": "1"}) == ["a\nb\n", "> c\n"]
    assert blocks(page, "toml") == []
