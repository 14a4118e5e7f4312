"""docs/placement.md: each example of a cause leads to the sentence below it, and shares when written as told there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from control_support import drop, stack, until

PAGE = Path(__file__).parents[2] / "docs" / "placement.md"
BLOCK = re.compile(r"```python\n# apps/(\w+)/app\.py\n(.*?)```\n(?:\n> ([^\n]*)\n)?", re.DOTALL)
ABSENT = {"board"}  # needs Bottle, which tests do not install
AGAIN = "_again"


@pytest.mark.slow
def test_each_example_runs_where_the_page_says() -> None:
    found = [block for block in BLOCK.findall(PAGE.read_text()) if block[0] not in ABSENT]
    assert len(found) == 14, "seven apps, each twice"
    with stack(workers=1) as here:
        wanted: dict[str, str] = {}
        for app, code, sentence in found:
            name = app if sentence else app + AGAIN
            wanted[name] = sentence.strip()
            drop(here.apps, name, f"# apps/{name}/app.py\n{code}").with_name("words.txt").write_text("a few words")
        here.up()

        def seen() -> dict[str, str]:
            apps = here.status()["apps"]
            return {one["name"]: one["reason"] for one in apps if one["state"] == "up" and one["mount"]}

        until(lambda: seen().keys() == wanted.keys(), 60, "all are up")
        assert seen() == wanted
