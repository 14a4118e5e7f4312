"""`docker compose --profile load up`: Locust's page and its workers beside the stack. Nothing is sent here."""

from __future__ import annotations

import json

from .engine import ROOT, Stack, request, wait_for

APPS = [ROOT / "apps" / "function"]
REPLICAS = 1


def test_the_load_profile_brings_the_page_and_two_workers(stack: Stack) -> None:
    stack.compose(
        "--profile", "load", "up", "--detach", "--no-build", "--no-deps", "--wait", "locust-master", "locust-worker"
    )
    port = stack.published("locust-master", 8089)

    def answers() -> bool:
        try:
            return request(port, "GET", "/").status == 200
        except OSError:
            return False

    def workers() -> list[str]:
        return [worker["state"] for worker in json.loads(request(port, "GET", "/stats/requests").body)["workers"]]

    wait_for(answers, "Locust's page answers")
    assert "http://front:8080" in request(port, "GET", "/").text
    wait_for(lambda: workers() == ["ready", "ready"], "two workers are ready")
