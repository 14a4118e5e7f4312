"""A head that waits for the first block of the body, for middleware that must know what the application did until then.

An application may call start_response early and go on working, or late, when its generator is asked for the first
block. Nothing is withheld but the head, and that not longer than PEP 3333 lets a server do it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from wsgiref.types import StartResponse, WSGIApplication

from .answer import Change, Environ, ExcInfo, Headers
from .filters import Blocks


def answer_late(
    application: WSGIApplication, environ: Environ, start_response: StartResponse, change: Change
) -> Iterable[bytes]:
    """The application's answer; `change` sees the head once the application's first block is there, or its body as an
    iterable, if the head was known before.
    """
    head = _Head(start_response, change)
    body = application(environ, head.start_response)
    if not head.is_known:
        return Blocks(_blocks(body, head), body)
    try:
        head.send()
    except BaseException:
        _close(body)
        raise
    return body  # as it is: the server may know a better way to send it


class _Head:
    def __init__(self, start_response: StartResponse, change: Change) -> None:
        self._start, self._change = start_response, change
        self._head: tuple[str, Headers, ExcInfo] | None = None
        self._is_sent = False
        self._write: Callable[[bytes], object]

    @property
    def is_known(self) -> bool:
        return self._head is not None

    def start_response(self, status: str, headers: Headers, exc_info: ExcInfo = None, /) -> Callable[[bytes], object]:
        if exc_info is None and self._head is not None:
            raise AssertionError("start_response was called twice, the second time without exc_info")
        self._head = (status, list(headers), exc_info)
        if self._is_sent:  # the server knows whether another one is possible still
            self._is_sent = False
            self.send()
        return self.write

    def write(self, block: bytes) -> object:
        self.send()
        return self._write(block)

    def send(self) -> None:
        """Once; and again after the application has replaced it. Without a head the server says what is wrong."""
        if self._head is None or self._is_sent:
            return
        given, headers, exc_info = self._head
        status, headers = self._change(given, headers)
        self._is_sent = True
        if exc_info is None:
            self._write = self._start(status, headers)
        else:
            self._write = self._start(status, headers, exc_info)
        self._head = (given, headers, None)  # a traceback holds its frames


def _blocks(body: Iterable[bytes], head: _Head) -> Iterator[bytes]:
    for block in body:
        head.send()
        yield block
    head.send()


def _close(body: Iterable[bytes]) -> None:
    if (close := getattr(body, "close", None)) is not None:
        close()
