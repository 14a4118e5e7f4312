"""One process's density: 200 Flask apps whose modules all have the same names, in one worker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"
sys.path[1:1] = [str(BENCH), str(BENCH.with_name("peers"))]

import density  # noqa: E402
from meter import resident_bytes, tree_pss_bytes  # noqa: E402

LIMIT_BYTES = 100 * 10**6
BLOCK_BYTES = 50 * 10**6
PYTHON = Path(sys.executable)


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return density.make_apps(tmp_path_factory.mktemp("apps"), density.COUNT)


@pytest.fixture(scope="module")
def used(apps: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> int:
    """The bytes of the worker, of which each app has answered as itself."""
    return density.ours(PYTHON, apps, tmp_path_factory.mktemp("worker"))


def test_200_flask_apps_with_the_same_module_names_take_at_most_100_mb(used: int) -> None:
    print(f"{density.COUNT} Flask apps in one worker: {used / 10**6:.1f} MB in all")
    assert used <= LIMIT_BYTES


def test_the_same_apps_under_a_gunicorn_each_take_30_times_as_much(
    used: int, apps: dict[str, Path], tmp_path: Path
) -> None:
    some = {name: apps[name] for name in list(apps)[: density.STARTED]}
    theirs = density.gunicorns(density.DEFAULT, PYTHON, some, tmp_path)
    ratio = theirs.of(density.COUNT) / used
    print(
        f"{theirs.started} gunicorns, one an app: {theirs.bytes / 10**6:.1f} MB, {theirs.next_bytes / 10**6:.1f} more"
    )
    print(f"{density.COUNT}: {theirs.of(density.COUNT) / 10**6:,.0f} MB, ours {used / 10**6:.1f}: ratio {ratio:.1f}")
    assert ratio >= density.BAR


HOLDER = f"""
import mmap, os, sys
held = mmap.mmap(-1, {BLOCK_BYTES})
held.write(b"x" * {BLOCK_BYTES})
child = os.fork()
if not child:
    sys.stdin.read()
    os._exit(0)
print("held", flush=True)
sys.stdin.read()
os.waitpid(child, 0)
"""


def test_the_meter_counts_a_page_that_a_tree_shares_once_and_a_resident_one_in_full() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        in_all, parent = tree_pss_bytes(process.pid), resident_bytes(process.pid)
    assert BLOCK_BYTES < in_all < 1.5 * BLOCK_BYTES
    assert BLOCK_BYTES < parent < 1.5 * BLOCK_BYTES
