"""HTTP over a unix socket, with a time-out on every call: how one talks to workers, the deployer and supervisord.

Foreign exceptions end here: a socket that does not answer is `None` or a `ControlError`, never an OSError.
"""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from ..errors import HedgerowError

SHORT_S = 2.0
MAX_SOCKET_PATH = 107


class ControlError(HedgerowError):
    """A control socket that cannot be reached, or that answered something else than it must."""


class UnixConnection(http.client.HTTPConnection):
    """`http.client` on a unix socket."""

    def __init__(self, path: Path | str, timeout_s: float | None = SHORT_S) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self.path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def call(path: Path, method: str, target: str, timeout_s: float = SHORT_S) -> tuple[int, bytes]:
    """One request on one connection: status and body. Raises ControlError."""
    connection = UnixConnection(path, timeout_s)
    try:
        connection.request(method, target, headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ControlError(f"{path} does not answer {method} {target}: {error}") from error
    finally:
        connection.close()


def prefix(mount: str) -> dict[str, str]:
    """The header by which a server of an app's own hears below which mount it is asked; '' for the root."""
    return {"X-Forwarded-Prefix": mount} if mount else {}


def is_ready(path: Path) -> bool:
    """Whether the worker behind this socket serves. A worker that loads has no socket yet."""
    try:
        return call(path, "GET", "/ready")[0] == 200
    except ControlError:
        return False


def status(path: Path, timeout_s: float = SHORT_S) -> dict[str, Any] | None:
    """What a worker or the deployer tells of itself; None when nobody answers."""
    try:
        code, body = call(path, "GET", "/status", timeout_s)
        told = json.loads(body) if code == 200 else None
    except (ControlError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def post(path: Path, target: str) -> bool:
    """Tells a worker something; False when it did not hear."""
    try:
        return call(path, "POST", target)[0] == 202
    except ControlError:
        return False
