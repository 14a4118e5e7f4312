"""One request on its way, and where it goes: what router, runner and access log tell each other. Data only."""

from __future__ import annotations

import contextvars
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..hosting.cache_table import CacheTable
from ..hosting.counts import Counts
from ..hosting.failure import Failure
from ..hosting.gate import Gate
from ..hosting.rates import Rates
from ..http.request import Request
from ..pep3333.bridge import Application, Files
from .connection import Connection
from .deadlines import Deadlines
from .threads import Pool
from .waiting import Waiting

if TYPE_CHECKING:
    from .canary import Side, Split
    from .runner import Runner

_numbers = itertools.count(1)

# What became of a request that did not enter its app.
ENTERED, REFUSED, MOVED = 0, 1, 2


class Target:
    """Where a request goes: a hosted app, or the host's own pages. name: quoted for the access log; server_timing: its
    answers tell how long it took; early_hints: they are sent; free: its parked runners; warned: its author was told
    of fields that are dropped; tell: what of its failures its clients are shown, if anything; forwarded: the app runs
    in a pool; files: who has those of its answers sent in another way; threads: that its calls run in; else in
    greenlets; rates, deadlines, counts: of its requests; max_body: the largest, in bytes, None for the worker's limit;
    canary: some of them are for another release.
    """

    # fmt: off
    __slots__ = (
        "application", "canary", "context", "counts", "deadlines", "early_hints", "files", "forwarded", "free", "gate",
        "max_body", "name", "rates", "server_timing", "tell", "threads", "warned",
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
        rates: Rates | None = None,
        deadlines: Deadlines | None = None,
        counts: Counts | None = None,
        files: Files | None = None,
        max_body: int | None = None,
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
        self.rates = rates
        self.deadlines = deadlines
        self.counts = Counts() if counts is None else counts
        self.files = files
        self.max_body = max_body
        self.warned = False
        self.canary: Split | None = None


class Job:
    """One request on its way to one target. number: which of the process; own_headers: sent whatever the app says;
    cause: why its answer is none of the app's; heard: who sends to us wants to know that; movable: a refusal may be
    sent elsewhere; hints: the front passes early ones on; keeps: the front would keep the answer, for as long as
    this says; peer: who has connected, to us or to the worker that sends
    this on; mount: the raw path's part that names the app, if it is sent on; waiting: at its app's gate; counts: of its
    app, if one is known; refused: whether it was, and to whom that is told.

    For its deadline: runner: who serves it; since: when it entered the app, or was last seen to go on; seen_bytes: how
    much of its answer was sent then; ended: how many times its time was over; thread: the app's that it runs in; side:
    where it is counted, while there is a canary.
    """

    # fmt: off
    __slots__ = (
        "cause", "connection", "counts", "ended", "heard", "hints", "keeps", "mount", "movable", "number",
        "own_headers", "path_info", "peer", "query", "refused", "request", "request_id", "runner",
        "script_name", "seen_bytes", "side", "since", "target", "thread", "waiting",
    )
    # fmt: on

    def __init__(
        self, connection: Connection, request: Request, target: Target, path_info: str, query: str, request_id: str
    ) -> None:
        self.number = next(_numbers)
        self.connection = connection
        self.request = request
        self.target = target
        self.counts = target.counts
        self.refused = ENTERED
        self.script_name = ""
        self.path_info = path_info
        self.query = query
        self.request_id = request_id
        self.own_headers: tuple[str, ...] = ()
        self.cause = ""
        self.heard = False
        self.movable = False
        self.hints = False
        self.keeps: CacheTable | None = None
        self.peer = connection.peer
        self.mount = ""
        self.waiting: Waiting | None = None
        self.runner: Runner | None = None
        self.since = 0.0
        self.seen_bytes = 0
        self.ended = 0
        self.thread = 0
        self.side: Side | None = None
