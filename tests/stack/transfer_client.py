"""Sends and takes large bodies piece by piece, as fast as it goes or at a rate, and keeps only their digest."""

from __future__ import annotations

import hashlib
import http.client
import time
from collections.abc import Iterator
from dataclasses import dataclass

PIECE = 1 << 16


@dataclass(frozen=True)
class Body:
    """What was seen of an answer. seconds: from the request to its last byte."""

    status: int
    size: int
    digest: str
    seconds: float


def pieces(count: int) -> Iterator[bytes]:
    """Each piece has its number all over it, so a lost, doubled or displaced one changes the digest."""
    return (number.to_bytes(8, "big") * (PIECE // 8) for number in range(count))


def digest(count: int) -> str:
    """The digest of so many pieces."""
    made = hashlib.sha256()
    for piece in pieces(count):
        made.update(piece)
    return made.hexdigest()


def upload(port: int, path: str, count: int, *, chunked: bool) -> int:
    """Sends so many pieces by POST; returns the status."""
    headers = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(count * PIECE)}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, pieces(count), headers, encode_chunked=chunked)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def download(port: int, path: str, bytes_a_second: float = 0) -> Body:
    """Takes an answer; with a rate, it reads a piece and waits until the next one is due."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    made, size, began = hashlib.sha256(), 0, time.monotonic()
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        while piece := answer.read(PIECE):
            made.update(piece)
            size += len(piece)
            if bytes_a_second:
                time.sleep(max(0.0, began + size / bytes_a_second - time.monotonic()))
        return Body(answer.status, size, made.hexdigest(), time.monotonic() - began)
    finally:
        connection.close()
