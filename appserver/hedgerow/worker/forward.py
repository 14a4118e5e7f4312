"""Sends a request on to the pool that its app runs in: a WSGI application that stands for the app.

What a pool's refusal or end means to the client is decided here; how the bytes get there and back is `passage.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import gevent
from greenlet import getcurrent

from ..errors import RefusedError
from ..hosting import pages
from ..http.answer import SWITCHING
from ..middleware.answer import without
from .files import Files
from .job import REFUSED, Job
from .members import Pool
from .passage import Passage, exchange_of
from .refusal import NOT_ENTERED, refuse, told_cause
from .transfer import BrokenOff

if TYPE_CHECKING:
    from .runner import Runner

StartResponse = Callable[..., Any]


def forwarded_name(name: str) -> str:
    """An app's name as it stands in a head."""
    return quote(name, safe="", errors="surrogateescape")


class Forward:
    """See the module's docstring. name: of the app; trust_front: a client that has closed its side has gone; ours: the
    pool's are workers of ours, whose refusals are believed; files: those that it may have the front send.
    """

    def __init__(self, name: str, pool: Pool, trust_front: bool, ours: bool = True, files: Files | None = None) -> None:
        self.name = name
        self.pool = pool
        self._trust_front = trust_front
        self._line = f"X-Hedgerow-App: {forwarded_name(name)}\r\nX-Hedgerow-Mount: " if ours else ""
        self._ours = ours
        self._files = files

    def __repr__(self) -> str:
        return f"<Forward {self.name} to {self.pool.members}>"

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        job = cast("Job", cast("Runner", getcurrent()).job)
        passage = Passage(job, environ, self.pool, self._line, self._trust_front)
        try:
            return self._answer(passage, start_response)
        except RefusedError as refusal:
            passage.close()
            return _refused(job, refusal, start_response)
        except BrokenOff as error:
            passage.close()
            return self._broken(job, error, start_response)
        except BaseException:
            passage.close()
            raise

    def _answer(self, passage: Passage, start_response: StartResponse) -> Iterable[bytes]:
        answer = passage.begin()
        if answer.refused and self._ours:
            raise RefusedError(answer.cause or "full", answer.retry_after_s)
        if answer.cause and self._ours:
            _heed(passage.job, answer.cause)
        if answer.status == SWITCHING:
            passage.switch()
            return ()
        if answer.file and self._ours and self._files is not None:
            reader = passage.job.request.fields.get("hedgerow.files", "")
            exchange_of(passage.job).add_own(self._files.told(answer.file, reader))
            answer.headers = without(answer.headers, "x-accel-redirect")
        start_response(f"{answer.status} {answer.reason}", answer.headers)
        if not answer.complete:
            return Blocks(self, passage)
        passage.close()
        return [answer.take()]

    def tell(self, job: Job, error: BrokenOff) -> None:
        """Into the log: what the pool did."""
        job.cause = "crashed"
        request = job.request
        job.connection.server.log.tell("error", f"{request.method} {request.target}: the pool of {self.name}: {error}")

    def _broken(self, job: Job, error: BrokenOff, start_response: StartResponse) -> Iterable[bytes]:
        self.tell(job, error)
        exchange_of(job).add_own(told_cause(job))
        status, headers, body = pages.broken_off(job.request_id, job.request.fields.get("HTTP_ACCEPT", ""))
        start_response(status, headers)
        return [body]


def _heed(job: Job, cause: str) -> None:
    """The pool's worker has told why its answer is none of the app's; who sends to us hears it too."""
    job.cause = cause
    if cause in NOT_ENTERED:
        job.refused = REFUSED
    exchange_of(job).add_own(told_cause(job))


def _refused(job: Job, refusal: RefusedError, start_response: StartResponse) -> Iterable[bytes]:
    own = job.own_headers
    (status, headers, body), after_s = refuse(job, refusal)
    exchange_of(job).add_own(job.own_headers[len(own) :])
    if after_s:
        gevent.sleep(after_s)
    start_response(status, headers)
    return [body]


class Blocks:
    """The rest of an answer, as it comes."""

    def __init__(self, forward: Forward, passage: Passage) -> None:
        self._forward = forward
        self._passage = passage

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._passage.blocks()
        except BrokenOff as error:
            self._forward.tell(self._passage.job, error)
            raise

    def close(self) -> None:
        """WSGI's: the answer has been sent, or will not be."""
        self._passage.close()
