"""Lines for stdout that never make a request wait (docs/design.md, "Logs").

The hub puts lines into a bounded queue; one native thread writes them, many at a time. A full queue drops the line
and counts it. `print`, `logging` and `wsgi.errors` of apps end here as JSON lines with app and request id.
"""

from __future__ import annotations

import contextvars
import io
import json
import logging
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable

from gevent import monkey

from ..hosting.space import current_app

# What a patched process has replaced: the writer is a real thread and really blocks.
_start_thread = monkey.get_original("_thread", "start_new_thread")
_allocate_lock = monkey.get_original("_thread", "allocate_lock")
_sleep = monkey.get_original("time", "sleep")
_poll = monkey.get_original("select", "select")

quote: Callable[[str], str] = json.encoder.encode_basestring_ascii
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("hedgerow_request_id", default="")

BATCH_S = 0.02  # how long lines gather: each wake of the thread takes the interpreter's lock from the hub
MAX_LINE_CHARS = 65_536
LEVELS = {"DEBUG": "debug", "INFO": "info", "WARNING": "warning", "ERROR": "error", "CRITICAL": "error"}


class LogQueue:
    """The queue and its thread. fd: where lines go; limit: how many may wait. dropped: lines lost since the start."""

    def __init__(self, fd: int, limit: int) -> None:
        self.dropped = 0
        self._fd = fd
        self._limit = limit
        self._lines: deque[str] = deque()
        self._gap = 0  # lines dropped since the last one that was taken
        self._asleep = True
        self._writing = False
        self._wake = _allocate_lock()
        self._wake.acquire()
        _start_thread(self._write_forever, ())

    def put(self, line: str) -> None:
        """Queue one line (without its line feed), or drop it."""
        if len(self._lines) >= self._limit:
            self.dropped += 1
            self._gap += 1
            return
        if self._gap:
            self._lines.append(
                render(
                    "log", "error", f"{self._gap} log lines were dropped: stdout is read too slowly", dropped=self._gap
                )
            )
            self._gap = 0
        self._lines.append(line)
        if self._asleep:
            self._asleep = False
            self._wake.release()

    def flush(self, timeout_s: float) -> None:
        """Wait until all lines are written, or the time is over."""
        end = time.monotonic() + timeout_s
        while (self._lines or self._writing) and time.monotonic() < end:
            _sleep(0.01)

    def _write_forever(self) -> None:
        while True:
            self._asleep = True
            if not self._lines:
                self._wake.acquire()
            _sleep(BATCH_S)
            while self._lines:
                self._writing = True
                batch = [self._lines.popleft() for _ in range(min(len(self._lines), 1000))]
                self._write("\n".join(batch).encode("utf-8", "backslashreplace") + b"\n", len(batch))
                self._writing = False

    def _write(self, data: bytes, lines: int) -> None:
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:  # somebody else made the terminal non-blocking
                _poll([], [self._fd], [], 1.0)
            except OSError:  # nobody reads any more
                self.dropped += lines
                return


def render(kind: str, level: str, message: str, **more: object) -> str:
    """A JSON line; app and request id are those of the running context. All control characters are escaped."""
    space = current_app.get()
    line: dict[str, object] = {"time": timestamp(), "level": level, "kind": kind}
    if space is not None:
        line["app"] = space.name
    if request_id.get():
        line["request_id"] = request_id.get()
    line["message"] = message if len(message) <= MAX_LINE_CHARS else message[:MAX_LINE_CHARS] + " … cut"
    line.update(more)
    return json.dumps(line).replace("\x7f", "\\u007f")


_second = [0, ""]


def timestamp() -> str:
    """Now, in UTC, RFC 3339 with milliseconds."""
    now = time.time()
    second = int(now)
    if second != _second[0]:
        _second[:] = [second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))]
    return f"{_second[1]}.{int((now - second) * 1000):03d}Z"


class LogHandler(logging.Handler):
    """The root handler: a record of any library or app becomes a line."""

    def __init__(self, queue: LogQueue) -> None:
        super().__init__()
        self._queue = queue

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = f"{record.msg!r} % {record.args!r}"
        more: dict[str, object] = {"logger": record.name}
        if record.exc_info:
            more["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        kind = "worker" if record.name.startswith("hedgerow.") else "app"
        self._queue.put(render(kind, LEVELS.get(record.levelname, "info"), message, **more))


class LineStream(io.TextIOBase):
    """What apps see as sys.stdout, sys.stderr and wsgi.errors: whole lines become log lines of the app that wrote
    them.
    """

    def __init__(self, queue: LogQueue, level: str) -> None:
        self._queue = queue
        self._level = level
        self._open: dict[tuple[str, str], str] = {}  # begun lines, by app and request

    encoding = "utf-8"

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Take text; each complete line is put into the queue."""
        space = current_app.get()
        key = (space.name if space else "", request_id.get())
        begun = self._open.pop(key, "") + text
        *lines, rest = begun.split("\n")
        if len(rest) > MAX_LINE_CHARS or len(self._open) > 1000:
            lines, rest = [*lines, rest], ""
        for line in lines:
            if line:
                self._queue.put(render("app", self._level, line))
        if rest:
            self._open[key] = rest
        return len(text)

    def flush(self) -> None:
        """Lines leave by themselves; a begun one stays begun until its end comes."""


def take_over(queue: LogQueue) -> LineStream:
    """Make the queue the end of everything apps print or log. Returns the stream for `wsgi.errors`."""
    errors = LineStream(queue, "error")
    sys.stdout = LineStream(queue, "info")
    sys.stderr = errors
    root = logging.getLogger()
    root.handlers[:] = [LogHandler(queue)]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    return errors
