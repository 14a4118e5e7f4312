"""Sends a request on to the pool that its app runs in, and the answer back: a WSGI application that stands for the app.

Both ways at once, block by block; nobody holds more than a block, and who is slow slows the other. What is said between
the two workers alone is in the three fields below: a client's of these names never reach here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import gevent
from gevent import get_hub
from greenlet import getcurrent, greenlet

from ..errors import HttpError, RefusedError
from ..hosting import pages
from ..http.response import LAST_CHUNK, chunk
from ..pep3333.bridge import Exchange
from .answer import SWITCHING, Answer
from .job import Job
from .refusal import refuse
from .transfer import BrokenOff, ClientGone
from .tunnel import tunnel
from .upstream import Pool, Upstream, UpstreamGone

if TYPE_CHECKING:
    from .runner import Runner

# What may be done twice (RFC 9110 section 9.2.2).
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})

# What is between the client and us alone, and the expectation, which we hand on by ourselves.
_NOT_SENT = frozenset({
    "HTTP_CONNECTION", "HTTP_KEEP_ALIVE", "HTTP_PROXY_CONNECTION", "HTTP_TE", "HTTP_TRAILER", "HTTP_UPGRADE",
    "HTTP_TRANSFER_ENCODING",
})  # fmt: skip

# How a line of the head begins, by the key in environ; '' for what is no field of the request. Bounded: clients choose
# names. When it is full it begins anew.
_LINES: dict[str, str] = {}
_MAX_LINES = 1000


def forwarded_name(name: str) -> str:
    """An app's name as it stands in a head."""
    return quote(name, safe="", errors="surrogateescape")


class Forward:
    """See the module's docstring. name: of the app; trust_front: a client that has closed its side has gone; ours: the
    pool's are workers of ours, whose refusals are believed. line: of the head, but for the mount.
    """

    def __init__(self, name: str, pool: Pool, trust_front: bool, ours: bool = True) -> None:
        self.name = name
        self.pool = pool
        self.trust_front = trust_front
        self.line = f"X-Hedgerow-App: {forwarded_name(name)}\r\nX-Hedgerow-Mount: "
        self._ours = ours

    def __repr__(self) -> str:
        return f"<Forward {self.name} to {self.pool.members}>"

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        job = cast("Job", cast("Runner", getcurrent()).job)
        passage = Passage(self, job, environ)
        try:
            answer = passage.begin()
            if answer.refused and self._ours:
                raise RefusedError(answer.cause)
        except RefusedError as refusal:
            passage.close()
            return _refused(job, refusal, start_response)
        except BrokenOff as error:
            passage.close()
            return self._broken(job, error, start_response)
        except BaseException:
            passage.close()
            raise
        if answer.status == SWITCHING:
            return passage.switch()
        start_response(f"{answer.status} {answer.reason}", answer.headers)
        if answer.complete:
            passage.close()
            return [answer.take()]
        return Blocks(self, passage)

    def tell(self, job: Job, error: BrokenOff) -> None:
        """Into the log: what the pool did."""
        request = job.request
        job.connection.server.log.tell("error", f"{request.method} {request.target}: the pool of {self.name}: {error}")

    def _broken(self, job: Job, error: BrokenOff, start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.tell(job, error)
        status, headers, body = pages.broken_off(job.request_id, job.request.fields.get("HTTP_ACCEPT", ""))
        start_response(status, headers)
        return [body]


def _refused(job: Job, refusal: RefusedError, start_response: Callable[..., Any]) -> Iterable[bytes]:
    own = job.own_headers
    (status, headers, body), after_s = refuse(job, refusal)
    _exchange(job).add_own(job.own_headers[len(own) :])
    if after_s:
        gevent.sleep(after_s)
    start_response(status, headers)
    return [body]


def _exchange(job: Job) -> Exchange:
    return cast("Exchange", job.connection.answering)


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


class Passage:
    """One request's way to a pool, and its answer's way back."""

    __slots__ = (
        "_body", "_chunked", "_environ", "_error", "_forward", "_pump", "_sent_all", "answer", "job", "upstream",
    )  # fmt: skip

    def __init__(self, forward: Forward, job: Job, environ: dict[str, Any]) -> None:
        self.job = job
        self.answer = Answer(job.request.method)
        self.upstream: Upstream | None = None
        self._forward = forward
        self._environ = environ
        self._body: Any = environ["wsgi.input"]
        self._chunked = False
        self._error: BaseException | None = None  # what ended the client's part
        self._pump: greenlet | None = None
        self._sent_all = False

    def begin(self) -> Answer:
        """Send the request; returns when the head of the answer is there.

        Raises RefusedError if no process takes it, BrokenOff if one broke off; else what went wrong with the client.
        """
        self.job.connection.watch_end(self._on_client_end)
        first = self._first()
        answer = self._try(first, False) or self._try(first, True)
        return cast("Answer", answer)

    def _try(self, first: bytes, anew: bool) -> Answer | None:
        """None: it may be sent once more, on a new connection."""
        upstream = self.upstream = self._forward.pool.take(anew)
        answer = self.answer = Answer(self.job.request.method)
        try:
            upstream.send(first)
            if not self._sent_all and not self.job.request.expects_continue:
                self._start_pump(upstream)
            while not answer.head:
                self._receive(upstream, answer)
        except (UpstreamGone, BrokenOff) as error:
            self._raise_of_client()
            if anew or not self._may_repeat(upstream, answer):
                raise BrokenOff(f"{error}, before its answer began") from None
            self._forward.pool.give_back(upstream, False)
            self.upstream = None
            return None
        return answer

    def _may_repeat(self, upstream: Upstream, answer: Answer) -> bool:
        """Whether nothing was sent at all, or all of it may be done twice and is still here."""
        if self._pump is not None or answer.begun:
            return False
        return not upstream.sent or (self._sent_all and self.job.request.method in _IDEMPOTENT)

    def blocks(self) -> Iterator[bytes]:
        """The body of the answer. Raises BrokenOff if it does not come whole."""
        upstream, answer = cast("Upstream", self.upstream), self.answer
        while True:
            block = answer.take()
            if block:
                yield block
            if answer.complete:
                return
            try:
                self._receive(upstream, answer)
            except UpstreamGone as error:
                self._raise_of_client()
                raise BrokenOff(str(error)) from None

    def _receive(self, upstream: Upstream, answer: Answer) -> None:
        data = upstream.receive()
        if data:
            answer.feed(data)
            if answer.invited and self._pump is None and not self._sent_all:
                self._start_pump(upstream)
        else:
            self._raise_of_client()
            answer.end()

    def _raise_of_client(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def switch(self) -> Iterable[bytes]:
        """The pool has answered 101: from now on both only pass on what comes."""
        job, upstream = self.job, cast("Upstream", self.upstream)
        try:
            _exchange(job).switch(self.answer.headers)
            tunnel(job.connection, upstream, self.answer.rest)
        finally:
            self.close()
        return ()

    def close(self) -> None:
        """The answer is over: keep the connection if both sides have said all."""
        upstream = self.upstream
        if upstream is not None:
            self.upstream = None
            self._forward.pool.give_back(upstream, self._sent_all and self.answer.complete and self.answer.keep)

    # The request.

    def _first(self) -> bytes:
        """The head, with the body if that is here."""
        job, environ = self.job, self._environ
        head = [f"{job.request.method} {job.request.target} HTTP/1.1"]
        for key, value in environ.items():
            line = _LINES.get(key)
            if line is None:
                line = _learn(key)
            if line:
                head.append(line + value)
        peer = ",".join((*job.peer, environ["SERVER_NAME"], environ["SERVER_PORT"]))
        head.append(f"{self._forward.line}{job.mount}\r\nX-Hedgerow-Peer: {peer}")
        if environ["hedgerow.front"]:
            head.append(f"X-Hedgerow-Front: {environ['hedgerow.front']}")
        body = b""
        if type(self._body) is BytesIO:
            self._sent_all = True
            body = self._body.getvalue()
        elif "CONTENT_LENGTH" not in environ:
            self._chunked = True
            codings = environ.get("HTTP_TRANSFER_ENCODING")
            head.append(f"Transfer-Encoding: {codings}, chunked" if codings else "Transfer-Encoding: chunked")
        if "HTTP_CONNECTION" in environ:
            _take_connection(environ, head)
        return "\r\n".join((*head, "\r\n")).encode("latin-1") + body

    def _start_pump(self, upstream: Upstream) -> None:
        pump = self._pump = greenlet(self._pump_body, parent=get_hub())
        get_hub().loop.run_callback(pump.switch, upstream)

    def _pump_body(self, upstream: Upstream) -> None:
        """In a greenlet of its own: the body goes on as it comes, while the answer may already be on its way."""
        read, chunked = self._body.read1, self._chunked
        try:
            while block := read():
                upstream.send(chunk(block) if chunked else block)
            if chunked:
                upstream.send(LAST_CHUNK)
            self._sent_all = True
        except UpstreamGone:
            pass  # who reads the answer finds out
        except (OSError, HttpError, RuntimeError) as error:
            if self.upstream is upstream:
                self._error = error
                upstream.close()

    def _on_client_end(self) -> None:
        """In the hub. A client may close its side and wait for the answer; nginx does not."""
        upstream = self.upstream
        if upstream is None:
            return
        if self._forward.trust_front:
            self._error = ClientGone("the client has gone")
            upstream.close()
        elif self._sent_all:
            upstream.end_sending()


def _learn(key: str) -> str:
    if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        line = f"{key.replace('_', '-').title()}: "
    elif key.startswith("HTTP_") and key not in _NOT_SENT:
        line = f"{key[5:].replace('_', '-').title()}: "
    else:
        line = ""
    if len(_LINES) >= _MAX_LINES:
        _LINES.clear()
    _LINES[key] = line
    return line


def _take_connection(environ: dict[str, Any], head: list[str]) -> None:
    """What Connection says: fields that are for us alone (RFC 9110 section 7.6.1), or another protocol."""
    for option in environ["HTTP_CONNECTION"].split(","):
        name = option.strip(" \t").lower()
        if name == "upgrade" and "HTTP_UPGRADE" in environ:
            head.append(f"Connection: Upgrade\r\nUpgrade: {environ['HTTP_UPGRADE']}")
        elif name not in ("", "close", "keep-alive"):
            start = f"{name}: "
            head[1:] = [line for line in head[1:] if not line.lower().startswith(start)]
