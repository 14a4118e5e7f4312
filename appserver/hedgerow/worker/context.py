"""What an app starts through gevent stays in that app's space, keeps its request's id, and does not outlast it where
it would hit somebody else.

gevent starts every greenlet with an empty context (tried with 26.9: spawn, spawn_raw, pools). `install()` gives those
that an app starts the variables of `hosting.space.carried`; patched threads are seen to by `hosting.imports`. A
`Timeout` that an app leaves behind names its greenlet, which may serve another request by then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import gevent.greenlet
import gevent.pool
from greenlet import getcurrent, greenlet

from ..hosting.space import carried, current_app, inherited
from .log import request_id
from .runner import Runner, living

_Greenlet = gevent.Greenlet
_spawn_raw = gevent.spawn_raw
_start_timeout = gevent.Timeout.start


class CarryingGreenlet(_Greenlet):  # type: ignore[type-arg]
    """A gevent greenlet that begins with the app and request of who made it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if _is_of_an_app():
            self.gr_context = inherited()

    def run(self) -> None:
        """gevent's: from its start to its end."""
        living[0] += 1
        try:
            super().run()
        finally:
            living[0] -= 1


def _is_of_an_app() -> bool:
    """Whether an app is running; one that is alone has no space."""
    return current_app.get() is not None or request_id.get() != ""


def spawn_raw(function: Callable[..., object], *args: Any, **kwargs: Any) -> greenlet:
    """`gevent.spawn_raw`, carrying app and request."""
    started: greenlet = _spawn_raw(function, *args, **kwargs)
    if _is_of_an_app():
        started.gr_context = inherited()
    return started


def start_timeout(self: gevent.Timeout) -> None:
    """`gevent.Timeout.start`, for the request that is served now."""
    vars(self)["hedgerow.request"] = _request_number(getcurrent())
    _start_timeout(self)


def expire(self: gevent.Timeout, target: greenlet, error: BaseException) -> None:
    """What gevent calls when the time is up."""
    begun = vars(self).get("hedgerow.request")
    if begun is None or begun == _request_number(target):
        target.throw(error)


def _request_number(target: greenlet) -> int:
    """Of the request that a greenlet serves; 0 for one of an app's own, and one that is parked."""
    job = target.job if isinstance(target, Runner) else None
    return 0 if job is None else job.number


def install() -> None:
    """Before any app or library takes a reference to what is replaced here."""
    carried.append(request_id)
    # What ends a thread ends a greenlet and no more: without this an app's spawned sys.exit() ends the worker.
    gevent.get_hub().SYSTEM_ERROR = ()
    for module in (gevent, gevent.greenlet, gevent.pool):
        vars(module)["Greenlet"] = CarryingGreenlet
    gevent.pool.Group.greenlet_class = CarryingGreenlet
    gevent.spawn = CarryingGreenlet.spawn
    gevent.spawn_later = CarryingGreenlet.spawn_later
    gevent.spawn_raw = spawn_raw
    gevent.Timeout.start = start_timeout  # type: ignore[method-assign]
    gevent.Timeout._on_expiration = expire  # type: ignore[attr-defined]
