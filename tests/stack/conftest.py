"""Fixtures of the stack tests: the engine once a session, a running stack once a module.

A module is a pair: `test_<topic>.py` with its sentences, and, where the stack must differ from the shipped one,
`<topic>.compose.yml` beside it. `APPS` in the module names the app folders; without it the sample apps are used.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from . import engine as docker
from .deploys import Deploys

SAMPLES = sorted(folder for folder in (docker.ROOT / "apps").iterdir() if (folder / "app.py").exists())

TIMEOUT_S = 600  # of one test with its fixtures: the first one on a bare machine fetches and builds everything


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(docker.HERE) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the stack said of a failed test's time, since its containers are gone when the failure is read."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and report.when == "call" and isinstance(stack, docker.Stack):
        try:
            told = stack.complaints(call.start)
        except (docker.DockerError, OSError) as error:
            told = str(error)
        report.sections.append(("the stack's complaints", told))
    return report


@pytest.fixture(scope="session")
def engine() -> Iterator[dict[str, str]]:
    with docker.engine() as env:
        yield env


@pytest.fixture(scope="module")
def idle_stack(
    engine: dict[str, str], request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[docker.Stack]:
    """The module's stack, not started; taken down with its volumes at the end, whatever happened."""
    topic = Path(request.path).stem.removeprefix("test_")
    override = docker.HERE / f"{topic}.compose.yml"
    apps = getattr(request.module, "APPS", SAMPLES)
    stack = docker.Stack(engine, tmp_path_factory.mktemp(topic), apps, override if override.exists() else None)
    try:
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="module")
def stack(idle_stack: docker.Stack, request: pytest.FixtureRequest) -> docker.Stack:
    """The module's stack, healthy, with `REPLICAS` of the module or two replicas."""
    idle_stack.up(getattr(request.module, "REPLICAS", 2))
    return idle_stack


@pytest.fixture
def deploys(stack: docker.Stack) -> Deploys:
    """The deploys of the module's stack, from a moment when nothing of them is under way."""
    found = Deploys(stack)
    found.wait_named_state()
    return found
