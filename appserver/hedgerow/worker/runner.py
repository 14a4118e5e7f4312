"""The greenlets that answer requests. A runner serves one request, parks itself in its target's free list, and is
switched to again for the next.

A free list is never shared by two apps, and each request runs in a copy of its app's own context: what one app leaves
in greenlet-local storage no other app finds.
"""

from __future__ import annotations

import contextlib
import contextvars
import io
import time
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

from greenlet import greenlet

from ..errors import HttpError
from ..hosting import pages
from ..hosting.gate import Gate
from ..hosting.pages import Page
from ..http.request import Framing, Request
from ..pep3333.bridge import Application, Exchange
from ..pep3333.environ import build
from ..pep3333.input import BodyInput
from .connection import Connection
from .log import quote, request_id, timestamp
from .transfer import ClientGone

MAX_FREE = 256  # parked greenlets of one app; each holds a small stack

_NO_BODY = b""


@dataclass(slots=True)
class Target:
    """Where a request goes: a hosted app, or the host's own pages. name: quoted for the access log; server_timing: its
    answers tell how long it took; early_hints: they are sent; warned: its author was told of fields that are dropped.
    """

    name: str
    application: Application
    context: contextvars.Context
    gate: Gate
    free: list[Runner] = field(default_factory=list)
    server_timing: bool = False
    early_hints: bool = True
    warned: bool = False


@dataclass(slots=True)
class Job:
    """One request on its way to one target. number: which of the worker's requests this is; own_headers: sent
    whatever the app says.
    """

    connection: Connection
    request: Request
    target: Target
    script_name: str
    path_info: str
    query: str
    request_id: str
    number: int
    own_headers: tuple[str, ...] = ()
    cause: str = ""


class Runner(greenlet):
    """A greenlet that takes one job after the other. Its parent is the hub."""

    def __init__(self, server: Any) -> None:
        super().__init__(parent=server.hub)
        self.server = server
        self.job: Job | None = None

    def take(self, job: Job) -> None:
        """Called in the hub: run job in a context of its own until it first has to wait."""
        self.job = job
        self.gr_context = job.target.context.copy()
        self.switch()

    def run(self) -> None:
        """Serve until the free list is long enough without us."""
        hub = self.server.hub
        while self.job is not None:
            job = self.job
            try:
                self._serve(job)
            except BaseException as error:  # of ours, or a time-out that the app left behind; only this connection ends
                self.server.log.tell("error", f"a request ended in {type(error).__name__}", error)
                job.connection.close(abort=True)
            finally:
                self.server.in_flight -= 1
            self.job = None
            if len(job.target.free) >= MAX_FREE:
                return
            job.target.free.append(self)
            del job
            while self.job is None:
                # An app's late kill, switch or time-out may hit us here. Nobody's request is at stake: park again.
                try:  # noqa: SIM105  # a suppress() object each time costs 1 us
                    hub.switch()
                except BaseException:  # noqa: S110
                    pass

    def _serve(self, job: Job) -> None:
        server, connection, request = self.server, job.connection, job.request
        started = time.monotonic()
        request_id.set(job.request_id)
        timing = partial(_timing_line, started) if job.target.server_timing else None
        hints = job.target.early_hints
        exchange = Exchange(request, connection, server.date(), job.own_headers, timing, hints)
        body = _body(connection, request)
        environ = build(server.environ, request, job.script_name, job.path_info, job.query, connection.peer)
        environ["hedgerow.request_id"] = job.request_id
        environ["wsgi.input"] = body
        try:
            exchange.run(job.target.application, environ)
        except ClientGone:
            pass
        except BaseException as error:
            self._fail(job, exchange, error)
        finally:
            job.target.gate.leave()
            if isinstance(body, BodyInput):
                body.end()
            del environ
        if exchange.head is not None and exchange.head.dropped and not job.target.warned:
            self._warn(job.target, exchange.head.dropped)
        server.served(job, exchange, time.monotonic() - started)
        connection.finished(exchange.complete, not exchange.close)

    def _warn(self, target: Target, dropped: tuple[str, ...]) -> None:
        """PEP 3333 wants it logged when a server discards a field; once an app, since nobody reads it twice."""
        target.warned = True
        names = ", ".join(dropped)
        told = f"{target.name} sends {names}: such fields are the server's alone, and are dropped from every answer"
        self.server.log.tell("warning", told)

    def _fail(self, job: Job, exchange: Exchange, error: BaseException) -> None:
        """The app raised: SystemExit or anything. The client gets a 500 if nothing was sent yet, and we go on."""
        request = job.request
        if isinstance(error, HttpError):
            page = error_page(error)
        else:
            told = f"{request.method} {request.target} raised {type(error).__name__}"
            self.server.log.tell("error", told, error)
            page = pages.failed(job.request_id, request.fields.get("HTTP_ACCEPT", ""))
        if exchange.head is None:
            with contextlib.suppress(OSError):
                exchange.answer(*page)


def _timing_line(started: float) -> str:
    """Server-Timing (W3C): how long the app took until its head was sent, in milliseconds."""
    return f"Server-Timing: app;dur={(time.monotonic() - started) * 1000:.2f}"


def error_page(error: HttpError) -> Page:
    """What the client gets for a body that was no body."""
    status = f"{error.status} {HTTPStatus(error.status).phrase}"
    return status, [("Content-Type", "text/plain; charset=utf-8")], f"{status}\n{error.reason}\n".encode()


def _body(connection: Connection, request: Request) -> Any:
    if request.framing is Framing.NONE:
        return io.BytesIO(_NO_BODY)
    if (
        request.framing is Framing.LENGTH
        and request.length <= connection.reader.buffered
        and not request.expects_continue
    ):
        return io.BytesIO(connection.reader.read_body())
    return BodyInput(connection.read_more)


def access_line(job: Job, exchange: Exchange, seconds: float) -> str:
    """The access log's line for one request, as JSON; nothing of the client stands in it unescaped."""
    request = job.request
    return (
        f'{{"time":"{timestamp()}","level":"info","kind":"access","app":{job.target.name},'
        f'"request_id":{quote(job.request_id)},"method":{quote(request.method)},"path":{quote(request.target)},'
        f'"status":{exchange.status[:3] or 499},"bytes":{exchange.sent_bytes},"ms":{seconds * 1000:.2f},'
        f'"client":{quote(job.connection.peer[0])}{_cause(job, exchange)}}}'
    )


def _cause(job: Job, exchange: Exchange) -> str:
    if job.cause:
        return f',"cause":{quote(job.cause)}'
    return "" if exchange.complete else ',"cause":"aborted"'


def page_application(page: Page) -> Application:
    """A page as a WSGI application."""

    def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        status, headers, body = page
        start_response(status, headers)
        return [body]

    return answer
