"""The kernel's limit for the memory of one app's process, each case in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

LIMITED = """
from hedgerow.hosting import memory

memory.limit({megabytes}, {threads})


def took(megabytes):
    try:
        return bool(bytes(megabytes * 10**6))
    except MemoryError:
        return False


print(took(50), took({megabytes}))
"""
FULL = """
from hedgerow.hosting import memory

memory.limit(100)
kept = []


def much():
    mine = []
    while True:
        mine.append(bytes(1000))


def took(megabytes):
    try:
        return bool(bytes(megabytes * 10**6))
    except MemoryError:
        return False


try:
    {fills}
except MemoryError as error:
    told = [took(2)]
    with memory.Room(error):
        told.append(took(2))
    told.append(took(2))
print(*told)
"""


def said(code: str, **given: object) -> list[str]:
    shell = ["/bin/sh", "-c", 'ulimit -s 8192; exec "$@"', "sh"]  # 8 MB for each thread
    command = [*shell, sys.executable, "-c", code.format(**given)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split()


@pytest.mark.parametrize("threads", [0, 20])
def test_a_process_is_held_to_its_limit_and_the_stacks_of_threads_come_on_top(threads: int) -> None:
    assert said(LIMITED, megabytes=100, threads=threads) == ["True", str(threads == 20)]


@pytest.mark.parametrize(
    ("fills", "then"),
    [("much()", "True"), ("while True: kept.append(bytes(1000))", "False")],
    ids=["what ended frames held is given back", "what the app keeps is not"],
)
def test_who_tells_of_it_has_room_though_the_app_has_not(fills: str, then: str) -> None:
    assert said(FULL, fills=fills) == ["False", "True", then]
