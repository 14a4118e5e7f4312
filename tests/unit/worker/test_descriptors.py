"""How many descriptors a process has open, also when there is none left to look with."""

from __future__ import annotations

import contextlib
import os
import resource

import pytest

from hedgerow.worker import descriptors
from hedgerow.worker.descriptors import most

WITHOUT_A_SIZE = "/proc/self/fdinfo"  # as /proc/self/fd before Linux 6.2


@pytest.mark.parametrize("by_listing", [False, True])
def test_each_descriptor_counts(by_listing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if by_listing:
        monkeypatch.setattr(descriptors, "HERE", WITHOUT_A_SIZE)
    before = descriptors.descriptors()
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(5)]
    try:
        assert descriptors.descriptors() == before + 5 == len(os.listdir("/proc/self/fd")) - 1
    finally:
        for one in opened:
            os.close(one)
    assert descriptors.descriptors() == before


def test_without_one_left_to_look_with_all_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "HERE", WITHOUT_A_SIZE)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors.descriptors() + 10, hard))
    opened = []
    try:
        with contextlib.suppress(OSError):
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        assert descriptors.descriptors() == most()
    finally:
        for one in opened:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
