"""With no replica left the front answers with what it has kept, and goes on by itself when they are back."""

from __future__ import annotations

from .engine import HERE, Stack, wait_for

APPS = [HERE / "apps" / "keeps_pages"]
PAGE = "/keeps_pages/page"


def told(stack: Stack) -> str:
    return stack.get(PAGE).headers.get("cache-status", "")


def test_an_answer_is_kept_while_no_replica_lives(stack: Stack) -> None:
    first = stack.get(PAGE)
    assert (first.status, first.text, first.headers["cache-status"]) == (200, "1", "hedgerow; fwd=miss")
    wait_for(lambda: told(stack) == "hedgerow; hit", "it is kept")
    stack.compose("kill", "appserver")
    wait_for(lambda: told(stack) == "hedgerow; hit; detail=stale-if-error", "it is too old")
    assert stack.get(PAGE).status == 200
    unknown = stack.get("/keeps_pages/unknown", Accept="application/json")
    assert (unknown.status, "unreachable" in unknown.text) == (502, True)
    stack.scale(2)
    wait_for(lambda: told(stack) in ("hedgerow; fwd=stale", "hedgerow; fwd=miss"), "the app answers")
