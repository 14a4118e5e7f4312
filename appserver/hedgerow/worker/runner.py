"""The greenlets that answer requests. A runner serves one request, parks itself in its target's free list, and is
switched to again for the next.

A free list is never shared by two apps, and each request runs in a copy of its app's own context: what one app leaves
in greenlet-local storage no other app finds.
"""

from __future__ import annotations

import contextlib
import io
import threading
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Any

import gevent
from greenlet import greenlet

from ..errors import DeadlineError, HttpError
from ..hosting import memory, missed, pages
from ..hosting.pages import Page
from ..http.request import LENGTH, NONE, Request
from ..pep3333.bridge import Application, Exchange, Lines
from ..pep3333.environ import build
from ..pep3333.input import BodyInput
from . import kept
from .access import AccessLog
from .clock import http_date
from .connection import Connection
from .job import Job, Target
from .log import request_id
from .refusal import told_cause
from .threads import Crossing
from .transfer import BrokenOff, ClientGone

living = [0]  # how many greenlets there are that serve requests or are parked; and those of apps (context.py)
MAX_FREE = 256  # parked greenlets of one app; each holds a small stack

_NO_BODY = b""


class Runner(greenlet):
    """A greenlet that takes one job after the other: `switch(job)` in the hub runs it until it first has to wait. Its
    parent is the hub.
    """

    def __init__(self, hub: Any, access: AccessLog) -> None:
        super().__init__(parent=hub)
        self.job: Job | None = None
        self._hub = hub
        self._access = access

    def run(self, job: Any) -> None:
        """Serve until the free list is long enough without us."""
        switch, access = self._hub.switch, self._access
        living[0] += 1
        while True:
            self.job = job
            if not take_turn(self, job, access):
                living[0] -= 1
                return
            self.job = job = None
            while type(job) is not Job:
                # An app's late kill, switch or time-out may hit us here. Nobody's request is at stake: park again.
                try:  # noqa: SIM105  # a suppress() object each time costs 1 us
                    job = switch()
                except BaseException:  # noqa: S110
                    pass


def count_living() -> int:
    """Those, and threads of apps. A greenlet that has asked for its thread (logging does) has a dummy: itself."""
    own = [thread for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)]
    return living[0] + len(own) - 1


def take_turn(runner: Runner, job: Job, access: AccessLog) -> bool:
    """Serve a job in a context of its own. True: the runner is in the free list, and has to park."""
    runner.gr_context = job.target.context.copy()
    free = job.target.free  # before it is served: one that is refused later becomes one of the pages'
    try:
        _serve(job, access)
    except ClientGone:  # before anything was asked
        job.connection.close(abort=True)
    except BaseException as error:  # of ours, or a time-out that the app left behind; only this connection ends
        job.connection.close(abort=True)
        access.log.tell("error", f"a request ended in {type(error).__name__}", error)
    finally:
        access.in_flight -= 1
    if len(free) >= MAX_FREE:
        return False
    free.append(runner)
    return True


def _serve(job: Job, access: AccessLog) -> None:
    if job.waiting is not None:
        job.waiting.wait(job)
    connection, request, target = job.connection, job.request, job.target
    started = job.since = monotonic()
    request_id.set(job.request_id)
    asked: Lines | None = partial(_timing_line, started) if target.server_timing else None
    if job.keeps is not None:
        asked = kept.beside(asked, job.keeps)
    crossing = None if target.threads is None else Crossing(target.threads, connection)
    thread, client = crossing, connection if crossing is None else crossing
    hints = target.early_hints or job.hints
    exchange = Exchange(request, client, http_date(), job.own_headers, asked, hints, target.files)
    connection.answering = exchange
    body = _body(connection, request, client)
    environ = build(request, job.script_name, job.path_info, job.query, job.peer)
    environ["hedgerow.request_id"] = job.request_id
    environ["wsgi.input"] = body
    if "HTTP_UPGRADE" in environ and request.framing is NONE:
        environ["hedgerow.take_socket"] = exchange.take_socket
    try:
        if crossing is None:
            call_app(job, access, exchange, environ)
        else:
            crossing.run(_call_app_in_thread, job, access, exchange, environ)
    except DeadlineError as error:  # of a thread, which goes on with the exchange that it has
        own = _without_thread(job, access, exchange, error)
        if own is not exchange:
            exchange = connection.answering = own
            crossing = None  # what the thread has not sent is not missing in this answer
    finally:
        if thread is None:
            target.gate.leave()
        else:
            thread.leave(target.gate)
        if type(body) is BodyInput:
            body.end()
        del environ
    complete = exchange.complete
    if crossing is not None and crossing.broken:
        complete = False
        job.cause = job.cause or "aborted"
    if exchange.head is not None and exchange.head.dropped and not target.warned:
        _warn(target, access, exchange.head.dropped)
    access.served(job, exchange, monotonic() - started)
    connection.finished(complete, not exchange.close)


def _without_thread(job: Job, access: AccessLog, exchange: Exchange, error: DeadlineError) -> Exchange:
    if exchange.head is not None:
        return exchange
    own = Exchange(job.request, job.connection, http_date(), job.own_headers)
    _fail(job, access, own, error)
    return own


def _call_app_in_thread(job: Job, access: AccessLog, exchange: Exchange, environ: dict[str, Any]) -> None:
    job.thread = threading.get_ident()
    call_app(job, access, exchange, environ)


def call_app(job: Job, access: AccessLog, exchange: Exchange, environ: dict[str, Any]) -> None:
    """Call the app and send its answer, or a page of ours where it has none: in the greenlet, or in an app's thread."""
    try:
        exchange.run(job.target.application, environ)
    except (ClientGone, BrokenOff):
        pass
    except BaseException as error:
        # Of a socket that the app has taken this is the usual end, and its way out past all middleware.
        if not (exchange.complete and isinstance(error, (OSError, StopIteration)) and exchange.head is None):
            with memory.Room(error):
                _fail(job, access, exchange, error)


def _warn(target: Target, access: AccessLog, dropped: tuple[str, ...]) -> None:
    """PEP 3333 wants it logged when a server discards a field; once an app, since nobody reads it twice."""
    target.warned = True
    names = ", ".join(dropped)
    told = f"{target.name} sends {names}: such fields are the server's alone, and are dropped from every answer"
    access.log.tell("warning", told)


def _fail(job: Job, access: AccessLog, exchange: Exchange, error: BaseException) -> None:
    """The app raised: SystemExit or anything. The client gets a 500 if nothing was sent yet, and we go on."""
    request = job.request
    accept = request.fields.get("HTTP_ACCEPT", "")
    if isinstance(error, HttpError):
        page = error_page(error)
    elif isinstance(error, DeadlineError):  # which has been told of
        job.cause = job.cause or "deadline"
        page = pages.late(job.request_id, accept, job.cause)
    else:
        if exchange.head is None:  # else it is told as an answer that broke off
            job.cause = job.cause or "error"
        access.log.tell("error", f"{request.method} {request.target} raised {type(error).__name__}", error)
        missed.notice(error)
        shown = job.target.tell(error) if job.target.tell is not None else None
        page = pages.failed(job.request_id, accept, shown)
    if exchange.head is None and not exchange.complete:  # else the connection speaks another protocol
        exchange.add_own(told_cause(job))
        with contextlib.suppress(OSError):
            exchange.answer(*page)


def _timing_line(started: float, *_: object) -> tuple[str, ...]:
    """Server-Timing (W3C): how long the app took until its head was sent, in milliseconds."""
    return (f"Server-Timing: app;dur={(monotonic() - started) * 1000:.2f}",)


def error_page(error: HttpError) -> Page:
    """What the client gets for a body that was no body."""
    status = f"{error.status} {HTTPStatus(error.status).phrase}"
    return status, [("Content-Type", "text/plain; charset=utf-8")], f"{status}\n{error.reason}\n".encode()


def _body(connection: Connection, request: Request, client: Connection | Crossing) -> Any:
    if request.framing is NONE:
        return io.BytesIO(_NO_BODY)
    if request.framing is LENGTH and request.length <= len(connection.reader.buffer) and not request.expects_continue:
        return io.BytesIO(connection.reader.read_body())
    return BodyInput(client.read_more)


def page_application(page: Page, after_s: float = 0.0) -> Application:
    """A page as a WSGI application, that answers after so long."""

    def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if after_s:
            gevent.sleep(after_s)
        status, headers, body = page
        start_response(status, headers)
        return [body]

    return answer
