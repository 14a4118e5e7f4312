"""Plans: what is written is read, and what is broken says so with its file's name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hedgerow.control.plan import Content, Plan, PlanError, plan_path, read_plan, write_plan

SLOTS = {"a": {"generation": 3, "apps": {"blog": "/r"}, "broken": {}}, "b": None}
GOOD = {"address": "8001", "active": "a", "slots": SLOTS}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    content = Content({"blog": "/state/releases/blog/1f/blog"}, {"shop": "shop/app.toml: wrong"})
    served = Content(callable="app:app", path="/srv")
    plan = Plan("8001").with_entry("a", content).with_entry("b", served, "memory").with_active("b")
    path = plan_path(tmp_path, "8001")
    write_plan(path, plan)
    assert read_plan(path) == plan
    assert [entry.generation for entry in plan.slots.values() if entry] == [1, 2]
    assert [found.name for found in path.parent.iterdir()] == ["8001.json"]


def test_the_format_of_the_design(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(GOOD))
    plan = read_plan(path)
    write_plan(path, plan)
    assert json.loads(path.read_text()) == GOOD
    assert (plan.other, plan.next_generation) == ("b", 4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        json.dumps(GOOD | {"active": "c"}),
        json.dumps(GOOD | {"slots": {"a": None}}),
        json.dumps(GOOD | {"slots": {"a": {"apps": {}}, "b": None}}),
        json.dumps(GOOD | {"slots": {"a": {"generation": 1, "strange": 1}, "b": None}}),
        json.dumps(GOOD | {"slots": {"a": {"generation": "1"}, "b": None}}),
        json.dumps(GOOD | {"slots": {"a": {"generation": 1, "apps": []}, "b": None}}),
    ],
)
def test_a_broken_plan_names_its_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(PlanError, match=r"plan\.json: not a plan"):
        read_plan(path)


def test_a_missing_plan_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"8001\.json: there is no such plan"):
        read_plan(plan_path(tmp_path, "8001"))


def test_a_slot_is_superseded_when_the_other_is_active_and_newer() -> None:
    plan = Plan("8001").with_entry("a", Content({"blog": "/1"}))
    assert not plan.is_superseded("a")
    swapping = plan.with_entry("b", Content({"blog": "/2"}))
    assert not swapping.is_superseded("a")
    turned = swapping.with_active("b")
    assert (turned.is_superseded("a"), turned.is_superseded("b")) == (True, False)
    again = turned.with_entry("a", Content({"blog": "/3"}))
    assert not again.is_superseded("a"), "it is the newer one now"
