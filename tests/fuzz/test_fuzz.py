"""The fuzzer, for a bounded number of runs: it finds nothing in the engine, and finds each fault that is planted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "fuzz.py"
COVERED = re.compile(r"\bcov: (\d+)")


def fuzz(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Always the same run: the seed is fixed."""
    command = [sys.executable, str(FUZZ), *arguments, "-seed=1", f"-artifact_prefix={tmp_path}/"]
    return subprocess.run(
        command, cwd=tmp_path, check=False, text=True, errors="replace", timeout=100,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("target", "runs", "least_covered"), [("reader", 12_000, 150), ("body", 10_000, 120), ("answer", 40_000, 60)]
)
def test_the_engine_keeps_its_laws(tmp_path: Path, target: str, runs: int, least_covered: int) -> None:
    done = fuzz(tmp_path, target, f"-runs={runs}")
    assert done.returncode == 0, done.stdout[-6000:]
    assert f"Done {runs} runs" in done.stdout
    covered = max(map(int, COVERED.findall(done.stdout)))
    print(f"{target}: {runs} runs, {covered} branches")
    assert covered >= least_covered, "coverage does not guide it"


@pytest.mark.parametrize(
    ("target", "plant"),
    [("reader", "zero"), ("reader", "space"), ("reader", "line-feed"), ("body", "no-end"), ("answer", "close")],
)
def test_a_planted_fault_is_found(tmp_path: Path, target: str, plant: str) -> None:
    done = fuzz(tmp_path, target, "--plant", plant, "-runs=60000")
    assert done.returncode == 77, done.stdout[-2000:]
    assert re.search(
        r"^(AssertionError|RemoteProtocolError|h11\._util\.RemoteProtocolError)", done.stdout, re.MULTILINE
    )
    assert "invariants.py" in done.stdout
    assert list(tmp_path.glob("crash-*")), "the bytes are kept"
