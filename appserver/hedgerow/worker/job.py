"""One request on its way, and where it goes: what router, runner and access log tell each other. Data only."""

from __future__ import annotations

import contextvars
import itertools
from collections.abc import Callable
from typing import Any

from ..hosting.failure import Failure
from ..hosting.gate import Gate
from ..http.request import Request
from ..pep3333.bridge import Application
from .connection import Connection
from .threads import Pool

_numbers = itertools.count(1)


class Target:
    """Where a request goes: a hosted app, or the host's own pages. name: quoted for the access log; server_timing: its
    answers tell how long it took; early_hints: they are sent; free: its parked runners; warned: its author was told
    of fields that are dropped; tell: what of its failures its clients are shown, if anything; forwarded: the app runs
    in a pool; threads: that its calls run in; without them they run in greenlets.
    """

    # fmt: off
    __slots__ = (
        "application", "context", "early_hints", "forwarded", "free", "gate", "name", "server_timing", "tell",
        "threads", "warned",
    )
    # fmt: on

    def __init__(
        self,
        name: str,
        application: Application,
        context: contextvars.Context,
        gate: Gate,
        free: list[Any] | None = None,
        server_timing: bool = False,
        early_hints: bool = True,
        tell: Callable[[BaseException], Failure] | None = None,
        forwarded: bool = False,
        threads: Pool | None = None,
    ) -> None:
        self.name = name
        self.application = application
        self.context = context
        self.gate = gate
        self.free = [] if free is None else free
        self.server_timing = server_timing
        self.early_hints = early_hints
        self.tell = tell
        self.forwarded = forwarded
        self.threads = threads
        self.warned = False


class Job:
    """One request on its way to one target. number: which of the process; own_headers: sent whatever the app says;
    cause: why it was refused; movable: a refusal may be sent elsewhere; peer: who has connected, to us or to the worker
    that sends this on; mount: the raw path's part that names the app, if it is sent on.
    """

    # fmt: off
    __slots__ = (
        "cause", "connection", "mount", "movable", "number", "own_headers", "path_info", "peer", "query", "request",
        "request_id", "script_name", "target",
    )
    # fmt: on

    def __init__(
        self, connection: Connection, request: Request, target: Target, path_info: str, query: str, request_id: str
    ) -> None:
        self.number = next(_numbers)
        self.connection = connection
        self.request = request
        self.target = target
        self.script_name = ""
        self.path_info = path_info
        self.query = query
        self.request_id = request_id
        self.own_headers: tuple[str, ...] = ()
        self.cause = ""
        self.movable = False
        self.peer = connection.peer
        self.mount = ""
