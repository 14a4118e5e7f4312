"""Passes bytes both ways, once client and pool have agreed to speak another protocol than HTTP."""

from __future__ import annotations

from .connection import Connection
from .upstream import Upstream


def tunnel(connection: Connection, upstream: Upstream, first: bytes) -> None:
    raise NotImplementedError
