"""The engine in a process that is somebody else's: one application, no apps' folder, no plan, no control socket.

Who embeds it has loaded the application, owns the signals, and says when it is over.
"""

from __future__ import annotations

import _socket
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

import gevent

from ..config import Settings
from ..hosting.app import HostedApp
from ..hosting.gate import Gate
from ..hosting.host import Host
from ..hosting.manifest import Manifest
from ..hosting.mounts import Mount
from ..pep3333.environ import base_environ
from .log import LogQueue
from .router import Router
from .server import Server
from .streams import Streams

POLL_S = 0.05


def host(name: str, application: WSGIApplication, mount: str, threads: int, settings: Settings) -> Host:
    """Of one application. threads: that its calls run in; 0: they run in greenlets."""
    gate = Gate(settings.app_running)
    return Host([HostedApp(name, Path.cwd(), Manifest(), Mount(mount), gate, application, threads=threads)])


def server(
    descriptor: int, served: Host, settings: Settings, log: LogQueue, streams: Streams, multiprocess: bool
) -> Server:
    """On a listening socket, of which it has a descriptor of its own. It accepts when it is told to."""
    own = _socket.socket(fileno=os.dup(descriptor))
    own.setblocking(False)
    name: Any = own.getsockname()
    address, port = (str(name[0]), str(name[1])) if isinstance(name, tuple) else ("localhost", "80")
    if isinstance(name, tuple):
        own.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)  # accepted sockets inherit it
    environ = base_environ(address, port, sys.stderr, {"wsgi.multiprocess": multiprocess})
    return Server(own, environ, Router(served, settings), settings, log, streams, settings.access_log)


def drain(servers: Iterable[Server], busy_s: float, idle_s: float, go_on: Callable[[], bool]) -> None:
    """Until the last connection is gone: after idle_s no idle one is waited for, after busy_s none. go_on: asked all
    the while.
    """
    began = time.monotonic()
    while any(one.connections for one in servers) and go_on():
        busy = any(one.access.in_flight for one in servers)
        if time.monotonic() - began >= (busy_s if busy else idle_s):
            return
        gevent.sleep(POLL_S)
