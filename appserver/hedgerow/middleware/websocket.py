"""WebSocket for an application: `environ["wsgi.websocket"]`, in a request that asks for it, is a conversation with the
client.

The application's call lasts as long as the conversation, in its greenlet or thread. What it may use is in
`websockets/talk.py`; what a hostile client can send, and what it is told, in `websockets/conversation.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

from ..options import option, within
from .answer import Environ, ExcInfo, Headers, text
from .cors import ANY, check_origins, check_tokens
from .upstreams import tunnel
from .websockets import handshake
from .websockets.conversation import FAILED, NORMAL, Closed, Conversation, Fault, GoingAway, Lost
from .websockets.talk import WebSocket

__all__ = ["Closed", "Fault", "GoingAway", "Lost", "WebSocket", "Websocket"]

KEY = "wsgi.websocket"
_NO_SOCKET = "This server does not let an application speak another protocol than HTTP.\n"


def _check_paths(paths: tuple[str, ...]) -> str | None:
    return next((f"{path!r} does not start with '/'" for path in paths if not path.startswith("/")), None)


def _check_seconds(seconds: float) -> str | None:
    return None if 0 <= seconds <= 3600 else "0 to 3600 seconds are wanted"


@dataclass(frozen=True)
class Websocket:
    """Other requests pass, but for those of `paths`. Extensions, compression among them, are not spoken."""

    application: WSGIApplication
    paths: tuple[str, ...] = option(
        (), "below the mount, with all below them: here nothing but WebSocket is answered, else 426", _check_paths
    )
    origins: tuple[str, ...] = option(
        (), "pages from there may connect, as https://shop.example, beside the host's own; '*' for all", check_origins
    )
    subprotocols: tuple[str, ...] = option(
        (), "those that the app speaks, its favourite first; the first that the client offers is chosen", check_tokens
    )
    max_message_bytes: int = option(
        1_048_576, "of one message; beyond it the client is told 1009", within(1, 2**30, "bytes")
    )
    ping_every_s: float = option(
        30.0, "seconds of silence after which a client is asked whether it is there; 0: never", _check_seconds
    )
    close_timeout_s: float = option(5.0, "seconds in which a client has to answer a close", _check_seconds)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            if not handshake.is_wanted(environ):
                if self._is_own(environ.get("PATH_INFO", "")):
                    raise handshake.needed("Here nothing but WebSocket is spoken.\n")
                return self.application(environ, start_response)
            wish = handshake.read(environ)
            self._check_origin(environ)
            offer = tunnel.offered(environ)
            if offer is None:
                raise handshake.RefusedError(HTTPStatus.NOT_IMPLEMENTED, _NO_SOCKET)
        except handshake.RefusedError as refused:
            return text(start_response, refused.status, refused.sentence, *refused.headers)
        chosen = next((one for one in self.subprotocols if one in wish.offered), "")
        talk = Conversation(self.max_message_bytes, self.ping_every_s, self.close_timeout_s, time.monotonic())
        websocket = environ[KEY] = WebSocket(offer, wish, chosen, talk)
        return _Visit(websocket, offer.done, start_response).run(self.application, environ)

    def _is_own(self, path: str) -> bool:
        return any(path == one or path.startswith(one.rstrip("/") + "/") for one in self.paths)

    def _check_origin(self, environ: Environ) -> None:
        """A browser lets any page connect, and sends the cookies of the host that is asked: so who asks is looked at
        here (RFC 6455 section 10.2). Who is no browser sends no Origin.
        """
        origin = environ.get("HTTP_ORIGIN")
        if origin is None or ANY in self.origins or origin in self.origins:
            return
        if not handshake.is_same_site(origin, environ.get("HTTP_HOST", "")):
            raise handshake.RefusedError(HTTPStatus.FORBIDDEN, "Pages of that origin may not connect.\n")


class _Visit:
    """One call of the application. done: what has to be raised when the connection is used up."""

    def __init__(self, websocket: WebSocket, done: type[Exception], start_response: StartResponse) -> None:
        self._websocket = websocket
        self._done = done
        self._start_response = start_response
        self._failed = False

    def run(self, application: WSGIApplication, environ: Environ) -> Iterable[bytes]:
        """The application's answer, if it has not used the WebSocket; else `done` is raised when it is over."""
        websocket = self._websocket
        try:
            blocks = application(environ, self._start)
            if not websocket.accepted and not isinstance(blocks, list | tuple):
                blocks = _Begun(blocks)  # a generator begins only now
            if not websocket.accepted:
                return blocks
            _exhaust(blocks)
        except Closed:
            if not websocket.accepted:
                raise
        except Exception as error:
            self._end(FAILED)
            if websocket.accepted and isinstance(error, (OSError, StopIteration)):
                # To a server these are a client that has gone, and the usual end (`done`): nothing to log.
                raise RuntimeError(f"the app raised {type(error).__name__} in a WebSocket") from error
            raise
        except BaseException:
            self._end(None)
            raise
        self._end(FAILED if self._failed else NORMAL)
        raise self._done

    def _start(self, status: str, headers: Headers, exc_info: ExcInfo = None, /) -> Callable[[bytes], object]:
        """Of an application that has accepted nobody reads the answer, but a framework tells with it of a failure."""
        if self._websocket.accepted:
            self._failed = status.startswith("5")
            return _ignore
        if exc_info is None:
            return self._start_response(status, headers)
        return self._start_response(status, headers, exc_info)

    def _end(self, code: int | None) -> None:
        """With this code, if it is not over; None: without a word."""
        if self._websocket.accepted:
            if code is not None:
                self._websocket.close(code)
            self._websocket.end()


class _Begun:
    """An application's blocks, of which the first has been asked for."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = blocks
        self._rest = iter(blocks)
        self._first: list[bytes] = []
        try:
            self._first += [next(self._rest)]
        except StopIteration:
            pass
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        yield from self._first
        yield from self._rest

    def close(self) -> None:
        """WSGI's."""
        close: Any = getattr(self._blocks, "close", None)
        if close is not None:
            close()


def _exhaust(blocks: Iterable[bytes]) -> None:
    """Of an application that speaks while it makes blocks, which nobody wants."""
    try:
        for _ in blocks:
            pass
    finally:
        close: Any = getattr(blocks, "close", None)
        if close is not None:
            close()


def _ignore(_: bytes) -> None:
    """write() of an answer that nobody reads."""
