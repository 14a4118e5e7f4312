"""One connection to an upstream: TCP, TLS or a unix socket. It never waits but in `connect` and `wait`, and knows
whether anything of a request was sent. What it must not know: HTTP.

poll(2) is looked up when it is called, so that it is gevent's where that has patched.
"""

from __future__ import annotations

import errno
import math
import select
import socket
import ssl
import time

from .address import Address

BLOCK_BYTES = 65_536


class Wire:
    """sent: whether any byte of the present request may have left; idle_since: when the last one was over."""

    __slots__ = ("_sock", "_tls", "_wants", "idle_since", "sent")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._wants = select.POLLOUT
        self.sent = False
        self.idle_since = 0.0

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, data: memoryview) -> int:
        """How much of it was taken; 0 if it has to wait. Raises OSError."""
        # A piece of a TLS record may have left whatever the call says then.
        self.sent = self.sent or self._tls
        self._wants = select.POLLOUT
        try:
            count = self._sock.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError):
            return 0
        except ssl.SSLWantReadError:
            self._wants = select.POLLIN
            return 0
        self.sent = True
        return count

    def send_all(self, data: bytes, limit_s: float) -> None:
        """Wait until all of it is taken. Raises OSError; TimeoutError when nothing is for so long."""
        left = memoryview(data)
        while left:
            count = self.send(left)
            left = left[count:]
            if not count:
                self.wait(time.monotonic() + limit_s, sending=True, receiving=False)

    def receive(self, most: int = BLOCK_BYTES) -> bytes | None:
        """What has come, or the most of it; b'' at the end, None if that has to wait. Raises OSError."""
        try:
            return self._sock.recv(most)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except ssl.SSLEOFError:
            return b""

    def is_quiet(self) -> bool:
        """Of one that was kept: it has not ended, and nobody speaks unasked."""
        try:
            return self.receive() is None
        except OSError:
            return False

    def events(self, sending: bool, receiving: bool) -> int:
        """What poll(2) has to wait for: after a `send` or `receive` that could not go on."""
        return (select.POLLIN if receiving else 0) | (self._wants if sending else 0)

    def wait(self, until: float, sending: bool = False, receiving: bool = True) -> None:
        """Until something comes, or can be sent. Raises TimeoutError when that takes too long."""
        if receiving and isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return
        poll = select.poll()
        poll.register(self._sock.fileno(), self.events(sending, receiving))
        left_s = until - time.monotonic()
        if left_s <= 0 or not poll.poll(math.ceil(left_s * 1000)):
            raise TimeoutError("it took too long")

    def close(self) -> None:
        self._sock.close()


def is_ours(error: Exception) -> bool:
    """Whether it is for a reason of ours that none was made: there is no descriptor left, or the host gives no more."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def connect(address: Address, timeout_s: float, context: ssl.SSLContext | None) -> Wire:
    """Raises TimeoutError, or another OSError: nothing of a request was sent then."""
    if address.path:
        sock = socket.socket(socket.AF_UNIX)
    else:
        sock = socket.create_connection((address.host, address.port), timeout_s)
    try:
        if address.path:
            sock.settimeout(timeout_s)
            sock.connect(address.path)
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.tls and context is not None:
            sock = context.wrap_socket(sock, server_hostname=address.host)
        return Wire(sock)
    except BaseException:
        sock.close()
        raise
