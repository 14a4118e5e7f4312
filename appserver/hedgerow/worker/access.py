"""What is told of requests when they are over: counts, and one line each."""

from __future__ import annotations

from ..errors import HttpError
from ..http.request import NONE
from ..pep3333.bridge import Exchange
from .clock import timestamp
from .connection import Connection
from .job import MOVED, Job
from .log import LogQueue, quote, render
from .streams import Streams


class AccessLog:
    """See the module's docstring. in_flight: requests that are being served; requests: those that were; rejections:
    what was no request.
    """

    __slots__ = ("_begun", "_enabled", "_streams", "in_flight", "log", "rejections", "requests")

    def __init__(self, log: LogQueue, streams: Streams, enabled: bool) -> None:
        self.log = log
        self.in_flight = 0
        self.requests = 0
        self.rejections = 0
        self._streams = streams
        self._begun = streams.begun
        self._enabled = enabled

    def served(self, job: Job, exchange: Exchange, seconds: float) -> None:
        """A runner has finished a request; called within its context. What became of it is counted here, once."""
        self.requests += 1
        if job.side is not None and job.refused != MOVED:  # who answers it counts it
            job.side.count(exchange.status, seconds)
        if job.refused:
            job.counts.turned_away(job.cause, job.refused == MOVED)
        else:
            bytes_in = 0 if job.request.framing is NONE else job.connection.reader.body_bytes
            complete = exchange.complete and job.cause != "aborted"
            job.counts.served(exchange.status, complete, seconds, bytes_in, exchange.sent_bytes)
        if self._begun:
            self._streams.end(job.request.fields.get("hedgerow.app", ""), job.request_id)
        if self._enabled:
            self.log.put(access_line(job, exchange, seconds))

    def rejected(self, connection: Connection, error: HttpError) -> None:
        """The engine answered by itself what was no request."""
        self.rejections += 1
        if self._enabled:
            self.log.put(render("access", "info", error.reason, status=error.status, client=connection.peer[0]))


def access_line(job: Job, exchange: Exchange, seconds: float) -> str:
    """The access log's line for one request, as JSON; nothing of the client stands in it unescaped.

    A method is a token, and the kernel says who the peer is: there is nothing in them to escape.
    """
    request = job.request
    us = int(seconds * 1e6)
    return (
        f'{{"time":"{timestamp()}","level":"info","kind":"access","app":{job.target.name},'
        f'"request_id":{quote(job.request_id)},"method":"{request.method}","path":{quote(request.target)},'
        f'"status":{exchange.status[:3] or 499},"bytes":{exchange.sent_bytes},"ms":{us // 1000}.{us % 1000:03d},'
        f'"client":"{job.peer[0]}"{_cause(job, exchange)}}}'
    )


def _cause(job: Job, exchange: Exchange) -> str:
    if job.cause:
        return f',"cause":{quote(job.cause)}'
    return "" if exchange.complete else ',"cause":"aborted"'
