"""The opening handshake (RFC 6455 section 4.2): whether a request asks for WebSocket, and what it is answered. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from http import HTTPStatus

from wsproto.utilities import generate_accept_token

from ..answer import Environ, listed

VERSION = "13"
_KEY_BYTES = 16
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#@\s]+)", re.ASCII)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class RefusedError(Exception):
    """status, sentence: of the answer; headers: more of it."""

    def __init__(self, status: HTTPStatus, sentence: str, *headers: tuple[str, str]) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers


@dataclass(frozen=True)
class Wish:
    """A sound request. key: of its field; offered: subprotocols, the client's favourite first."""

    key: str
    offered: tuple[str, ...]

    def answer(self, subprotocol: str) -> bytes:
        """The head that accepts it. subprotocol: one of those offered, or ''."""
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Connection: Upgrade",
            "Upgrade: websocket",
            f"Sec-WebSocket-Accept: {generate_accept_token(self.key.encode()).decode()}",
        ]
        if subprotocol:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        return "\r\n".join((*lines, "\r\n")).encode("latin-1")


def is_wanted(environ: Environ) -> bool:
    """Whether it asks for WebSocket, well or badly."""
    return "websocket" in [one.lower() for one in listed(environ.get("HTTP_UPGRADE", ""))]


def read(environ: Environ) -> Wish:
    """What a request that asks for WebSocket wants. Raises RefusedError."""
    if environ["REQUEST_METHOD"] != "GET" or environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        raise RefusedError(HTTPStatus.BAD_REQUEST, "A WebSocket begins with a GET of HTTP/1.1.\n")
    if "upgrade" not in [one.lower() for one in listed(environ.get("HTTP_CONNECTION", ""))]:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "A WebSocket needs `Connection: Upgrade`.\n")
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION", "").strip() != VERSION:
        raise needed("The version of WebSocket that is spoken here is 13.\n")
    key = environ.get("HTTP_SEC_WEBSOCKET_KEY", "").strip()
    if not _is_key(key):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes in Base64.\n")
    offered = listed(environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", ""))
    if len(set(offered)) < len(offered) or not all(_TOKEN.fullmatch(one) for one in offered):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Protocol is no list of different names.\n")
    return Wish(key, tuple(offered))


def needed(sentence: str) -> RefusedError:
    """426: what has to be spoken instead. Without Upgrade, which RFC 9110 (15.5.22) wants: an app's side may not send
    it (PEP 3333), and an answer over HTTP/2 that has it is malformed (RFC 9113, 8.2.2).
    """
    return RefusedError(HTTPStatus.UPGRADE_REQUIRED, sentence, ("Sec-WebSocket-Version", VERSION))


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def is_same_site(origin: str, host: str) -> bool:
    """Whether a page of `origin` was loaded from the host that it now asks, port included."""
    match = _ORIGIN.fullmatch(origin.lower())
    if match is None:
        return False
    port = _DEFAULT_PORTS.get(match[1], "")
    return match[2].removesuffix(port) == host.lower().strip().removesuffix(port)
