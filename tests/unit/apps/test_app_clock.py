"""The clock: its stream ticks once a second, ends when it should, and lets go when the client has gone."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from sample_apps import APPS, call, environ_for, load


@pytest.fixture
def clock() -> Any:
    return load(APPS / "clock")


def told(event: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event.decode().split("data: ", 1)[1])
    return found


@pytest.mark.parametrize("mount", ["", "/x"])
def test_a_stream_of_two_events_takes_one_second(clock: Any, mount: str) -> None:
    began = time.monotonic()
    answer = call(clock.application, "/stream?count=2", mount=mount)
    assert 1.0 <= time.monotonic() - began < 1.9
    assert answer.status == "200 OK"
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-length" not in answer.headers
    events = answer.body.split(b"\n\n")
    assert events.pop() == b""
    assert [told(event)["n"] for event in events] == [1, 2]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", told(event)["time"]) for event in events)
    assert clock.listeners.number == 0


def test_ticks_do_not_drift(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(clock, "time", type("Clock", (), {
        "monotonic": staticmethod(lambda: now[0]),
        "sleep": staticmethod(sleep),
        "strftime": staticmethod(time.strftime),
        "gmtime": staticmethod(time.gmtime),
    }))  # fmt: skip
    when = []
    for _ in clock.ticks(50):
        when.append(now[0])
        now[0] += 0.3  # a slow client
    assert when == pytest.approx([100.0 + n for n in range(50)])


def test_who_leaves_is_no_listener_any_more(clock: Any) -> None:
    streams = [clock.application(environ_for("/stream"), lambda status, headers: None) for _ in range(3)]
    assert [told(next(stream))["listeners"] for stream in streams] == [1, 2, 3]
    streams[1].close()
    assert clock.listeners.number == 2
    for stream in streams:
        stream.close()
    assert clock.listeners.number == 0


def test_a_stream_that_was_never_read_counts_for_nothing(clock: Any) -> None:
    clock.application(environ_for("/stream"), lambda status, headers: None).close()
    assert clock.listeners.number == 0


def test_head_of_the_stream_ends_at_once(clock: Any) -> None:
    answer = call(clock.application, "/stream", method="HEAD")
    assert (answer.status, answer.body) == ("200 OK", b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("count", ["", "0", "-1", "3601", "99999", "0x1", "two", "٣", "1" * 5000])
def test_a_count_that_is_none_is_refused(clock: Any, count: str) -> None:
    assert call(clock.application, f"/stream?count={count}").status == "400 Bad Request"


@pytest.mark.parametrize(("mount", "to"), [("/x", "x/"), ("/a/b", "b/"), ("/z\u00c3\u00a9", "z%C3%A9/")])
def test_without_its_last_slash_the_page_sends_to_the_one_with_it(clock: Any, mount: str, to: str) -> None:
    answer = call(clock.application, "", mount=mount)
    assert (answer.status, answer.headers["location"]) == ("308 Permanent Redirect", to)


def test_the_page_shows_the_time_before_the_first_event(clock: Any) -> None:
    assert re.search(r'id="time">\d\d:\d\d:\d\d<', call(clock.application, "/").text)
