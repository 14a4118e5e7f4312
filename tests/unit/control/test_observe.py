"""What is seen of slots from outside."""

from __future__ import annotations

from pathlib import Path

from hedgerow.control.observe import Observer
from hedgerow.control.placement import OWN
from hedgerow.control.plan import Content, Plan, importing_file, plan_path, write_plan
from hedgerow.control.supervisor import ProcessInfo

SHARED, ALONE = Content({"a": "/r/1/a", "b": "/r/1/b"}), Content({"a": "/r/1/a"}, pool=OWN)


def test_an_app_that_is_alone_is_at_fault_for_a_worker_that_ends_before_it_names_it(tmp_path: Path) -> None:
    seen = {}
    for content in (SHARED, ALONE):
        write_plan(plan_path(tmp_path, "p"), Plan("p").with_entry("a", content))
        for state, pid in (("BACKOFF", 0), ("STARTING", 77)):
            look = Observer(tmp_path).look("p", {"p:a": ProcessInfo("p:a", state, pid, 0.0, 1, "")})
            seen[content.alone, state] = look.view.current.importing
    assert seen == {(True, "BACKOFF"): "a", (True, "STARTING"): "", (False, "BACKOFF"): "", (False, "STARTING"): ""}


def test_all_tries_to_load_an_app_that_is_alone_count_as_one(tmp_path: Path) -> None:
    """It writes its name anew at each, as every app of a shared worker does once."""
    importing_file(tmp_path, "p", "a").write_text("a")
    for content, one in ((SHARED, True), (ALONE, False)):
        write_plan(plan_path(tmp_path, "p"), Plan("p").with_entry("a", content))
        slot = Observer(tmp_path).look("p", {"p:a": ProcessInfo("p:a", "RUNNING", 77, 0.0, 0, "")}).view.current
        assert (slot.importing, slot.importing_s < 60) == ("a", one)
