"""What apps print and log: `sys.stdout`, `sys.stderr`, `wsgi.errors` and the root logger, all for the log queue."""

from __future__ import annotations

import io
import logging
import sys
import traceback
from collections.abc import Iterable

from gevent import monkey

from .log import MAX_LINE_CHARS, LogQueue, app_name, clip, render, request_id

LEVELS = {"DEBUG": "debug", "INFO": "info", "WARNING": "warning", "ERROR": "error", "CRITICAL": "error"}
MAX_BEGUN = 1000

Begun = dict[tuple[str, str, str, int], str]

# Of the native thread, also in a patched process: in each only one at a time writes.
_thread_id = monkey.get_original("_thread", "get_ident")


class LogHandler(logging.Handler):
    """The root handler: a record of any library or app becomes a line."""

    def __init__(self, queue: LogQueue) -> None:
        super().__init__()
        self._queue = queue

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler. A record whose message cannot be made is told as it is; it never raises into the app."""
        try:
            message = record.getMessage()
        except Exception:  # whatever an argument's __str__ raises
            message = f"{record.msg!r} with arguments that do not fit"
        more: dict[str, object] = {"logger": record.name}
        if record.exc_info:
            more["traceback"] = clip("".join(traceback.format_exception(*record.exc_info)))
        self._queue.put(render("app", LEVELS.get(record.levelname, "info"), message, **more))


class LineStream(io.TextIOBase):
    """A text stream whose whole lines become log lines of the app that wrote them.

    A begun line is kept until its end comes, or its request's: in `begun`, by stream, app, request and thread.
    """

    encoding = "utf-8"
    errors = "backslashreplace"
    mode = "w"
    line_buffering = True

    def __init__(self, queue: LogQueue, level: str, descriptor: int, name: str, begun: Begun) -> None:
        self.name = name
        self._begun = begun
        self._queue = queue
        self._level = level
        self._descriptor = descriptor
        self._bytes = _Bytes(self)

    @property
    def buffer(self) -> io.RawIOBase:
        """For who writes bytes."""
        return self._bytes

    def fileno(self) -> int:
        """The process's own descriptor: what children write there is not a line of this stream."""
        return self._descriptor

    def writable(self) -> bool:
        """Always."""
        return True

    def reconfigure(self, **_: object) -> None:
        """There is nothing to choose."""

    def write(self, text: str) -> int:
        """Take text; each complete line is put into the queue."""
        key = (self.name, app_name(), request_id.get(), _thread_id())
        *lines, rest = (self._begun.pop(key, "") + text).split("\n")
        if len(rest) > MAX_LINE_CHARS or len(self._begun) > MAX_BEGUN:
            lines, rest = [*lines, rest], ""
        self._tell(lines)
        if rest:
            self._begun[key] = rest
        return len(text)

    def flush(self) -> None:
        """Lines leave by themselves; a begun one stays begun until its end comes."""

    def close(self) -> None:
        """An app that closes its stdout closes nobody else's."""

    def end(self, app: str, request: str) -> None:
        """The request is over: what it has begun to write is a line."""
        ended = [key for key in list(self._begun) if key[:3] == (self.name, app, request)]
        self._tell([self._begun.pop(key, "") for key in ended])

    def _tell(self, lines: Iterable[str]) -> None:
        for line in lines:
            if line:
                self._queue.put(render("app", self._level, line))


class _Bytes(io.RawIOBase):
    def __init__(self, stream: LineStream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, data: object) -> int:
        block = bytes(data)  # type: ignore[call-overload]
        self._stream.write(block.decode("utf-8", "backslashreplace"))
        return len(block)

    def close(self) -> None:
        pass


class Streams:
    """Both streams of the process. errors: also `wsgi.errors`; begun: lines without an end, of which most requests have
    none.
    """

    def __init__(self, queue: LogQueue) -> None:
        self.begun: Begun = {}
        self.output = LineStream(queue, "info", 1, "<stdout>", self.begun)
        self.errors = LineStream(queue, "error", 2, "<stderr>", self.begun)

    def end(self, app: str, request: str) -> None:
        """A request is over; called within its context."""
        for stream in (self.output, self.errors):
            stream.end(app, request)


def take_over(queue: LogQueue) -> Streams:
    """Make the queue the end of everything apps print or log."""
    streams = Streams(queue)
    sys.stdout, sys.stderr = streams.output, streams.errors
    root = logging.getLogger()
    root.handlers[:] = [LogHandler(queue)]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    return streams
