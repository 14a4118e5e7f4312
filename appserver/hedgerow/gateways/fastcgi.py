"""FastCGI for many requests in one process, each in a thread: the protocol and the threads are fcgisgi's.

What it has not, this cannot give: a body is read into memory as fast as the web server sends it, an answer is kept
there as long as the web server does not take it. Web servers that buffer both, as nginx does by default, make that
short.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable
from typing import Any, cast
from wsgiref.types import StartResponse, WSGIApplication

from fcgisgi import Server  # type: ignore[import-not-found, import-untyped, unused-ignore]

_POLL_S = 0.05


class _Loop(asyncio.SelectorEventLoop):
    """Knows what it listens with: the library has that in a variable of its `run`."""

    listening: tuple[asyncio.Server, ...] = ()

    async def create_server(self, *args: Any, **named: Any) -> asyncio.Server:
        return self._known(await super().create_server(*args, **named))

    async def create_unix_server(self, *args: Any, **named: Any) -> asyncio.Server:
        return self._known(await super().create_unix_server(*args, **named))

    def _known(self, server: asyncio.Server) -> asyncio.Server:
        self.listening += (server,)
        return server


class _Patient(Server):  # type: ignore[misc, unused-ignore]
    """Takes nothing new from SIGTERM on, and ends when no connection is left, or its time is over: the library's own
    end breaks requests off.
    """

    def __init__(self, application: WSGIApplication, threads: int, drain_s: float) -> None:
        super().__init__(application, is_asgi=False, max_workers=threads, shutdown_timeout=drain_s)
        self._drain_s = drain_s
        self._end: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """The handler of SIGTERM."""
        if self._end is None:
            self._end = asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        loop = cast(_Loop, asyncio.get_running_loop())
        until = loop.time() + self._drain_s
        for server in loop.listening:
            server.close()
        _forget_descriptor_0()
        while self.protocols and loop.time() < until:
            for connection in list(self.protocols):
                connection.adapter._keep_conn = False
                if not connection.adapter._requests:
                    connection.transport.close()
            await asyncio.sleep(_POLL_S)
        super().stop()


def _forget_descriptor_0() -> None:
    """So that who asks next is refused at once, and does not wait for what will not be accepted."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)


def _answering(application: WSGIApplication) -> WSGIApplication:
    """The library answers nothing at all to a SystemExit."""

    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            return application(environ, start_response)
        except SystemExit as error:
            raise RuntimeError(f"the application has called for the end of the process: {error!r}") from error

    return answer


def serve(application: WSGIApplication, listener: socket.socket, threads: int, drain_s: float) -> None:
    """Serve until SIGTERM. listener: becomes descriptor 0, where FastCGI wants it."""
    if listener.fileno() != 0:
        os.dup2(listener.fileno(), 0)
        listener.close()
    else:
        listener.detach()

    async def run() -> None:
        await _Patient(_answering(application), threads, drain_s).run()

    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(run())
