"""Front and replica must agree on the number of addresses: one without a listener attracts nginx's least_conn.

The replica asks before it starts, and its deployer asks again until the front has answered once, since in a stack
that starts the front comes last.
"""

from __future__ import annotations

import http.client
import socket

from ..config import Settings
from ..errors import UserError
from .pace import LOOK_S


class NoFront(Exception):  # a state, not an error
    """There is no host of the front's name: it has not been started."""


def front_addresses(front: str) -> int | None:
    """How many addresses a replica the front balances over; None while it does not answer.

    front: HOST:PORT. Raises UserError when it is not, NoFront when there is no such host.
    """
    host, _, port = front.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"HEDGEROW_FRONT={front}: HOST:PORT is wanted")
    connection = http.client.HTTPConnection(host, int(port), timeout=2)
    try:
        connection.request("GET", "/addresses")
        answer = connection.getresponse()
        return int(answer.read()) if answer.status == 200 else None
    except socket.gaierror as error:
        raise NoFront(host) from error
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def disagreement(settings: Settings, count: int) -> str | None:
    """One sentence, if the front balances over another number of addresses than this replica has."""
    if count == settings.workers:
        return None
    return (
        f"HEDGEROW_WORKERS={settings.workers} here, but the front balances over {count} addresses a replica: "
        "give both the same number"
    )


class Agreement:
    """Whether this replica agrees with its front, asked until that has answered once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known = not settings.front
        self._asked = float("-inf")

    def look(self, now: float) -> str | None:
        """The sentence of a disagreement, once."""
        if self._known or now - self._asked < LOOK_S:
            return None
        self._asked = now
        try:
            count = front_addresses(self._settings.front)
        except NoFront:
            return None
        self._known = count is not None
        return None if count is None else disagreement(self._settings, count)
