"""What a worker knows of apps that a round is bringing."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from hedgerow.control import layout
from hedgerow.control.ledger import AppState, Deploy, Ledger
from hedgerow.control.rounds import Passed, ReplicaView, advance, begin, wanted
from hedgerow.worker.arrivals import Arrivals


def release(state: Path, app: str, name: str, manifest: str = "") -> Passed:
    code = layout.code(state, app, name)
    code.mkdir(parents=True)
    (code / "app.toml").write_text(manifest)
    return Passed(app, Deploy(name))


def test_an_app_is_expected_from_its_round_on_until_it_is_removed(tmp_path: Path) -> None:
    ledger, arrivals = Ledger(tmp_path), Arrivals(tmp_path)
    assert not arrivals.expects("/blog/", "a"), "there is no ledger"
    ledger.write(ledger.read().with_app("old", AppState("1")))
    assert not arrivals.expects("/blog/", "a")
    rolling = ledger.write(begin(ledger.read(), [release(tmp_path, "blog", "b1")]))
    assert arrivals.expects("/blog/post/1", "a")
    assert arrivals.expects("/blog", "a")
    assert not arrivals.expects("/blogs/", "a")
    ended = advance(rolling, [ReplicaView("r1", (wanted(rolling),))])
    assert ended is not None
    ledger.write(ended)
    assert arrivals.expects("/blog/", "a"), "a worker that drains may be asked when its round has ended"
    ledger.write(begin(ledger.read(), [Passed("blog", Deploy("", cause="removed"))]))
    assert not arrivals.expects("/blog/", "a")


def test_the_new_releases_own_mount_counts(tmp_path: Path) -> None:
    ledger, arrivals = Ledger(tmp_path), Arrivals(tmp_path)
    ledger.write(begin(ledger.read(), [release(tmp_path, "blog", "b1", 'mount = "/journal"\nhost = "blog.example"')]))
    assert arrivals.expects("/journal/x", "blog.example:8080")
    assert not arrivals.expects("/journal/x", "other.example")
    assert not arrivals.expects("/blog/", "blog.example")


def test_an_app_that_goes_is_not_expected_until_the_round_turns_back(tmp_path: Path) -> None:
    ledger, arrivals = Ledger(tmp_path), Arrivals(tmp_path)
    passed = release(tmp_path, "blog", "b1")
    ledger.write(ledger.read().with_app("blog", AppState("b1")))
    going = ledger.write(begin(ledger.read(), [dataclasses.replace(passed, deploy=Deploy(""))]))
    assert not arrivals.expects("/blog/", "a")
    back = advance(going, [ReplicaView("r1", rejected=wanted(going))])
    assert back is not None
    ledger.write(back)
    assert arrivals.expects("/blog/", "a")


def test_two_changes_within_one_tick_of_the_file_system_are_both_seen(tmp_path: Path) -> None:
    ledger, arrivals = Ledger(tmp_path), Arrivals(tmp_path)
    ledger.write(ledger.read().with_app("old", AppState("1")))
    then = os.stat(ledger.folder).st_mtime_ns
    assert not arrivals.expects("/blog/", "a")
    ledger.write(begin(ledger.read(), [release(tmp_path, "blog", "b1")]))
    os.utime(ledger.folder, ns=(then, then))
    assert arrivals.expects("/blog/", "a")


def test_a_broken_ledger_or_manifest_expects_nothing(tmp_path: Path) -> None:
    ledger, arrivals = Ledger(tmp_path), Arrivals(tmp_path)
    ledger.write(begin(ledger.read(), [release(tmp_path, "blog", "b1", "mount = 3")]))
    assert not arrivals.expects("/blog/", "a")
    for path in ledger.folder.iterdir():
        path.write_text("{")
    os.utime(ledger.folder, ns=(1, 1))
    assert not arrivals.expects("/blog/", "a")
