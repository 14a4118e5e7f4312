"""Runs the rings of tests, each in its own pytest, and fails if one failed, skipped something or ran nothing.

What a ring needs of Debian's packages it gets by itself as root on Debian. Elsewhere a ring that cannot run is named in
one line and left out; with CI=true that is a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RINGS = ("unit", "live", "matrix", "compiled", "fuzz", "stack")
# The compiled engine has to pass the tests of the plain one: those that meet its modules.
COMPILED = (
    "unit/http", "unit/pep3333", "unit/hosting", "unit/test_compiled.py",
    "live/test_worker.py", "live/test_worker_abuse.py", "live/test_limits.py", "live/test_wsgi.py",
    "live/test_live_corpus.py", "live/test_advisories.py", "live/test_soak.py", "live/test_idle_connections.py",
    "live/test_syscalls.py", "live/test_same_answers.py",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    ring: str
    exit_status: int
    passed: int
    failed: int
    skipped: int

    @property
    def fault(self) -> str:
        """Why this ring does not count as passed, or nothing."""
        if self.failed or self.exit_status:
            return f"{self.failed} failed, pytest ended with {self.exit_status}"
        if self.skipped:
            return f"{self.skipped} tests were skipped"
        return "" if self.passed else "no test ran"


def main(rings: list[str]) -> int:
    results = []
    left_out = []
    for ring in rings:
        reason = why_not(ring)
        if reason:
            left_out.append(f"{ring}: not run: {reason}")
        else:
            results.append(run(ring))
    faults = [f"{result.ring}: {result.fault}" for result in results if result.fault]
    for line in left_out + faults:
        print(line)
    print(f"total: {sum(r.passed for r in results)} passed, {sum(r.failed for r in results)} failed")
    return 1 if faults or (left_out and os.environ.get("CI") == "true") else 0


def why_not(ring: str) -> str:
    """One line: what the ring lacks on this machine; empty if nothing."""
    if ring == "fuzz" and find_spec("atheris") is None:
        return "atheris has no wheel for this Python"
    needs = {"stack": "engine.sh", "compiled": "compiler.sh", "matrix": "compiler.sh"}
    if ring not in needs:
        return ""
    need = subprocess.run([HERE / needs[ring], "need"], check=False, capture_output=True, text=True)
    return need.stdout.strip() if need.returncode else ""


def run(ring: str) -> Result:
    print(f"== {ring}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-rfEs", "--durations=5", "-m", "not slow"]
        environ = dict(os.environ)
        tests = [f"tests/{ring}"]
        if ring == "matrix":
            made = subprocess.run(["make", "--silent", ".venv-peers/.installed"], cwd=ROOT, check=False)
            if made.returncode:
                return Result(ring, made.returncode, 0, 0, 0)
        if ring == "compiled":
            built = subprocess.run([HERE / "compiler.sh", "build", sys.executable, folder], check=False)
            if built.returncode:
                return Result(ring, built.returncode, 0, 0, 0)
            tests = [f"tests/{path}" for path in COMPILED]
            environ |= {"PYTHONPATH": f"{folder}/unpacked", "HEDGEROW_TEST_COMPILED": "1"}
        exit_status = subprocess.run([*command, f"--junitxml={report}", *tests], cwd=ROOT, env=environ, check=False)
        return counted(ring, exit_status.returncode, report)


def counted(ring: str, exit_status: int, report: Path) -> Result:
    if not report.exists():
        return Result(ring, exit_status or 1, 0, 0, 0)
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    tests = failed = skipped = 0
    for suite in suites:
        tests += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return Result(ring, exit_status, tests - failed - skipped, failed, skipped)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(RINGS)))
