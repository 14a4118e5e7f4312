"""The body of a request on its way to an upstream, block by block. What has been handed out is kept up to a limit, so
that it can be sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from ..answer import Environ, listed
from .wire import BLOCK_BYTES


class BodyError(Exception):
    """It cannot be sent on; status and message are for the client."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Body:
    """length: in bytes, None if it is not known; whole: all that was handed out is still here.

    Its first block is read at once: a slow client is waited for before an upstream is. Raises, as `next` does,
    BodyError, and whatever the server raises when the client has gone.
    """

    def __init__(self, environ: Environ, keep_bytes: int) -> None:
        source: Any = environ["wsgi.input"]
        # What there is, where the server tells that: else it waits for a whole block of a slow client.
        self._read: Callable[[int], bytes] = getattr(source, "read1", source.read)
        self._room = keep_bytes
        self._kept: list[bytes] | None = []
        self._again = 0  # how many of the kept ones have been handed out since the restart
        self.length = self._left = _length(environ)
        self._ahead = self._from_client()
        if not self._ahead:  # many servers say nothing of a body that is not there
            self.length = self._left = 0

    @property
    def whole(self) -> bool:
        return self._kept is not None

    @property
    def at_end(self) -> bool:
        """Of one whose length is known: all of it has been handed out."""
        return self._left == 0 and not self._ahead and (self._kept is None or self._again == len(self._kept))

    def next(self) -> bytes:
        """The next block; b'' at the end."""
        if self._kept is not None and self._again < len(self._kept):
            self._again += 1
            return self._kept[self._again - 1]
        block, self._ahead = self._ahead or self._from_client(), b""
        if block and self._kept is not None:
            self._kept.append(block)
            self._again += 1
            self._room -= len(block)
            if self._room < 0:
                self._kept = None
        return block

    def restart(self) -> None:
        """Hand out all of it again, if it is whole."""
        self._again = 0

    def _from_client(self) -> bytes:
        if self._left == 0:
            return b""
        block = self._read(BLOCK_BYTES if self._left is None else min(BLOCK_BYTES, self._left))
        if self._left is not None:
            if not block:
                raise BodyError(HTTPStatus.BAD_REQUEST, f"{self._left} bytes of the request's body did not come.")
            self._left -= len(block)
        return block


def _length(environ: Environ) -> int | None:
    """None: the server tells the end when it comes. Raises BodyError."""
    codings = {*listed(environ.get("HTTP_TRANSFER_ENCODING", "").lower())}
    if codings - {"chunked"}:  # the server has left them on it
        raise BodyError(HTTPStatus.NOT_IMPLEMENTED, "A body that is coded for the transfer is not sent on.")
    told: str = environ.get("CONTENT_LENGTH") or ""
    if told.isdecimal():
        return int(told)
    if environ.get("wsgi.input_terminated"):
        return None
    if codings:  # uWSGI does not let an application read that as any other body
        raise BodyError(HTTPStatus.LENGTH_REQUIRED, "This server passes on no body whose length is not told before it.")
    return 0
