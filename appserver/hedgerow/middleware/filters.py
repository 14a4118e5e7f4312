"""The two ways to change the body of an answer: block by block as it comes, or as a whole.

Which answers can be changed at all, what of a head is then no longer true, and when the application's body is closed,
is decided here for all of them. What becomes of the bytes is known to the subclasses only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http import HTTPStatus
from itertools import chain
from typing import Protocol
from wsgiref.types import StartResponse, WSGIApplication

from ..options import option
from .answer import Environ, ExcInfo, Headers, begin, changed, of_other_body, text, value

_WITHOUT_BODY_OR_IN_PARTS = ("204", "205", "206", "304")


class NotChangedError(Exception):
    """An answer that cannot be changed, and cannot be sent as it is either: 500.

    sentence: for the client; cause: for the log, where sentence alone says too little.
    """

    def __init__(self, sentence: str, cause: str = "") -> None:
        super().__init__(sentence)
        self.sentence, self.cause = sentence, cause or sentence


@dataclass(frozen=True)
class Filter:
    """What both have in common. A subclass is a frozen dataclass, too; its own options are keywords."""

    application: WSGIApplication
    types: tuple[str, ...] = option(("*",), "media types that are changed; * stands for anything")

    def fits(self, status: str, headers: Headers) -> bool:
        """Whether this answer is changed. A subclass may want more of it."""
        if status[:3] in _WITHOUT_BODY_OR_IN_PARTS or status[:1] == "1" or value(headers, "content-encoding"):
            return False
        if "no-transform" in value(headers, "cache-control").lower():
            return False
        if value(headers, "x-accel-redirect"):  # its body is not what the client gets
            return False
        kind = value(headers, "content-type").partition(";")[0].strip().lower()
        return any(fnmatchcase(kind, pattern) for pattern in self.types)

    def head(self, headers: Headers) -> Headers:
        """The head of an answer that is changed. It comes without what is no longer true of it."""
        return headers


class Stage(Protocol):
    """What becomes of one body."""

    def block(self, block: bytes) -> bytes:
        """What is sent for a block that is not empty; b"" while there is nothing to send yet."""

    def end(self) -> bytes:
        """What is still to be sent behind the last block."""


@dataclass(frozen=True)
class Streaming(Filter):
    """Each block is changed when it comes, so what streams goes on streaming. The length is not known then."""

    def stage(self, headers: Headers) -> Stage:
        """What changes the body of one answer. headers: as the application gave them."""
        raise NotImplementedError

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        answer = _Stream(self, start_response, environ["REQUEST_METHOD"] == "HEAD")
        body = self.application(environ, answer.start_response)
        # One that is known to go as it is stays what it is: the server may know a better way to send it.
        return body if answer.begun and answer.stage is None else Blocks(answer.blocks(body), body)


class _Stream:
    """One answer. begun: its head is known; stage: what changes it, if anything does."""

    def __init__(self, how: Streaming, start_response: StartResponse, is_head: bool) -> None:
        self._how, self._start, self._is_head = how, start_response, is_head
        self.begun = False
        self.stage: Stage | None = None

    def start_response(self, status: str, headers: Headers, exc_info: ExcInfo = None, /) -> Callable[[bytes], object]:
        write = changed(self._start, self._change)(status, headers, exc_info)
        stage = self.stage
        return write if stage is None else lambda block: write(stage.block(block) if block else b"")

    def _change(self, status: str, headers: Headers) -> tuple[str, Headers]:
        self.begun, self.stage = True, None
        if not self._how.fits(status, headers):
            return status, headers
        self.stage = self._how.stage(headers)
        return status, self._how.head(of_other_body(headers))

    def blocks(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """A block for each block of the application's, maybe an empty one, and the rest behind them."""
        for block in body:
            yield block if self.stage is None or not block else self.stage.block(block)
        if self.stage is not None and not self._is_head:
            yield self.stage.end()


class Blocks:
    """Blocks made of a body's; it is closed in any case, also if nobody asks for the first of them."""

    def __init__(self, blocks: Iterator[bytes], body: Iterable[bytes]) -> None:
        self._blocks = blocks
        self.close: Callable[[], object] = getattr(body, "close", _nothing)

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks


def _nothing() -> None:
    pass


def _check_limit(limit: int) -> str | None:
    return None if limit > 0 else "a number of bytes is wanted"


@dataclass(frozen=True)
class Buffering(Filter):
    """The body is changed as a whole, when all of it is there. Until then nothing is sent."""

    limit: int = option(1_000_000, "bytes of an answer; a longer one is not sent at all but is a 500", _check_limit)

    def body(self, environ: Environ, body: bytes) -> bytes:
        """What is sent for this one; environ: as it came. Raises NotChangedError if nothing can be sent."""
        raise NotImplementedError

    def body_of(self, environ: Environ, headers: Headers, body: bytes) -> bytes:
        """The same, for who needs the application's head for it."""
        return self.body(environ, body)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        asked = dict(environ)  # the application may do with environ what it likes
        answer = _Whole(self, start_response, environ["REQUEST_METHOD"] == "HEAD")
        try:
            body = self.application(environ, answer.start_response)
            if not answer.passes:
                body = answer.gather(body)
            return body if answer.passes else answer.send(asked)
        except NotChangedError as error:
            asked["wsgi.errors"].write(f"{error.cause}\n")
            return text(start_response, HTTPStatus.INTERNAL_SERVER_ERROR, f"{error.sentence}\n")


class _Whole:
    """One answer. passes: its head went on to the server, and its body goes as it is."""

    def __init__(self, how: Buffering, start_response: StartResponse, is_head: bool) -> None:
        self._how, self._start, self._is_head = how, start_response, is_head
        self._head: tuple[str, Headers] | None = None
        self._kept: list[bytes] = []
        self._size = 0
        self.passes = False

    def start_response(self, status: str, headers: Headers, exc_info: ExcInfo = None, /) -> Callable[[bytes], object]:
        if self._head is not None and exc_info is None:
            raise RuntimeError("start_response was called a second time without exc_info")
        headers = list(headers)
        fits = not self.passes and self._how.fits(status, headers)
        self._kept, self._size = [], 0  # of the answer that this one replaces
        if fits and not self._is_head:
            self._head = status, headers
            length = value(headers, "content-length")
            self._size = int(length) if length.isdecimal() and int(length) > self._how.limit else 0
            return self.keep
        self.passes, self._head = True, None
        if fits:  # the new length is known to nobody
            headers = self._how.head(of_other_body(headers))
        return begin(self._start, status, headers, exc_info)

    def gather(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Keep all of it and close it. One that begins only now, and goes as it is, is returned still open."""
        close = getattr(body, "close", _nothing)
        try:
            self.check()
            blocks = iter(body)
            for block in blocks:
                if self.passes:
                    close = _nothing
                    return Blocks(chain((block,), blocks), body)
                self.keep(block)
        finally:
            close()
        return []

    def keep(self, block: bytes) -> None:
        self._size += len(block)
        self.check()
        self._kept.append(block)

    def check(self) -> None:
        if self._size > self._how.limit:
            self._kept.clear()
            sentence = f"The answer is longer than the {self._how.limit} bytes that can be transformed."
            raise NotChangedError(sentence, f"{type(self._how).__name__.lower()}: {sentence}")

    def send(self, environ: Environ) -> Iterable[bytes]:
        """The answer that is there as a whole, changed."""
        self.check()  # the application may have caught what keep raised
        body = b"".join(self._kept)
        self._kept.clear()
        if self._head is not None:
            status, headers = self._head
            body = self._how.body_of(environ, headers, body)
            self._start(status, [*self._how.head(of_other_body(headers)), ("Content-Length", str(len(body)))])
        return [body]
