"""The record of settings: what the environment may say, and how mistakes are told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hedgerow.config import Settings
from hedgerow.errors import UserError


def test_what_is_told_to_a_child_makes_an_equal_record(tmp_path: Path) -> None:
    made = Settings.from_env({"HEDGEROW_DRAIN_S": "0", "HEDGEROW_ACCESS_LOG": "no"}, state=tmp_path, workers=3)
    assert (made.drain_s, made.access_log, made.workers) == (0.0, False, 3)
    assert Settings.from_env(made.to_env()) == made


def test_every_number_has_limits_and_its_default_keeps_them() -> None:
    for option in dataclasses.fields(Settings):
        if isinstance(option.default, int | float) and not isinstance(option.default, bool):
            low, high = option.metadata["limits"]
            assert low <= option.default <= high, option.name


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "-0.5", "1e300"])
@pytest.mark.parametrize("name", ["DRAIN_S", "KEEPALIVE_S", "HEAD_TIMEOUT_S", "BODY_TIMEOUT_S", "LINGER_S"])
def test_a_time_without_sense_is_refused(name: str, value: str) -> None:
    with pytest.raises(UserError, match=f"^HEDGEROW_{name}={float(value)}: not between".replace("+", r"\+")):
        Settings.from_env({f"HEDGEROW_{name}": value})


@pytest.mark.parametrize("name", ["WORKERS", "PORT", "APP_RUNNING", "LOG_QUEUE_LINES", "MAX_HEAD_BYTES"])
def test_a_count_without_sense_is_refused(name: str) -> None:
    for value in ("-1", "0", "1" + "0" * 30):
        with pytest.raises(UserError, match=f"HEDGEROW_{name}={value}: not between"):
            Settings.from_env({f"HEDGEROW_{name}": value})


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(UserError) as caught:
        Settings.from_env({"HEDGEROW_DRAIN_S": "nan", "HEDGEROW_PORT": "eighty", "HEDGEROW_REPLICA": "a/b"}, workers=0)
    told = str(caught.value)
    assert told.count("; ") == 3
    for part in ("HEDGEROW_DRAIN_S=nan", "HEDGEROW_PORT='eighty': not a number", "REPLICA='a/b'", "HEDGEROW_WORKERS=0"):
        assert part in told


def test_addresses_beyond_the_last_port_are_refused() -> None:
    with pytest.raises(UserError, match="3 addresses from 65534 on"):
        Settings.from_env({"HEDGEROW_FIRST_ADDRESS": "65534"}, workers=3)
    assert Settings.from_env({"HEDGEROW_FIRST_ADDRESS": "65534"}, workers=2).addresses == ["65534", "65535"]
