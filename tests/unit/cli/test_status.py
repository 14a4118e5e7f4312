"""What `hedgerow status` makes of the replicas' records."""

from __future__ import annotations

from typing import Any

import pytest

from hedgerow.cli.status import apps_of


def app(state: str = "up", error: str = "") -> dict[str, Any]:
    return {"name": "blog", "mount": "/blog", "host": "", "state": state, "error": error, "traceback": ""}


def record(*workers: list[dict[str, Any]] | None, stale: bool = False, broken: str = "") -> dict[str, Any]:
    """A replica's record: for each address what its active worker tells, None for one that does not answer."""
    addresses = [
        {"address": str(8001 + n), "active": "a", "slots": {"a": {} if apps is None else {"apps": apps}}}
        for n, apps in enumerate(workers)
    ]
    wanted = {"blog": "/releases/blog/1"} if not broken else {}
    return {"stale": stale, "apps": wanted, "broken": {"blog": broken} if broken else {}, "addresses": addresses}


@pytest.mark.parametrize(
    ("records", "state"),
    [
        ([record([app()], [app()])], "up"),
        ([record([app()], [])], "loading"),  # the second address has not turned to it yet
        ([record([], [app()])], "loading"),
        ([record([app()], None)], "up"),  # who does not answer tells nothing
        ([record(None, None)], "loading"),
        ([record([app()], [app("down", "no")])], "down"),
        ([record([app()]), record([app("down", "no")])], "down"),
        ([record([app()]), record([app("down", "no")], stale=True)], "up"),
        ([record([], broken="a link leaves it")], "down"),
    ],
)
def test_an_app_is_up_only_if_every_worker_that_answers_says_so(records: list[dict[str, Any]], state: str) -> None:
    assert [found["state"] for found in apps_of(records)] == [state]
