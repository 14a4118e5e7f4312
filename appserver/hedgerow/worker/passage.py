"""One request's way to a pool, and its answer's way back: both at once, block by block, so that nobody holds more than
a block, and who is slow slows the other.

What is said between the two workers alone is in fields of the head; a client's of these names never come so far.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any, cast

from gevent import get_hub
from greenlet import greenlet

from ..errors import HttpError
from ..http.response import LAST_CHUNK, chunk, switching_protocols
from ..pep3333.bridge import Exchange
from .answer import Answer
from .job import Job
from .members import Pool
from .transfer import BrokenOff, ClientGone
from .tunnel import Tunnel
from .upstream import Upstream, UpstreamGone

# What may be done twice (RFC 9110 section 9.2.2).
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})

# What is between the client and us alone. Fields that Connection names besides go on, as to an app of ours.
_NOT_SENT = frozenset({
    "HTTP_CONNECTION", "HTTP_KEEP_ALIVE", "HTTP_PROXY_CONNECTION", "HTTP_TE", "HTTP_TRAILER", "HTTP_UPGRADE",
    "HTTP_TRANSFER_ENCODING",
})  # fmt: skip

# How a line of the head begins, by the key in environ; '' for what is no field of the request. Bounded: clients choose
# names. When it is full it begins anew.
_LINES: dict[str, str] = {}
_MAX_LINES = 1000


class Passage:
    """See the module's docstring. line: of the head, that names the app, up to the mount, '' for a server that is not
    ours; trust_front: a client that has closed its side has gone.
    """

    __slots__ = (
        "_body", "_chunked", "_environ", "_error", "_line", "_pool", "_pump", "_sent_all", "_trust_front",
        "answer", "job", "upstream",
    )  # fmt: skip

    def __init__(self, job: Job, environ: dict[str, Any], pool: Pool, line: str, trust_front: bool) -> None:
        self.job = job
        self.answer = Answer(job.request.method)
        self.upstream: Upstream | None = None
        self._pool = pool
        self._line = line
        self._trust_front = trust_front
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
        upstream = self.upstream = self._pool.take(anew)
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
            self._pool.give_back(upstream, False)
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

    def switch(self) -> None:
        """The pool has answered 101: from now on both only pass on what comes."""
        job, upstream = self.job, cast("Upstream", self.upstream)
        self.upstream = None  # a client that closes its side is heard by the tunnel
        try:
            exchange_of(job).switch(switching_protocols(self.answer.headers))
            Tunnel(job.connection, upstream).run(self.answer.rest)
        finally:
            self._pool.give_back(upstream, False)

    def close(self) -> None:
        """The answer is over: keep the connection if both sides have said all."""
        upstream = self.upstream
        if upstream is not None:
            self.upstream = None
            # A server that has failed may close behind its answer without a word: uvicorn does.
            failed = not self._line and self.answer.status >= 500
            self._pool.give_back(upstream, self._sent_all and self.answer.complete and self.answer.keep and not failed)

    # The request.

    def _first(self) -> bytes:
        """The head, with what is here of the body."""
        job, environ = self.job, self._environ
        target = job.request.target
        if not self._line:
            target = below(job.request.path, job.mount)
            environ.pop("HTTP_X_FORWARDED_PREFIX", None)  # we say it
        head = [f"{job.request.method} {target} HTTP/1.1"]
        for key, value in environ.items():
            line = _LINES.get(key)
            if line is None:
                line = _learn(key)
            if line:
                head.append(line + value)
        if self._line:
            peer = ",".join((*job.peer, environ["SERVER_NAME"], environ["SERVER_PORT"]))
            head.append(f"{self._line}{job.mount}\r\nX-Hedgerow-Peer: {peer}")
        elif job.mount:
            head.append(f"X-Forwarded-Prefix: {job.mount}")
        if "HTTP_HOST" not in environ:  # of HTTP/1.0: we speak 1.1
            head.append(f"Host: {environ['SERVER_NAME']}:{environ['SERVER_PORT']}")
        if environ["hedgerow.front"] and self._line:
            head.append(f"X-Hedgerow-Front: {environ['hedgerow.front']}")
        if environ["hedgerow.files"] and self._line:
            head.append(f"X-Hedgerow-Files: {environ['hedgerow.files']}")
        body = b""
        if type(self._body) is BytesIO:
            self._sent_all = True
            body = self._body.getvalue()
        elif "CONTENT_LENGTH" not in environ:
            self._chunked = True
            codings = environ.get("HTTP_TRANSFER_ENCODING")
            head.append(f"Transfer-Encoding: {codings}, chunked" if codings else "Transfer-Encoding: chunked")
        if "HTTP_UPGRADE" in environ and "upgrade" in environ.get("HTTP_CONNECTION", "").lower():
            head.append(f"Connection: Upgrade\r\nUpgrade: {environ['HTTP_UPGRADE']}")
        if not self._sent_all and job.connection.reader.buffer and not job.request.expects_continue:
            body = self._framed(self._body.read1())
        return "\r\n".join((*head, "\r\n")).encode("latin-1") + body

    def _framed(self, block: bytes) -> bytes:
        return chunk(block) if self._chunked and block else block

    def _start_pump(self, upstream: Upstream) -> None:
        pump = self._pump = greenlet(self._pump_body, parent=get_hub())
        get_hub().loop.run_callback(pump.switch, upstream)

    def _pump_body(self, upstream: Upstream) -> None:
        """In a greenlet of its own: the body goes on as it comes, while the answer may already be on its way."""
        try:
            while block := self._body.read1():
                upstream.send(self._framed(block))
            if self._chunked:
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
        if self._trust_front:
            self._error = ClientGone("the client has gone")
            upstream.close()
        elif self._sent_all:
            upstream.end_sending()


def exchange_of(job: Job) -> Exchange:
    return cast("Exchange", job.connection.answering)


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


def below(path: str, mount: str) -> str:
    """The path and query of a request without as many segments as its app's mount has."""
    found, mark, query = path.partition("?")
    for _ in range(mount.count("/")):
        slash = found.find("/", 1)
        found = found[slash:] if slash > 0 else "/"
    return found + mark + query
