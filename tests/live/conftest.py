"""What a failed test shows of its stack, since that is gone, or has served other tests, when the failure is read."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from complaints import complaints
from control_support import Stack


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    stacks = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Stack)]
    if report.failed and report.when == "call":
        for log in (log for stack in stacks for log in sorted(stack.state.glob("logs/*/*.log"))):
            report.sections.append((f"what {log.name} complains of", complaints(log.read_text(errors="replace"))))
    return report
