"""Sends requests on over the network, to the least busy of several servers, and elsewhere when one fails: for some
paths of an app, or for all.

A request is sent a second time only if nothing of it was sent, or its method is idempotent (RFC 9110, 9.2.2) and its
body still here: so no server executes a POST that another has. What follows from what is in `upstreams/`.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import NoReturn
from wsgiref.types import StartResponse, WSGIApplication

from ..http.answer import SWITCHING
from ..options import REQUIRED, option
from .answer import Environ, text
from .upstreams import address, tunnel
from .upstreams.balance import Balance, Keeping, Patience
from .upstreams.body import Body, BodyError
from .upstreams.choice import MEANINGS
from .upstreams.exchange import Exchange, Failed, Limits
from .upstreams.health import Health, Questions
from .upstreams.outgoing import NotAskedError, Outgoing, below, outgoing, path_of, wants_upgrade

_DOWN = "No server behind this one works at the moment.\n"
_NO_SOCKET = (
    "This server does not let an application speak another protocol than HTTP, so the upgrade cannot be passed on.\n"
)


def _check_upstreams(written: tuple[str, ...]) -> str | None:
    try:
        found = [address.parse(one) for one in written]
    except ValueError as error:
        return str(error)
    if len({one.text for one in found}) < len(found):
        return "each has to be another one"
    return None if found else "at least one is wanted"


def _check_paths(paths: tuple[str, ...]) -> str | None:
    return next((f"{path!r} does not start with '/'" for path in paths if not path.startswith("/")), None)


def _check_path(path: str) -> str | None:
    return None if re.fullmatch(r"(/[\x21-\x7e]*)?", path) else "a path that begins with '/', without spaces, is wanted"


def _check_seconds(seconds: float) -> str | None:
    return None if 0 < seconds <= 86_400 else "more than 0 and at most 86400 seconds are wanted"


def _check_count(count: int) -> str | None:
    return None if 0 < count <= 1000 else "1 to 1000 are wanted"


def _check_number(number: int) -> str | None:
    return None if number >= 0 else "0 or more is wanted"


def _check_statuses(statuses: tuple[int, ...]) -> str | None:
    return next((f"{one} is no status of 400 to 599" for one in statuses if not 400 <= one <= 599), None)


@dataclass(frozen=True)
class Remote:
    """Without an application it is one itself: what is not sent on is 404 then. `close()` ends what goes on behind."""

    application: WSGIApplication | None = None
    _: KW_ONLY
    upstreams: tuple[str, ...] = option(
        REQUIRED,
        "`http://host:port/prefix`, `https://…` or `unix:/path:/prefix`, maybe with ` weight=2`",
        _check_upstreams,
    )
    paths: tuple[str, ...] = option(
        ("/",), "below the mount, with all below them: these are sent on, the others are the app's", _check_paths
    )
    strip_path: bool = option(False, "whether upstreams get what is below the one of `paths`, not all below the mount")
    keep_host: bool = option(True, "whether upstreams get the Host that was asked for; else their own")
    forwarded: bool = option(
        True, "whether upstreams are told in X-Forwarded-For, -Proto, -Host, -Prefix who asks, instead of what came"
    )
    connect_timeout_s: float = option(3.0, "seconds in which a connection has to be made", _check_seconds)
    first_byte_timeout_s: float = option(
        60.0, "seconds in which the head of an answer has to come, when the request is sent", _check_seconds
    )
    idle_timeout_s: float = option(60.0, "seconds between two blocks, of the request or of the answer", _check_seconds)
    tries: int = option(5, "how often one request is sent at most", _check_count)
    retry_statuses: tuple[int, ...] = option(
        (502, 503, 504), "answers that are failures: what may be sent again is sent elsewhere", _check_statuses
    )
    retry_body_bytes: int = option(
        65_536,
        "bytes of a request's body that are kept so that it can be sent again; longer ones cannot",
        _check_number,
    )
    failures: int = option(2, "within `failure_window_s` take an upstream out", _check_count)
    failure_window_s: float = option(10.0, "seconds", _check_seconds)
    out_s: float = option(1.0, "seconds for which it is out, twice as long each time", _check_seconds)
    out_max_s: float = option(60.0, "seconds for which it is out at most", _check_seconds)
    keep_connections: int = option(32, "idle ones kept for each upstream", _check_number)
    keep_connections_s: float = option(
        1.0, "seconds for which they are; less than the upstreams keep them (gunicorn 2, uvicorn 5)", _check_seconds
    )
    health_path: str = option("", "asked regularly, below an upstream's prefix: who fails gets nothing", _check_path)
    health_every_s: float = option(5.0, "seconds between two such questions", _check_seconds)
    health_timeout_s: float = option(
        2.0, "seconds in which its answer has to come, with a status below 400", _check_seconds
    )
    ca_file: Path | None = option(None, "certificates that https trusts, in PEM; default: the system's")
    _balance: Balance = field(init=False, repr=False, compare=False)
    _limits: Limits = field(init=False, repr=False, compare=False)
    _health: Health | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.out_max_s < self.out_s:
            raise ValueError("out_max_s is less than out_s")
        if wrong := _check_upstreams(self.upstreams):
            raise ValueError(wrong)
        addresses = [address.parse(one) for one in self.upstreams]
        context = self._context() if any(one.tls for one in addresses) else None
        limits = Limits(
            self.connect_timeout_s, self.first_byte_timeout_s, self.idle_timeout_s, self.tries,
            frozenset(self.retry_statuses), context,
        )  # fmt: skip
        patience = Patience(self.failures, self.failure_window_s, self.out_s, self.out_max_s)
        balance = Balance(addresses, patience, Keeping(self.keep_connections, self.keep_connections_s))
        questions = Questions(self.health_path, self.health_every_s, self.health_timeout_s)
        # What it does is frozen; what it knows of its upstreams is the balance's.
        object.__setattr__(self, "_limits", limits)
        object.__setattr__(self, "_balance", balance)
        object.__setattr__(self, "_health", Health(balance, questions, context) if self.health_path else None)

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise ValueError(f"ca_file = {str(self.ca_file)!r}: {error}") from error

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            path = path_of(environ)
            depth = below(path, self.paths)
            if depth is None:
                return self._other(environ, start_response)
            strip = depth if self.strip_path else 0
            upgrade = wants_upgrade(environ)
            request = outgoing(environ, path, strip, self.keep_host, self.forwarded, upgrade)
            return self._send_on(request, upgrade, environ, start_response)
        except NotAskedError as error:
            return text(start_response, HTTPStatus.BAD_REQUEST, f"{error}\n")
        except BodyError as error:
            return text(start_response, error.status, f"{error}\n")

    def _other(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if self.application is not None:
            return self.application(environ, start_response)
        return text(start_response, HTTPStatus.NOT_FOUND, "There is nothing here.\n")

    def _send_on(
        self, request: Outgoing, upgrade: bool, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        client = tunnel.offered(environ) if upgrade else None
        if request.method == "CONNECT" or (upgrade and client is None):
            return text(start_response, HTTPStatus.NOT_IMPLEMENTED, _NO_SOCKET)
        if self._health is not None:
            self._health.ensure()
        body = Body(environ, self.retry_body_bytes)
        exchange = Exchange(self._balance, self._limits, request, body, environ["wsgi.errors"].write)
        try:
            reply = exchange.begin()
        except Failed as failed:
            return _failed(failed, environ, start_response)
        try:
            if client is not None and reply.status == SWITCHING:
                _switch(client, exchange)
            start_response(reply.status_line, reply.headers)
        except BaseException:
            exchange.close()
            raise
        if not reply.complete:
            return exchange
        exchange.close()  # all is here: the server may send it at once
        return [block] if (block := reply.take()) else []

    def close(self) -> None:
        """End what asks regularly, and the kept connections. It may be used on."""
        if self._health is not None:
            self._health.close()
        self._balance.close()


def _failed(failed: Failed, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    if failed.failure is None:
        environ["wsgi.errors"].write(f"remote: {failed}\n")
        return text(start_response, HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, ("Retry-After", "5"))
    meaning = MEANINGS[failed.failure]
    return text(start_response, meaning.status, meaning.sentence)


def _switch(client: tunnel.Offer, exchange: Exchange) -> NoReturn:
    reply, wire = exchange.reply, exchange.wire
    try:
        if wire is not None:
            sock, early = client.take()
            tunnel.run(sock, wire, tunnel.switching(reply.status_line, reply.headers) + reply.rest, early)
    except OSError:
        pass  # that is how such a connection ends, too
    raise client.done
