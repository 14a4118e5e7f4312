"""Who comes in: the listening socket, and what happens when the process has no descriptor left for one client more.

Then one client is taken with a descriptor kept in reserve, so that it is told to go elsewhere, and accepting pauses
until a connection has closed: a ready watcher would spin. What this file must not know: what a client is told.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import fcntl
import os
from collections.abc import Callable
from typing import Any

from .log import LogQueue
from .transfer import READ

BACKLOG = 4096  # the kernel lowers it to net.core.somaxconn
ACCEPTS_A_WAKE = 64
PAUSE_S = 1.0  # at most: files of an app may have been closed
TELL_S = 10.0

_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
_NOT_NOW = (errno.EINVAL, errno.ENOBUFS, errno.ENOMEM)  # EINVAL: somebody has shut the listening socket down


class Acceptor:
    """Accepts from a bound, listening, non-blocking socket that outlives us.

    admit: takes the client's socket and address, and whether it is to be refused.
    """

    def __init__(
        self,
        listener: _socket.socket,
        hub: Any,
        log: LogQueue,
        admit: Callable[[_socket.socket, object, bool], None],
    ) -> None:
        self._listener = listener
        self._hub = hub
        self._log = log
        self._admit = admit
        self._watcher = hub.loop.io(listener.fileno(), READ)
        self._timer: Any = None
        self._stopped = False
        self._told_at = 0.0
        self._reserve = -1
        self._fill_reserve()
        self.paused = False

    def start(self) -> None:
        """From now on clients are accepted."""
        self._watcher.start(self._on_acceptable)

    def stop(self) -> None:
        """Leave new clients to whoever shares the listener."""
        self._stopped = True
        self._end_pause()
        self._watcher.stop()

    def refuse_new(self) -> None:
        """Accept what is queued, then make the kernel refuse: the replica leaves, and a refused connect is a fast
        failure.
        """
        while not self.paused and self._on_acceptable():
            pass
        self.stop()
        with contextlib.suppress(OSError):
            self._listener.shutdown(_socket.SHUT_RDWR)

    def resume(self) -> None:
        """After a pause: a descriptor may be free."""
        self._end_pause()
        if not self._stopped:
            self._fill_reserve()
            self._listener.listen(BACKLOG)  # brings it back if it was shut down
            self._watcher.start(self._on_acceptable)

    def drop_in_child(self) -> None:
        """After a fork: the listener is the parent's."""
        self.stop()
        self._listener.close()

    def _on_acceptable(self) -> bool:
        """Accept some. True when there may be more."""
        for _ in range(ACCEPTS_A_WAKE):
            try:
                descriptor, peer = self._listener._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR:
                    self._pause(error)
                    self._accept_with_reserve()
                    return False
                if error.errno in _NOT_NOW:
                    self._pause(error)
                    return False
                continue
            self._admit(_client_socket(descriptor), peer, False)
        return True

    def _pause(self, error: OSError) -> None:
        self._watcher.stop()
        if self._stopped:
            return
        self._end_pause()
        self.paused = True
        self._timer = self._hub.loop.timer(PAUSE_S)  # a new one: libev's go on where they were stopped
        self._timer.start(self.resume)
        now = self._hub.loop.now()
        if now - self._told_at > TELL_S:
            self._told_at = now
            self._log.tell("error", f"accepting pauses: {os.strerror(error.errno or 0)}")

    def _end_pause(self) -> None:
        self.paused = False
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _accept_with_reserve(self) -> None:
        if self._reserve < 0:
            return
        _socket.close(self._reserve)  # os.close is patched, and closes only later
        self._reserve = -1
        try:
            descriptor, peer = self._listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return  # it went to another worker, or gave up
        self._admit(_client_socket(descriptor), peer, True)

    def _fill_reserve(self) -> None:
        if self._reserve < 0:
            with contextlib.suppress(OSError):
                self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


def _client_socket(descriptor: int) -> _socket.socket:
    """The accepted socket. Never one of the first three: where an app has closed those, children write to them."""
    if descriptor < 3:
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
        _socket.close(descriptor)
        descriptor = moved
    sock = _socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return sock
