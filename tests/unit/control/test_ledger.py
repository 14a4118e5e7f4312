"""The ledger: one order of changes, whoever makes them, dies or sleeps meanwhile."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hedgerow.control.entries import KEPT_DEPLOYS, LEASE_S, AppState, Deploy, Round, State, Version
from hedgerow.control.ledger import KEPT_NUMBERS, Ledger, LedgerError, OutdatedError
from hedgerow.control.placement import Placement
from hedgerow.hosting.findings import Finding

FULL = State(
    0,
    apps={
        "blog": AppState(
            "1f",
            Placement("own", "operator", "it was ordered", "threads", "e0"),
            "own",
            (Finding("names", "blog: it looks for 'models'"),),
            refused="2a",
            again=7.5,
            hooked=("1f", "0e"),
            deploys=(Deploy("2a", "1f", "folder", "failed", "load", "blog.py line 1: …", "Traceback\n ☃", 1.5),),
        ),
        "größe": AppState(),
    },
    round=Round(7, "rolling", {"blog": (Version(""), Version("1f", Placement("own")))}),
)


def test_what_is_written_is_read_by_everybody(tmp_path: Path) -> None:
    written = Ledger(tmp_path).write(FULL.with_lease("r1", 100.0))
    assert written.number == 1
    assert Ledger(tmp_path).read() == written
    assert written.lease is not None
    assert (written.lease.number, written.lease.until) == (1, 100.0 + LEASE_S)


def test_an_empty_state_folder_has_an_empty_ledger(tmp_path: Path) -> None:
    assert Ledger(tmp_path).read() == State()


def test_of_two_changes_of_one_state_the_second_is_refused(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    one, other = first.read(), second.read()
    first.write(one.with_app("a", AppState("1")))
    with pytest.raises(OutdatedError):
        second.write(other.with_app("b", AppState("2")))
    assert second.read().apps == {"a": AppState("1")}
    assert not list((tmp_path / "ledger").glob(".new-*"))


def test_a_writer_that_slept_until_its_place_was_removed_is_refused(tmp_path: Path) -> None:
    sleeper, awake = Ledger(tmp_path), Ledger(tmp_path)
    old = sleeper.read()
    for count in range(KEPT_NUMBERS + 5):
        awake.write(awake.read().with_app("a", AppState(str(count))))
    assert len(list((tmp_path / "ledger").glob("*.json"))) == KEPT_NUMBERS
    with pytest.raises(OutdatedError):
        sleeper.write(old.with_app("a", AppState("old")))
    assert sleeper.read().apps["a"].release == str(KEPT_NUMBERS + 4)


def test_a_damaged_entry_is_passed_over_and_the_next_change_goes_behind_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.write(ledger.write(FULL))
    (tmp_path / "ledger" / "0000000002.json").write_text('{"number": 2, "apps"')
    found = Ledger(tmp_path).read()
    assert (found.number, dict(found.apps)) == (2, dict(FULL.apps))
    assert Ledger(tmp_path).write(found).number == 3


def test_what_a_newer_version_has_added_is_passed_over(tmp_path: Path) -> None:
    written = Ledger(tmp_path).write(FULL.with_lease("r1", 100.0))
    path = tmp_path / "ledger" / "0000000001.json"
    told = json.loads(path.read_text())
    for part in (told, told["lease"], told["apps"]["blog"], told["apps"]["blog"]["deploys"][0], told["round"]):
        part["newer"] = 3
    path.write_text(json.dumps(told))
    assert Ledger(tmp_path).read() == written


def test_a_ledger_that_vanishes_is_no_empty_one(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.write(FULL)
    shutil.rmtree(tmp_path / "ledger")
    with pytest.raises(LedgerError, match="what runs goes on"):
        ledger.read()


def test_a_ledger_of_rubbish_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    for number, text in enumerate(["", "[]", '{"apps": 3}', "[" * 100_000], 1):
        (tmp_path / "ledger" / f"{number:010d}.json").write_text(text)
    with pytest.raises(LedgerError, match=r"ledger: there is nothing in it that can be understood"):
        Ledger(tmp_path).read()


def test_a_state_folder_that_cannot_be_written_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("a file")
    with pytest.raises(LedgerError, match=r"/ledger: "):
        Ledger(tmp_path).write(State())


def test_the_lease_is_kept_by_its_holder_and_taken_by_another_when_its_time_is_over() -> None:
    state = dataclasses.replace(State(5).with_lease("r1", 100.0), number=6)
    assert state.holds("r1", 109.9)
    assert not state.holds("r2", 109.9)
    assert not state.is_free(109.9)
    kept = dataclasses.replace(state.with_lease("r1", 105.0), number=7)
    assert kept.lease is not None
    assert (kept.lease.number, kept.lease.until) == (6, 115.0)
    assert not kept.holds("r1", 115.0)
    assert kept.is_free(115.0)
    taken = kept.with_lease("r2", 116.0)
    assert taken.lease is not None
    assert (taken.lease.holder, taken.lease.number) == ("r2", 8)
    again = kept.with_lease("r1", 116.0)  # its time was over: another may have had it meanwhile
    assert again.lease is not None
    assert again.lease.number == 8


def test_a_lease_that_a_jump_of_the_clock_has_put_far_off_is_free() -> None:
    state = State(5).with_lease("r1", 10_000.0)
    assert not state.is_free(9_995.0), "clocks differ a little"
    assert state.is_free(6_400.0)


def test_only_the_newest_deploy_keeps_its_traceback() -> None:
    app = AppState().with_deploy(Deploy("1", traceback="long")).with_deploy(Deploy("2", traceback="longer"))
    assert [one.traceback for one in app.deploys] == ["longer", ""]


def test_failures_do_not_take_away_what_a_rollback_goes_to() -> None:
    app = AppState("2").with_deploy(Deploy("1", outcome="live")).with_deploy(Deploy("2", "1", outcome="live"))
    for count in range(3 * KEPT_DEPLOYS):
        app = app.with_deploy(Deploy(f"bad{count}", "2", outcome="failed"))
    assert app.previous == "1"
    assert len(app.deploys) == KEPT_DEPLOYS + 2
    assert app.trouble is not None
    assert app.trouble.release == f"bad{3 * KEPT_DEPLOYS - 1}"


COUNTER = """
import sys, pathlib
from hedgerow.control.entries import AppState
from hedgerow.control.ledger import Ledger, OutdatedError
ledger = Ledger(pathlib.Path(sys.argv[1]))
done = 0
while done < int(sys.argv[2]):
    state = ledger.read()
    known = int(state.apps["a"].release) if "a" in state.apps else 0
    try:
        ledger.write(state.with_app("a", AppState(str(known + 1))))
    except OutdatedError:
        continue
    done += 1
    print(done, flush=True)
"""


def counting(state: Path, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COUNTER, str(state), str(count)], stdout=subprocess.PIPE, text=True, env=os.environ
    )


def test_four_processes_that_count_lose_no_step(tmp_path: Path) -> None:
    processes = [counting(tmp_path, 50) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()
    state = Ledger(tmp_path).read()
    assert (state.number, state.apps["a"].release) == (200, "200")


def test_killed_writers_leave_a_whole_ledger(tmp_path: Path) -> None:
    random.seed(4)
    told = 0
    for _ in range(12):
        with counting(tmp_path, 10**6) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random.uniform(0, 0.05))
            process.kill()
            told += 1 + len(process.stdout.read().splitlines())
    ledger = Ledger(tmp_path)
    state = ledger.read()
    assert state.number == int(state.apps["a"].release) >= told
    for path in (tmp_path / "ledger").glob("*.json"):
        json.loads(path.read_text())
    ledger.clean(time.time() + 1)
    assert all(path.suffix == ".json" for path in (tmp_path / "ledger").iterdir())
