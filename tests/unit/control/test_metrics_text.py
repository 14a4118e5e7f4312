"""What Prometheus reads. Its own reader has it in tests/live/test_prometheus.py; here is what the figures are."""

from __future__ import annotations

import json
import re
from typing import Any

from hedgerow.control import metrics_text
from hedgerow.hosting.counts import BOUNDS_S, Counts

# A sample's grammar; inside quotes only these three escapes.
SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\d+(?:\.\d+)?(?:e[+-]\d+)?)')


def told(replica: str = "r1", age_s: float = 1.0, **more: Any) -> dict[str, Any]:
    usual = {"apps": [], "ended": {}, "workers": {}, "bounds": list(BOUNDS_S)}
    whole: dict[str, Any] = json.loads(json.dumps(usual | more))
    return whole | {"replica": replica, "age_s": age_s}


def samples(text: str) -> dict[str, str]:
    """Sample → value; each family once, its help and type in front of it."""
    found: dict[str, str] = {}
    family, seen = "", set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
            assert family not in seen
            seen.add(family)
        elif line.startswith("# TYPE "):
            assert line.split()[2] == family
            assert line.split()[3] in ("counter", "gauge", "histogram")
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert match[1].removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") == family
            assert f"{match[1]}{{{match[2]}}}" not in found, "twice"
            found[f"{match[1]}{{{match[2]}}}"] = match[3]
    assert text.endswith("\n")
    return found


def counts() -> dict[str, Any]:
    made = Counts()
    for seconds, status in ((0.0005, "200 OK"), (0.02, "404 x"), (0.02, "500 x"), (100.0, "")):
        made.served(status, bool(status), seconds, 10, 20)
    made.turned_away("full", True)
    made.turned_away("rate", False)
    made.deadlines, made.blocks = 3, 4
    return made.told()


def test_each_figure_of_an_app() -> None:
    found = samples(metrics_text.render([told(ended={"shop": counts()})]))
    shop = 'replica="r1",app="shop"'
    for name, labels, value in (
        ("requests_total", ',code="none"', "1"),
        ("requests_total", ',code="2xx"', "1"),
        ("requests_total", ',code="3xx"', "0"),
        ("requests_total", ',code="5xx"', "1"),
        ("refused_total", ',cause="rate"', "1"),
        ("moved_total", ',cause="full"', "1"),
        ("aborted_total", "", "1"),
        ("deadlines_total", "", "3"),
        ("blocks_total", "", "4"),
        ("request_bytes_total", "", "40"),
        ("response_bytes_total", "", "80"),
        ("request_duration_seconds_bucket", ',le="0.001"', "1"),
        ("request_duration_seconds_bucket", ',le="0.01"', "1"),
        ("request_duration_seconds_bucket", ',le="0.025"', "3"),
        ("request_duration_seconds_bucket", ',le="60.0"', "3"),
        ("request_duration_seconds_bucket", ',le="+Inf"', "4"),
        ("request_duration_seconds_sum", "", "100.0405"),
        ("request_duration_seconds_count", "", "4"),
    ):
        assert found[f"hedgerow_{name}{{{shop}{labels}}}"] == value, (name, labels)
    assert f'hedgerow_requests_total{{{shop},code="1xx"}}' not in found


def test_sums_of_ended_workers_and_of_those_that_run_are_one_figure() -> None:
    workers = {"7-1": {"pid": 7, "counts": {"shop": counts()}, "now": None}}
    found = samples(metrics_text.render([told(ended={"shop": counts()}, workers=workers), told("r2", apps=["shop"])]))
    assert found['hedgerow_requests_total{replica="r1",app="shop",code="2xx"}'] == "2"
    assert found['hedgerow_requests_total{replica="r2",app="shop",code="2xx"}'] == "0", "the first one is an increase"


def test_what_is_true_now_is_told_by_who_is_here_now() -> None:
    now = {"address": "8001", "slot": "b", "memory_bytes": 5, "descriptors": 6, "connections": 7, "greenlets": 8}
    more = {"lag_s": 0.25, "gates": {"shop": [3, 2]}}
    two = {"7-1": {"pid": 7, "counts": {}, "now": now | more}, "8-1": {"pid": 8, "counts": {}, "now": None}}
    other = now | {"address": "8002"} | more
    three = two | {"9-1": {"pid": 9, "counts": {}, "now": other}}
    found = samples(metrics_text.render([told(apps=["idle", "shop"], workers=three), told("r2", 11.0, workers=two)]))
    worker = 'replica="r1",address="8001",slot="b"'
    names = ("memory_bytes", "descriptors", "connections", "greenlets", "hub_lag_seconds")
    assert [found[f"hedgerow_worker_{name}{{{worker}}}"] for name in names] == ["5", "6", "7", "8", "0.25"]
    assert found['hedgerow_requests_in_flight{replica="r1",app="shop"}'] == "6"
    assert found['hedgerow_requests_waiting{replica="r1",app="shop"}'] == "4"
    assert found['hedgerow_requests_waiting{replica="r1",app="idle"}'] == "0"
    assert found['hedgerow_replica_age_seconds{replica="r2"}'] == "11.0"
    assert [one for one in found if 'replica="r2"' in one and "worker" in one] == [], "too old to be now"


def test_names_of_apps_are_text() -> None:
    strange = 'a"b\\c\nd é \udcff'
    text = metrics_text.render([told(apps=[strange])])
    assert 'app="a\\"b\\\\c\\nd é \udcff"' in text
    samples(text)


def test_what_is_no_apps_has_an_empty_name_and_nobody_is_nobody() -> None:
    found = samples(metrics_text.render([told(ended={"": {"rejections": 2}})]))
    assert found['hedgerow_rejected_total{replica="r1"}'] == "2"
    assert metrics_text.render([]) == ""
