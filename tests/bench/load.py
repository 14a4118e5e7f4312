"""A closed-loop load client: a fixed number of keep-alive connections, each with one request under way.

It knows the size of the answer after the first one and only counts bytes, so that it is cheaper than what it measures.
"""

from __future__ import annotations

import select
import socket
import time

BROWSER_HEADERS = {
    "Host": "127.0.0.1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "http://127.0.0.1/",
    "Connection": "keep-alive",
    "Cookie": "session=eyJ1c2VyX2lkIjoxfQ.aR3k5w.kZpN0v8mJt1y; theme=dark",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Priority": "u=0, i",
}


def request_bytes(path: str) -> bytes:
    """A GET with 13 headers, as a browser sends it."""
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in BROWSER_HEADERS.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def first_answer(address: tuple[str, int], request: bytes) -> bytes:
    """One whole answer on a connection of its own: shows that the server is right, and how long its answers are."""
    with socket.create_connection(address, 10) as sock:
        sock.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(65_536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        while len(body) < length:
            body += sock.recv(65_536)
        return head + b"\r\n\r\n" + body


def run(address: tuple[str, int], path: str, connections: int, seconds: float) -> int:
    """Load for some seconds; the number of whole answers. Raises OSError when the server closes a connection."""
    request = request_bytes(path)
    size = len(first_answer(address, request))
    poll = select.epoll()
    socks = {}
    left = {}
    for _ in range(connections):
        sock = socket.create_connection(address, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        socks[sock.fileno()] = sock
        left[sock.fileno()] = size
        poll.register(sock.fileno(), select.EPOLLIN)
        sock.send(request)
    answers = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for descriptor, _ in poll.poll(1):
            sock = socks[descriptor]
            data = sock.recv(262_144)
            if not data:
                raise OSError("the server closed a connection")
            left[descriptor] -= len(data)
            if left[descriptor] <= 0:
                answers += 1
                left[descriptor] += size
                sock.send(request)
    for sock in socks.values():
        sock.close()
    return answers
