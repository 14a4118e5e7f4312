"""What an application does against PEP 3333, told in its log: for one request of many, and without breaking any.

wsgiref.validate looks at the parts (environ, status, headers, iterator), and what is told is its sentence; here is what
only the whole of an answer shows. The server stays as strict or as lenient as it is.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from wsgiref import validate
from wsgiref.types import StartResponse, WSGIApplication

from ..options import option
from .answer import Environ, ExcInfo, Headers, begin, value
from .filters import Blocks

_parts: Any = validate  # whose checks of parts typeshed leaves out
MOST_TOLD = 100  # different sentences of one application
_NO_BODY = ("204", "304")


def _check_every(every: int) -> str | None:
    return None if every >= 1 else "1 or more is wanted"


@dataclass(frozen=True)
class Lint:
    """Each mistake is told once, to wsgi.errors, with the first request that showed it."""

    application: WSGIApplication
    every: int = option(100, "one request of so many is looked at", _check_every)
    _count: Iterator[int] = field(default_factory=itertools.count, repr=False)
    _told: set[str] = field(default_factory=set, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if next(self._count) % self.every:
            return self.application(environ, start_response)
        looked = _Looked(self, environ, start_response)
        body = self.application(environ, looked.start_response)
        looked.check(lambda: _parts.check_iterator(body))
        return Blocks(looked.blocks(body), body)

    def tell(self, environ: Environ, mistake: str) -> None:
        with self._lock:
            if mistake in self._told or len(self._told) >= MOST_TOLD:
                return
            self._told.add(mistake)
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        environ["wsgi.errors"].write(f"against PEP 3333: {mistake} ({environ['REQUEST_METHOD']} {path})\n")


class _Looked:
    """One answer that is looked at. length: of its body as the head says, None if it does not."""

    def __init__(self, lint: Lint, environ: Environ, start_response: StartResponse) -> None:
        self._lint, self._environ, self._start = lint, dict(environ), start_response
        self._status = ""
        self._length: int | None = None
        self._bytes = 0
        self.check(lambda: _parts.check_environ(environ))

    def check(self, look: Callable[[], object]) -> None:
        """Tell what the check finds. Whatever a check of what is broken trips over, the request goes on."""
        try:
            look()
        except AssertionError as error:
            self.tell(str(error))
        except Exception as error:
            self.tell(repr(error))

    def tell(self, mistake: str) -> None:
        self._lint.tell(self._environ, mistake)

    def start_response(self, status: str, headers: Headers, exc_info: ExcInfo = None, /) -> Callable[[bytes], object]:
        if self._status and exc_info is None:
            self.tell("start_response is called again without exc_info")
        self.check(lambda: _parts.check_status(status))
        self.check(lambda: _parts.check_headers(headers))
        self.check(lambda: _parts.check_content_type(status, headers))
        self.check(lambda: self._begin(status, headers))
        return begin(self._start, status, headers, exc_info)

    def _begin(self, status: str, headers: Headers) -> None:
        self._status = status
        length = value(headers, "content-length")
        self._length = int(length) if length else None

    def blocks(self, body: Iterable[bytes]) -> Iterator[bytes]:
        for block in body:
            self._block(block)
            yield block
        self._end()

    def _block(self, block: Any) -> None:
        if not self._status:
            self.tell("a block of the body comes before start_response is called")
        if type(block) is not bytes:
            self.tell(f"a block of the body is of type {type(block).__name__}, and bytes are wanted")
        else:
            self._bytes += len(block)

    def _end(self) -> None:
        """The whole of the body was there."""
        empty = self._environ["REQUEST_METHOD"] == "HEAD" or self._status[:3] in _NO_BODY
        if not self._status:
            self.tell("start_response was not called")
        elif empty and self._bytes:
            self.tell(f"there is a body where none can be: {self._environ['REQUEST_METHOD']}, {self._status}")
        elif not empty and self._length is not None and self._length != self._bytes:
            self.tell(f"Content-Length says {self._length}, and the body has {self._bytes} bytes")
