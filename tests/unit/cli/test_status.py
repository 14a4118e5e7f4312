"""What `hedgerow status` makes of the replicas' records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hedgerow.cli.status import apps_of, refused_connections
from hedgerow.control.records import read_records, write_record

RUNNING = {"process": "RUNNING"}


def app(state: str = "up", error: str = "") -> dict[str, Any]:
    return {"name": "blog", "mount": "/blog", "host": "", "state": state, "error": error, "traceback": ""}


def record(*workers: list[dict[str, Any]] | None, stale: bool = False, broken: str = "") -> dict[str, Any]:
    """A replica's record: for each address what its active worker tells, None for one that does not answer."""
    addresses = [
        {"address": str(8001 + n), "active": "a", "slots": {"a": RUNNING if apps is None else RUNNING | {"apps": apps}}}
        for n, apps in enumerate(workers)
    ]
    wanted = {"blog": "/releases/blog/1"} if not broken else {}
    return {"stale": stale, "apps": wanted, "broken": {"blog": broken} if broken else {}, "addresses": addresses}


@pytest.mark.parametrize(
    ("records", "state"),
    [
        ([record([app()], [app()])], "up"),
        ([record([app()], [])], "loading"),  # the second address has not turned to it yet
        ([record([], [app()])], "loading"),
        ([record([app()], None)], "up"),  # who does not answer tells nothing
        ([record(None, None)], "loading"),
        ([record([app()], [app("down", "no")])], "down"),
        ([record([app()]), record([app("down", "no")])], "down"),
        ([record([app()]), record([app("down", "no")], stale=True)], "up"),
        ([record([], broken="a link leaves it")], "down"),
    ],
)
def test_an_app_is_up_only_if_every_worker_that_answers_says_so(records: list[dict[str, Any]], state: str) -> None:
    assert [found["state"] for found in apps_of(records, {})] == [state]


def hedgerow_status(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hedgerow.cli", "status", "--state", str(state), *arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HEDGEROW_")}
    return subprocess.run(command, env=clean, capture_output=True, text=True, timeout=30, check=False)


def test_nothing_that_runs_is_told_by_the_exit_code_in_both_forms(tmp_path: Path) -> None:
    plain, as_json = hedgerow_status(tmp_path), hedgerow_status(tmp_path, "--json")
    assert (plain.returncode, as_json.returncode) == (1, 1)
    assert json.loads(as_json.stdout) == {"replicas": [], "apps": [], "data_without_app": {}}


def test_what_an_app_says_does_not_reach_the_terminal_raw(tmp_path: Path) -> None:
    told = app("down", "\x1b[31m\nforged\ud800") | {"name": "bl\x1bog", "traceback": "Traceback\n  \x9b2J"}
    write_record(tmp_path, record([told]) | {"replica": "r1", "time": time.time(), "apps": {"bl\x1bog": "/x"}})
    found = hedgerow_status(tmp_path)
    assert found.returncode == 0, found.stderr
    assert r"\x1b[31m\nforged\ud800" in found.stdout
    assert "\nbl\\x1bog:\n    Traceback\n      \\x9b2J\n" in found.stdout
    assert not set("\x1b\x9b") & set(found.stdout)
    assert hedgerow_status(tmp_path, "--json").returncode == 0


def test_a_record_of_an_earlier_version_tells_of_its_pools_what_it_can(tmp_path: Path) -> None:
    pool = {"address": "p0123456789", "active": "a", "app": "blog", "asleep": False, "slots": {"a": RUNNING}}
    write_record(tmp_path, record([app()]) | {"replica": "r1", "time": time.time(), "pools": [pool]})
    found = hedgerow_status(tmp_path)
    assert found.returncode == 0, found.stderr
    assert "p0123456789" in found.stdout


@pytest.mark.parametrize("left_out", ["replica", "time", "apps", "broken", "addresses"])
@pytest.mark.parametrize("wrong", [False, True])
def test_a_record_that_is_none_is_passed_over(tmp_path: Path, left_out: str, wrong: bool) -> None:
    good = record([app()]) | {"replica": "r1", "time": time.time()}
    write_record(tmp_path, good)
    bad = {name: value for name, value in good.items() if name != left_out}
    if wrong:
        bad[left_out] = [["no such thing"]]
    (tmp_path / "replicas" / "r2.json").write_text(json.dumps(bad))
    (tmp_path / "replicas" / "r3.json").write_text("[" * 100_000)
    (tmp_path / "replicas" / "r4.json").write_text("[]")
    assert [found["replica"] for found in read_records(tmp_path)] == ["r1"]


def test_connections_that_were_refused_are_told_of_all_workers_together() -> None:
    told = {"blog": {"open": {"db:5432": 4, "cache:6379": 1}, "refused": 2}, "wiki": {"open": {}, "refused": 0}}
    old = {"blog": {"open": {}, "refused": 5}}
    one = {"stale": False, "addresses": [{"slots": {"a": {"outbound": told}, "b": {}}}]}
    two = {"stale": False, "addresses": [], "pools": [{"slots": {"b": {"outbound": old}}}]}
    assert refused_connections([one, two, {"stale": True, "addresses": one["addresses"]}]) == [("blog", "5", "7")]
    assert refused_connections([{"stale": False, "addresses": [{"slots": {"a": RUNNING}}]}]) == []
