"""Which clients of an app have its next release already, and what both sides get.

By a cookie, so that a client stays where it is; who has none yet goes by its request's id, which is the same wherever
the front sends it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

from ..control.entries import AppState
from ..hosting.forwarded import CanaryApp, ForwardedApp
from ..hosting.host import Host
from ..hosting.mounts import Mounted
from ..hosting.times import step_of
from .forward import forwarded_name
from .job import Job, Target

PARTS = 10_000


class Side:
    """What the clients of one release got. errors: answers with a status of 5xx; times: how many took how long, as in
    hosting/times.py."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.times: dict[int, int] = {}

    def count(self, status: str, seconds: float) -> None:
        """One request more that was answered. status: '' for none, since its client has gone."""
        self.requests += 1
        if status.startswith("5"):
            self.errors += 1
        step = step_of(seconds)
        self.times[step] = self.times.get(step, 0) + 1

    @property
    def status(self) -> dict[str, Any]:
        return {"requests": self.requests, "errors": self.errors, "times": self.times}


class Split:
    """An app's clients, between two releases. path: of its mount; target: the new one's.

    There before anybody is sent to the new one, so that wherever a client comes next it is known where it belongs:

        prepared    clients stay where they belong, and none does yet
        open        all replicas are prepared: who comes for the first time gets a side
        closed      it is refused, or another deploy follows: all go back at once, and not when their worker is followed
                    by another
    """

    def __init__(self, canary: CanaryApp, path: str, target: Target) -> None:
        self.number = canary.number
        self.target = target
        self.old, self.new = Side(), Side()
        self._release = canary.release
        self._is_open = self._is_closed = False
        self._part = round(PARTS * canary.share / 100)
        cookie = f"hedgerow-canary-{forwarded_name(canary.app.name)}={canary.number}-"
        self._cookies = f"{cookie}old", f"{cookie}new"
        self._path = path if path and ";" not in path else "/"  # which would end it in the cookie

    def follow(self, app: AppState) -> None:
        """What the ledger tells of the app."""
        canary = app.canary
        lasts = canary is not None and canary.number == self.number
        self._is_open = canary is not None and lasts and canary.began > 0
        self._is_closed = app.refused == self._release or not (lasts or app.release == self._release)

    def is_new(self, job: Job) -> bool:
        """Whether this request is for the new release; its answer tells the client where it belongs."""
        if self._is_closed:
            return False
        told: str = job.request.fields.get("HTTP_COOKIE", "")
        for new, cookie in enumerate(self._cookies):
            if cookie in told:
                return bool(new)
        if not self._is_open:
            return False
        new = zlib.crc32(job.request_id.encode()) % PARTS < self._part
        job.own_headers += (f"Set-Cookie: {self._cookies[new]}; Path={self._path}; HttpOnly; SameSite=Lax",)
        return new

    @property
    def status(self) -> dict[str, Any]:
        return {"number": self.number, "old": self.old.status, "new": self.new.status}


def splits(
    host: Host, targets: Mapping[Mounted, Target], target_of: Callable[[ForwardedApp], Target]
) -> dict[str, Split]:
    """By app: those of which a part of the clients has another release. Their targets know it from now on, if they have
    one: they may be down here.
    """
    found = {}
    for name, canary in host.canaries.items():
        app = host.apps[name]
        clients = found[name] = Split(canary, app.mount.path, target_of(canary.app))
        if app in targets:
            targets[app].canary = clients
    return found
