"""Which clients have the next release of an app."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from hedgerow.control.entries import AppState, Canary
from hedgerow.control.placement import Placement
from hedgerow.hosting.forwarded import CanaryApp, ForwardedApp
from hedgerow.hosting.gate import Gate
from hedgerow.hosting.manifest import Canary as Terms
from hedgerow.hosting.mounts import Mount
from hedgerow.worker.canary import Split

OPEN = AppState("b1", canary=Canary("b2", Placement(), Terms(share=10), 7, began=1.0))
PREPARED = AppState("b1", canary=Canary("b2", Placement(), Terms(share=10), 7))
REFUSED = AppState("b1", refused="b2")
PROMOTED = AppState("b2")


@dataclass
class Request:
    fields: dict[str, str]


@dataclass
class Job:
    """What is looked at of one."""

    request: Request
    request_id: str
    own_headers: tuple[str, ...] = field(default=())


def split(*told: AppState, share: float = 10.0, path: str = "/blog") -> Split:
    app = ForwardedApp("b log", Mount(path), Gate(10), ("/run/p1.http",))
    made = Split(CanaryApp(app, share, 7, "b2"), path, cast("Any", None))
    for one in told:
        made.follow(one)
    return made


def ask(made: Split, cookie: str = "", request_id: str = "") -> tuple[bool, tuple[str, ...]]:
    job = Job(Request({"HTTP_COOKIE": cookie} if cookie else {}), request_id or uuid.uuid4().hex)
    return made.is_new(cast("Any", job)), job.own_headers


def test_the_share_is_the_one_that_was_asked_for() -> None:
    for share in (1.0, 10.0, 33.3, 99.0):
        made = split(OPEN, share=share)
        new = sum(ask(made)[0] for _ in range(20_000))
        print(f"{share} %: {new / 200:.2f}")
        assert abs(new / 200 - share) < 2


def test_a_client_is_told_where_it_belongs_and_stays_there() -> None:
    made, sides = split(OPEN), set()
    for _ in range(200):
        new, (line,) = ask(made)
        name, _, rest = line.removeprefix("Set-Cookie: ").partition("=")
        value, _, attributes = rest.partition("; ")
        assert (name, attributes) == ("hedgerow-canary-b%20log", "Path=/blog; HttpOnly; SameSite=Lax")
        sides.add((new, value))
        assert ask(made, f"a=b; {name}={value}; c=d") == (new, ())
    assert sides == {(False, "7-old"), (True, "7-new")}


@pytest.mark.parametrize("path", ["", "/b;log"])
def test_a_path_that_no_cookie_can_tell_is_the_root_s(path: str) -> None:
    assert "; Path=/; " in ask(split(OPEN, path=path))[1][0]


def test_the_same_request_gets_the_same_side_from_any_worker() -> None:
    one, other = split(OPEN), split(OPEN)
    ids = [uuid.uuid4().hex for _ in range(1000)]
    assert [ask(one, request_id=name)[0] for name in ids] == [ask(other, request_id=name)[0] for name in ids]


def test_until_all_are_prepared_nobody_gets_a_side_but_who_has_one_keeps_it() -> None:
    for made in (split(), split(PREPARED), split(OPEN, PROMOTED)):
        assert {ask(made) for _ in range(200)} == {(False, ())}
        assert ask(made, "hedgerow-canary-b%20log=7-new") == (True, ())


def test_from_one_that_is_refused_all_go_back_at_once() -> None:
    made = split(OPEN, REFUSED)
    assert {ask(made) for _ in range(200)} == {(False, ())}
    assert ask(made, "hedgerow-canary-b%20log=7-new") == (False, ())


def test_from_one_that_another_deploy_follows_all_go_back_before_anybody_has_that() -> None:
    canary = Canary("b3", Placement(), Terms(share=10), 8)
    for app in (AppState("b1", canary=canary), AppState("b1"), AppState("b3"), AppState()):
        made = split(OPEN, app)
        assert ask(made, "hedgerow-canary-b%20log=7-new") == (False, ()), app


def test_the_cookie_of_another_one_says_nothing() -> None:
    made = split(OPEN)
    for cookie in ("hedgerow-canary-b%20log=6-new", "hedgerow-canary-b%20log=77-new", "hedgerow-canary-blog=7-new"):
        assert len(ask(made, cookie)[1]) == 1


def test_both_sides_are_counted() -> None:
    made = split(OPEN)
    for status, seconds in (("200 OK", 0.0001), ("500 No", 0.1), ("", 0.1)):
        made.new.count(status, seconds)
    assert made.status == {
        "number": 7,
        "old": {"requests": 0, "errors": 0, "times": {}},
        "new": {"requests": 3, "errors": 1, "times": {0: 1, 40: 2}},
    }
