"""Passes bytes both ways, once client and pool have agreed to speak another protocol than HTTP."""

from __future__ import annotations

import time

from gevent import get_hub
from gevent.event import Event
from greenlet import greenlet

from ..errors import HttpError
from .connection import Connection
from .upstream import Upstream, UpstreamGone

IDLE_S = 3600.0  # nothing either way; a front in between has its own, shorter limit


class Tunnel:
    """Between a connection that has been switched and a pool."""

    def __init__(self, connection: Connection, upstream: Upstream) -> None:
        self._connection = connection
        self._upstream = upstream
        self._active = time.monotonic()
        self._client_done = Event()

    def run(self, first: bytes) -> None:
        """Until the pool has ended, or both have sent all that they will; or nobody has said anything for IDLE_S.
        first: what has come from the pool already.
        """
        pump = greenlet(self._pass_there, parent=get_hub())
        get_hub().loop.run_callback(pump.switch)
        connection, upstream, data = self._connection, self._upstream, first
        try:
            while True:
                if data:
                    connection.send(data)
                    self._active = time.monotonic()
                data = upstream.receive()
                if not data:
                    break
            connection.end_sending()
            if not upstream.gone():  # it may still want to hear the rest
                self._client_done.wait()
        except (UpstreamGone, OSError):
            pass

    def _pass_there(self) -> None:
        """In a greenlet of its own."""
        connection, upstream = self._connection, self._upstream
        try:
            while True:
                try:
                    data = connection.receive(IDLE_S)
                except HttpError:  # silent for so long
                    if time.monotonic() - self._active < IDLE_S:
                        continue
                    raise
                if not data:
                    break
                upstream.send(data)
                self._active = time.monotonic()
            upstream.end_sending()
        except (OSError, HttpError):
            upstream.close()
        finally:
            self._client_done.set()
