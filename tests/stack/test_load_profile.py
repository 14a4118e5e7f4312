"""`docker compose --profile load up`: Locust's page and its workers beside the stack, and a short run over its page."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from .engine import Stack, request, wait_for

FRONT = "http://127.0.0.1:8080"  # as Locust's workers see it, see load_profile.compose.yml
RUN_S = 120  # at most
RUNS = [(40, 500), pytest.param(200, 20_000, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def page(stack: Stack) -> int:
    """The published port of Locust's page."""
    services = ["locust-master", "locust-worker"]
    stack.compose("--profile", "load", "up", "--detach", "--no-build", "--no-deps", "--wait", *services)
    port = stack.published("locust-master", 8089)

    def answers() -> bool:
        try:
            return request(port, "GET", "/").status == 200
        except OSError:
            return False

    wait_for(answers, "Locust's page answers")
    return port


def told(page: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request(page, "GET", "/stats/requests").body)
    return found


def states_are(page: int, *states: str) -> Callable[[], bool]:
    return lambda: [worker["state"] for worker in told(page)["workers"]] == list(states)


def test_the_load_profile_brings_the_page_and_two_workers(page: int) -> None:
    assert "http://front:8080" in request(page, "GET", "/").text
    wait_for(states_are(page, "ready", "ready"), "two workers are ready")


@pytest.mark.parametrize(("users", "wanted"), RUNS)
def test_a_run_started_over_the_page_has_requests_and_no_failure(page: int, users: int, wanted: int) -> None:
    wait_for(states_are(page, "ready", "ready"), "two workers are ready")
    options = {"user_count": users, "spawn_rate": users, "host": FRONT, "run_time": f"{RUN_S}s"}
    form = urlencode(options).encode()
    started = request(page, "POST", "/swarm", form, Content_Type="application/x-www-form-urlencoded")
    assert json.loads(started.body)["success"], started.text
    wait_for(lambda: total(page)["num_requests"] >= wanted, f"{wanted} requests are answered", within_s=RUN_S)
    assert request(page, "POST", "/stop").status == 200
    wait_for(lambda: told(page)["state"] == "stopped", "the run has ended")
    seen = told(page)
    print(f"{total(page)['num_requests']} requests by {users} users, {total(page)['num_failures']} failed")
    assert seen["errors"] == []
    assert total(page)["num_failures"] == 0
    names = {row["name"] for row in seen["stats"]}
    assert {"function", "klass", "instance", "whoami JSON", "clock", "notes"} <= names


def total(page: int) -> dict[str, Any]:
    rows: list[dict[str, Any]] = told(page)["stats"]
    return next(row for row in rows if row["name"] == "Aggregated")
