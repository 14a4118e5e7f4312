"""One conversation over a socket: bytes in given steps, what came back, and how it ended.

What lives here: sending, waiting, and cutting bytes into answers as a client would that believes the framing. It must
not know what is right.
"""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

HANG_S = 1.5  # without anything: nobody answers any more
QUIET_S = 0.06  # behind all the answers that are expected: nothing more comes
LINGER_S = 0.4  # behind an answer where the end of the connection is expected


@dataclass(frozen=True)
class Until:
    """Wait until these bytes have come (or a while has passed)."""

    expected: bytes


@dataclass(frozen=True)
class Pause:
    """Wait a moment, so that what was sent arrives by itself."""

    seconds: float


@dataclass(frozen=True)
class IfSeen:
    """Send these bytes if those have come."""

    expected: bytes
    data: bytes


HALF_CLOSE = "half close"
LEAVE = "leave"  # closes the connection, whatever has come
Step = bytes | Until | Pause | IfSeen | str


@dataclass
class Answer:
    """One response. minor: of its version; whole: its body is complete by its framing, or ended with the connection."""

    status: int
    minor: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    whole: bool = True
    by_close: bool = False

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


@dataclass
class Outcome:
    """What a case gave. ending: closed, reset, open; rest: bytes that belong to no answer; events: the app's notes."""

    raw: bytes
    ending: str
    answers: list[Answer]
    rest: bytes
    interim: list[int]
    events: list[dict[str, Any]] = field(default_factory=list)
    alive: bool = True
    same_process: bool = True

    def of(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == event]

    @property
    def finals(self) -> list[int]:
        return [answer.status for answer in self.answers]


def talk(address: tuple[str, int], steps: tuple[Step, ...], methods: tuple[str, ...], keeps: bool) -> Outcome:
    """Do the steps, then read until the end; where the connection is kept, until `methods` all have their answer."""
    with socket.create_connection(address, 5) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = bytearray()
        ending = ""
        for step in steps:
            ending = ending or _do(sock, step, received)
        if not ending:
            ending = _read_to_end(sock, received, methods, keeps)
    answers, rest, interim = cut(bytes(received), methods, ending)
    return Outcome(bytes(received), ending, answers, rest, interim)


def _do(sock: socket.socket, step: Step, received: bytearray) -> str:
    try:
        if isinstance(step, bytes):
            sock.sendall(step)
        elif isinstance(step, Until):
            return _read_until(sock, received, step.expected)
        elif isinstance(step, IfSeen):
            sock.sendall(step.data if step.expected in received else b"")
        elif isinstance(step, Pause):
            time.sleep(step.seconds)
        elif step == HALF_CLOSE:
            sock.shutdown(socket.SHUT_WR)
        else:
            return "open"
    except OSError:  # it has closed already; what it said before is still to be read
        with suppress(OSError):
            _receive(sock, received, 0.1)
    return ""


def _read_until(sock: socket.socket, received: bytearray, expected: bytes) -> str:
    deadline = time.monotonic() + HANG_S
    while expected not in received and time.monotonic() < deadline:
        ending = _receive(sock, received, deadline - time.monotonic())
        if ending:
            return "" if ending == "quiet" else ending
    return ""


def _read_to_end(sock: socket.socket, received: bytearray, methods: tuple[str, ...], keeps: bool) -> str:
    while True:
        answers, _, _ = cut(bytes(received), methods, "open")
        complete = len(answers) == len(methods) and all(answer.whole for answer in answers)
        patience = HANG_S if not answers else QUIET_S if complete and keeps else LINGER_S
        ending = _receive(sock, received, patience)
        if ending:
            return "open" if ending == "quiet" else ending


def _receive(sock: socket.socket, received: bytearray, seconds: float) -> str:
    sock.settimeout(max(seconds, 0.001))
    try:
        block = sock.recv(65536)
    except TimeoutError:
        return "quiet"
    except OSError:
        return "reset"
    received += block
    return "" if block else "closed"


# --- bytes into answers -----------------------------------------------------------------------------------------------

_STATUS_LINE = re.compile(rb"HTTP/1\.(\d) (\d\d\d)(?: ([^\r\n]*))?\r?\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]+)[^\r\n]*\r\n")


def cut(data: bytes, methods: tuple[str, ...], ending: str) -> tuple[list[Answer], bytes, list[int]]:
    """The answers, the bytes that are in none, the interim statuses. Beyond `methods` an answer is as to GET."""
    answers: list[Answer] = []
    interim: list[int] = []
    while data:
        line = _STATUS_LINE.match(data)
        end = data.find(b"\r\n\r\n")
        if line is None or end < 0:
            break
        status = int(line[2])
        answer = Answer(status, int(line[1]), _headers(data[line.end() : end + 2]))
        if 100 <= status < 200 and status != 101:
            interim.append(status)
            data = data[end + 4 :]
            continue
        method = methods[len(answers)] if len(answers) < len(methods) else "GET"
        data = _take_body(answer, method, data[end + 4 :], ending)
        answers.append(answer)
    return answers, data, interim


def _headers(data: bytes) -> list[tuple[str, str]]:
    lines = (line.partition(":") for line in data.decode("latin-1").split("\r\n") if line)
    return [(name.strip().lower(), value.strip()) for name, _, value in lines]


def _take_body(answer: Answer, method: str, data: bytes, ending: str) -> bytes:
    if method == "HEAD" or answer.status in (101, 204, 304):
        return data
    if "chunked" in ",".join(answer.all("transfer-encoding")).lower():
        return _take_chunks(answer, data)
    lengths = answer.all("content-length")
    if lengths and lengths[0].isdigit():
        length = int(lengths[0])
        answer.body, answer.whole = data[:length], len(data) >= length
        return data[length:]
    answer.body, answer.whole, answer.by_close = data, ending == "closed", True
    return b""


def _take_chunks(answer: Answer, data: bytes) -> bytes:
    while chunk := _CHUNK.match(data):
        size = int(chunk[1], 16)
        if not size:
            end = data.find(b"\r\n", chunk.end()) if data[chunk.end() : chunk.end() + 2] == b"\r\n" else -1
            answer.whole = end >= 0
            return data[end + 2 :] if end >= 0 else b""
        answer.body += data[chunk.end() : chunk.end() + size]
        data = data[chunk.end() + size + 2 :]
    answer.whole = False
    return data if data and not _CHUNK.match(data) and b"\r\n" in data else b""
