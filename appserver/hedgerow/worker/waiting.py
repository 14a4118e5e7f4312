"""A request that waits at its app's gate, in the greenlet that will serve it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from gevent.event import Event

from ..errors import RefusedError
from ..hosting.gate import Gate
from .transfer import ClientGone

if TYPE_CHECKING:
    from .job import Job

Refuse = Callable[["Job", RefusedError], None]


class Waiting:
    """Raises RefusedError at once if as many wait as may. refuse: gives a job the answer of a refusal."""

    def __init__(self, gate: Gate, refuse: Refuse) -> None:
        now = monotonic()
        self._event = Event()
        turn = gate.wait(self._event.set, now)
        if turn is None:
            raise RefusedError("full", gate.retry_after_s(now))
        self._gate, self._turn, self._refuse = gate, turn, refuse

    def wait(self, job: Job) -> None:
        """Until the gate lets it in, or its time is over: then the job has an answer that says so.

        Raises ClientGone if nobody waits for an answer any more: under load that is work for nothing.
        """
        gate = self._gate
        try:
            self._event.wait(gate.wait_s)
        except BaseException:  # a late kill of the app's: the place that it was given, or would be, is another's
            if not gate.give_up(self._turn):
                gate.leave()
            raise
        if gate.give_up(self._turn):
            self._refuse(job, RefusedError("full", gate.retry_after_s(monotonic())))
        elif job.connection.gone():
            gate.leave()
            raise ClientGone("the client has gone while it waited")
