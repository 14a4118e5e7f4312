"""Who keeps all others from running, and when a worker counts as stuck: counted and decided, without a process."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from hedgerow.control.beats import Beat, Heart, read
from hedgerow.control.hearts import GRACE_S, MARGIN_S, Hearts, stuck_s
from hedgerow.control.observe import Seen
from hedgerow.control.offences import TIMES, WITHIN_S, Offences, culprit
from hedgerow.control.placement import OWN, SHARED
from hedgerow.control.plan import Content, Plan, died_file, fault_file
from hedgerow.control.views import AddressView, SlotView
from hedgerow.hosting.findings import STARVES, Finding

FAULT = """\
Fatal Python error: Segmentation fault

Current thread 0x00007f (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "/state/releases/shop/1/app.py", line 20 in <lambda>
  File "/state/releases/blog/2/app.py", line 3 in application
"""
APPS = {"blog": "/state/releases/blog/2", "shop": "/state/releases/shop/1", "shop2": "/state/releases/shop/1-2"}


def nobody(*_: object, **__: object) -> None:
    """Is told."""


def test_the_third_time_within_ten_minutes_is_a_finding() -> None:
    offences = Offences()
    for number in range(TIMES - 1):
        offences.note("blog", "ended its worker", number * 10.0)
        assert offences.found == {}
    offences.note("shop", "ended its worker", 30.0)
    offences.note("blog", "ended its worker", 40.0)
    assert offences.found == {"blog": Finding(STARVES, "blog: 3 times in 10 minutes it ended its worker")}


def test_what_is_older_does_not_count() -> None:
    offences = Offences()
    for number in range(20):
        offences.note("blog", "ended its worker", number * WITHIN_S / 2)
    assert offences.found == {}


def test_of_what_workers_say_each_time_counts_once() -> None:
    offences = Offences()
    for now in range(20):  # they say it with every status
        offences.tell(1, {"blog": (1, "kept all others waiting")}, now)
        offences.tell(2, {"blog": (1, "kept all others waiting")}, now)
    assert offences.found == {}
    offences.tell(2, {"blog": (2, "kept all others waiting for 2 s in GET /a")}, 21.0)
    assert offences.found["blog"].sentence == "blog: 3 times in 10 minutes it kept all others waiting for 2 s in GET /a"


def seen(group: str, content: Content, pid: int = 0, offenders: Mapping[str, tuple[int, str]] = {}) -> Seen:
    workers = {"a": {"pid": pid, "offenders": offenders}} if pid else {}
    return Seen(AddressView(group), Plan(group).with_entry("a", content), workers)


def test_what_was_found_of_an_app_is_forgotten_when_it_shares_no_more(tmp_path: Path) -> None:
    """Else it would be moved again as soon as an order has taken it back."""
    offences, beside, own = Offences(), Content(APPS), Content({"blog": APPS["blog"]}, pool=OWN)
    offenders = {"blog": (TIMES, "kept all others waiting")}
    offences.look(tmp_path, [seen("8001", beside, 1, offenders)], 1.0, nobody)
    assert list(offences.found) == ["blog"]
    offences.look(tmp_path, [seen("8001", beside), seen("p1", own)], 2.0, nobody)
    assert list(offences.found) == ["blog"], "an address still serves it"
    offences.look(tmp_path, [seen("8001", Content()), seen("p1", own)], 3.0, nobody)
    assert offences.found == {}
    offences.look(tmp_path, [seen("8001", beside, 1, offenders)], 4.0, nobody)
    assert offences.found == {}
    offences.look(tmp_path, [seen("8001", beside, 2, offenders)], 5.0, nobody)
    assert list(offences.found) == ["blog"], "it is counted anew"


@pytest.mark.parametrize("pool", [SHARED, OWN])
def test_who_ends_its_own_pool_is_named_and_not_counted(tmp_path: Path, pool: str) -> None:
    offences, told = Offences(), list[str]()
    for _ in range(TIMES):
        fault_file(tmp_path, "p1", "a").write_text(FAULT)
        content = Content({"shop": APPS["shop"]}, pool=pool)

        def log(*words: str, **more: str) -> None:
            told.append(f"{words[1]} {more['app']}")

        offences.look(tmp_path, [seen("p1", content)], 1.0, log)
    assert told == ["p1-a: its worker has ended in shop shop"] * TIMES
    assert list(offences.found) == (["shop"] if pool == SHARED else [])


def test_a_canary_that_ends_its_pool_is_no_fault_of_the_release_that_shares(tmp_path: Path) -> None:
    offences, canary = Offences(), Content({"shop": APPS["shop"]}, pool=OWN)
    for _ in range(TIMES):
        fault_file(tmp_path, "p1", "a").write_text(FAULT)
        offences.look(tmp_path, [seen("8001", Content(APPS)), seen("p1", canary)], 1.0, nobody)
    assert offences.found == {}


def test_who_ends_its_worker_while_it_is_loaded_is_named_and_not_counted(tmp_path: Path) -> None:
    """It is left out instead: it would end a pool of its own, too."""
    offences, told = Offences(), list[str]()
    for _ in range(TIMES):
        loading = '  File "/opt/hedgerow/hosting/host.py", line 60 in load_host\n'
        fault_file(tmp_path, "8001", "a").write_text(FAULT + loading)
        offences.look(tmp_path, [seen("8001", Content(APPS))], 1.0, lambda *words, **more: told.append(words[1]))
    assert told == ["8001-a: its worker has ended in shop, which it was loading"] * TIMES
    assert offences.found == {}


def test_the_innermost_frame_of_an_app_says_whose_it_was() -> None:
    assert culprit(FAULT, APPS) == "shop"
    assert culprit(FAULT, {"other": "/state/releases/other/1"}) == ""
    assert culprit("", APPS) == ""


@pytest.mark.parametrize(
    ("beat", "since", "stuck"),
    [
        (100.0, 0.0, 0.0),
        (98.0 - MARGIN_S + 0.1, 0.0, 0.0),
        (98.0 - MARGIN_S, 0.0, 2.0 + MARGIN_S),
        (50.0, 0.0, 50.0),
        (50.0, 98.0, 0.0),
        (50.0, 97.0, 3.0),
    ],
    ids=["it turns", "it may yet", "too long", "much too long", "all of the machine stood", "and goes again"],
)
def test_a_hub_is_stuck_when_it_has_not_turned_beyond_the_limit(beat: float, since: float, stuck: float) -> None:
    assert stuck_s(Beat(1, beat), 100.0, since, 2.0) == pytest.approx(stuck)


def test_a_beat_is_read_by_others_and_goes_with_its_process(tmp_path: Path) -> None:
    heart = Heart(tmp_path / "8001-a.beat", 1.0)
    assert read(tmp_path / "8001-a.beat") == (os.getpid(), 1.0)
    heart.beat(2.5)
    assert read(tmp_path / "8001-a.beat").time == 2.5
    heart.stop()
    with pytest.raises(OSError, match="8001-a"):
        read(tmp_path / "8001-a.beat")
    (tmp_path / "8001-b.beat").write_bytes(b"half")
    with pytest.raises(OSError, match="is no beat"):
        read(tmp_path / "8001-b.beat")


def test_nobody_is_ended_for_what_one_before_it_has_left(tmp_path: Path) -> None:
    """A worker that is killed leaves its beat, and some day another process has its number."""
    told: list[str] = []
    hearts, path = Hearts(tmp_path, 2.0, told.append), tmp_path / "8001-a.beat"
    ended = subprocess.Popen(["true"])
    ended.wait()
    write_beat(path, ended.pid, 1.0)
    hearts.look(100.0, 0.0)
    assert (told, path.exists()) == ([], False)
    command = [sys.executable, "-c", "import time; time.sleep(60)", "hedgerow.worker"]
    stuck, other = subprocess.Popen(command), subprocess.Popen(command)
    try:
        stuck.send_signal(signal.SIGSTOP)  # so that it does not end yet
        write_beat(path, stuck.pid, 1.0)
        hearts.look(100.0, 0.0)
        assert len(told) == 1
        write_beat(path, other.pid, 100.1)  # who has taken its place
        hearts.look(100.2, 0.0)
        write_beat(path, stuck.pid, 200.0)  # its number again, on somebody who is well
        hearts.look(200.0 + 2 * GRACE_S, 0.0)
        assert (len(told), path.exists()) == (1, True)
    finally:
        for one in (stuck, other):
            one.kill()
            one.wait()


def write_beat(path: Path, pid: int, time: float) -> None:
    path.write_bytes(struct.pack("<qd", pid, time))


def ready(pid: int, state: str = "ready", generation: int = 1, alive: bool = True) -> Seen:
    view = AddressView("8001", slots={"a": SlotView(alive, False, state, generation=generation, pid=pid)})
    return Seen(view, Plan("8001"), {})


READY, GOING, AWAY, ASLEEP = ready(1), ready(1, "draining"), ready(0, "loading"), ready(0, "loading", alive=False)


@pytest.mark.parametrize(
    ("looks", "times"),
    [
        ([READY, READY], 0),
        ([READY, ready(2)], 1),
        ([READY, AWAY, ready(2, "loading"), ready(2)], 1),
        ([READY, ready(2, generation=2)], 0),
        ([READY, GOING, ready(2)], 0),
        ([READY, ASLEEP, ready(2)], 0),
        ([ready(1, "loading"), ready(2, "loading"), ready(3)], 0),
    ],
    ids=["it is there", "another", "seen away", "of a newer plan", "told to go", "asleep", "none was ready yet"],
)
def test_a_worker_that_ends_without_a_word_is_told_of_once(tmp_path: Path, looks: list[Seen], times: int) -> None:
    offences, told = Offences(), list[str]()
    for seen in looks:
        offences.look(tmp_path, [seen], 1.0, lambda *words, **_: told.append(words[1]))
    assert told == ["8001-a: its worker has ended without a word, as by SIGKILL"] * times


@pytest.mark.parametrize("looks", [[AWAY, ready(2, "loading"), ready(2)], [ready(2)]], ids=["seen away", "at once"])
def test_a_worker_that_has_left_where_it_stood_is_told_of_by_that(tmp_path: Path, looks: list[Seen]) -> None:
    offences, told = Offences(), list[str]()
    for number, seen in enumerate([READY, *looks, ready(3)]):
        if number == 1:
            died_file(tmp_path, "8001", "a", 1).write_text(FAULT)
        offences.look(tmp_path, [seen], 1.0, lambda *words, **_: told.append(words[1]))
    by_nobody = "8001-a: its worker has ended without a word, as by SIGKILL"
    assert told == ["8001-a: its worker has ended in no app's code", by_nobody], "the second has left nothing"
