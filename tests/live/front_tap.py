"""Between nginx and a worker: a relay that keeps every byte, and the requests in them, cut where nginx says they end.

The ends are `upstream_bytes_sent` of nginx's access log, by the ids that nginx made: nothing here finds out by itself
where a request ends, so a body that hides a request stays a body.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from front_backends import PATIENCE_S


class Tap:
    """A listener that passes all on to the worker's address. `streams`: what nginx sent, one a connection."""

    def __init__(self, worker: tuple[str, int]) -> None:
        self.streams: list[bytearray] = []
        self.port = 0
        self._worker = worker
        self._ended: list[asyncio.Task[None]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tap")

    def start(self) -> None:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]

    def saw(self, text: str) -> bool:
        """Whether nginx has sent this yet."""
        return any(text.encode() in stream for stream in list(self.streams))

    def wait_until_all_have_ended(self) -> None:
        """Both sides of every connection: the worker has done all that it was asked on them."""
        self._run(self._gather())

    def stop(self) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def _run(self, what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(PATIENCE_S)

    async def _gather(self) -> None:
        await asyncio.gather(*self._ended)

    async def _close(self) -> None:
        self._server.close()
        for task in self._ended:
            task.cancel()
        await asyncio.gather(*self._ended, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._ended.append(task)
        kept = bytearray()
        self.streams.append(kept)
        from_worker, to_worker = await asyncio.open_connection(*self._worker)
        await asyncio.gather(_pass(reader, to_worker, kept), _pass(from_worker, writer))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None = None) -> None:
    """One direction, to its end; kept before it is passed on."""
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            if kept is not None:
                kept += data
            writer.write(data)
            await writer.drain()
    with suppress(ConnectionError):
        writer.close()


@contextmanager
def tapped(worker: tuple[str, int]) -> Iterator[Tap]:
    tap = Tap(worker)
    tap.start()
    try:
        yield tap
    finally:
        tap.stop()


@dataclass
class Sent:
    """One request as nginx sent it. whole: False if nginx broke it off, as it does when its client leaves."""

    request_id: str
    method: str
    target: str
    version: str
    fields: list[tuple[str, str]]
    body: bytes
    whole: bool

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name]


def requests(stream: bytes, bytes_sent: dict[str, int]) -> Iterator[Sent]:
    """The requests on one connection. bytes_sent: by request id, as nginx counted."""
    position = 0
    while position < len(stream):
        head, end, _ = stream[position:].partition(b"\r\n\r\n")
        assert end, f"nginx sent half a head: {head!r}"
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = [(name, value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)]
        request_id = next(value for name, value in fields if name == "X-Request-Id")
        length = bytes_sent.pop(request_id)
        body = stream[position + len(head) + 4 : position + length]
        position += length
        assert position <= len(stream), f"nginx says that it sent more than came: {request_id}"
        method, _, rest = first.partition(" ")
        target, _, protocol = rest.rpartition(" ")
        yield Sent(request_id, method, target, protocol.removeprefix("HTTP/"), fields, *_decoded(fields, body))


def _decoded(fields: list[tuple[str, str]], sent: bytes) -> tuple[bytes, bool]:
    """The body, and whether it is whole. What nginx frames is in one form: a plain size, no extension, no trailer."""
    named = {name.lower(): value for name, value in fields}
    if "transfer-encoding" not in named:
        return sent, len(sent) == int(named.get("content-length", "0"))
    body = b""
    while sent:
        size, end, sent = sent.partition(b"\r\n")
        length = int(size, 16)
        assert end, f"nginx sent half a size: {size!r}"
        if length == 0:
            assert sent == b"\r\n", f"behind nginx's last chunk: {sent!r}"
            return body, True
        body += sent[:length]
        assert sent[length : length + 2] in (b"\r\n", b""), f"nginx's chunk has no end: {sent!r}"
        sent = sent[length + 2 :]
    return body, False
