"""Lines for stdout that never make a request wait (docs/design.md, "Logs").

The hub puts lines into a bounded queue; one native thread writes them, many at a time. A full queue drops the line and
counts it. Lines of an app carry its name and the request's id; what apps print ends here through `streams`.

Where apps run in native threads all of them put lines. There is no lock: a signal's handler that logs, or the child of
a fork, would find it held. What a `put` changes it changes in single steps that the interpreter's lock does not divide.
"""

from __future__ import annotations

import contextlib
import contextvars
import fcntl
import json
import os
import time
import traceback
from collections import deque
from collections.abc import Callable

from gevent import monkey

from ..hosting.space import current_app
from .clock import timestamp

# What a patched process has replaced: the writer is a real thread and really blocks.
_start_thread = monkey.get_original("_thread", "start_new_thread")
_allocate_lock = monkey.get_original("_thread", "allocate_lock")
_sleep = monkey.get_original("time", "sleep")
_select = monkey.get_original("select", "select")

quote: Callable[[str], str] = json.encoder.encode_basestring_ascii
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("hedgerow_request_id", default="")

BATCH_S = 0.02  # how long lines gather: each wake of the thread takes the interpreter's lock from the hub
MAX_LINE_CHARS = 65_536
MAX_QUEUE_CHARS = 16 * 2**20


class LogQueue:
    """The queue and its thread. fd: where lines go; limit: how many may wait. dropped: lines lost since the start."""

    def __init__(self, fd: int, limit: int) -> None:
        self.dropped = 0
        # A duplicate: an app that closes descriptor 1 must not lead the log into the next client's connection.
        self._fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
        self._limit = limit
        self._lines: deque[str] = deque()
        self._gap = 0  # lines dropped since the last one that was taken
        self._put_chars = 0  # written by who puts only, as the next one by the thread only
        self._written_chars = 0
        self._asleep = True
        self._writing = False
        self._forked = False
        self._wake = _allocate_lock()
        self._wake.acquire()
        os.register_at_fork(after_in_child=self._on_fork)
        _start_thread(self._write_forever, ())

    def put(self, line: str) -> None:
        """Queue one line (without its line feed), or drop it."""
        if self._forked:
            self._write(line.encode("utf-8", "backslashreplace") + b"\n", 1)
            return
        waiting_chars = self._put_chars - self._written_chars
        if len(self._lines) >= self._limit or waiting_chars > MAX_QUEUE_CHARS:
            self.dropped += 1
            self._gap += 1
            return
        if self._gap:
            gap, self._gap = self._gap, 0
            told = f"{gap} log lines were dropped: stdout is read too slowly"
            self._append(render("log", "error", told, dropped=gap))
        self._append(line)
        if self._asleep:
            self._asleep = False
            with contextlib.suppress(RuntimeError):  # a native thread has woken it at the same moment
                self._wake.release()

    def tell(self, level: str, message: str, error: BaseException | None = None, **more: object) -> None:
        """A line of the engine's own: not through `logging`, which apps configure as they like."""
        if error is not None:
            more["traceback"] = _told(error)
        self.put(render("worker", level, message, **more))

    def flush(self, timeout_s: float) -> None:
        """Wait until all lines are written, or the time is over."""
        end = time.monotonic() + timeout_s
        while (self._lines or self._writing) and time.monotonic() < end:
            _sleep(0.01)

    def _append(self, line: str) -> None:
        size = len(line)  # not in the next line: behind a call another thread may run
        self._put_chars += size
        self._lines.append(line)

    def _on_fork(self) -> None:
        """The child of a fork has no thread; it writes its few lines itself."""
        self._forked = True

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
                self._written_chars += sum(map(len, batch))
                self._writing = False

    def _write(self, data: bytes, lines: int) -> None:
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:  # somebody else made the terminal non-blocking
                _select([], [self._fd], [], 1.0)
            except OSError:  # nobody reads any more
                self.dropped += lines
                return


def _told(error: BaseException) -> str:
    """The traceback of an app's error. What an exception does when it is looked at is in the app's hands."""
    try:
        return clip("".join(traceback.format_exception(error)))
    except BaseException as another:
        return f"{type(error).__name__}, which cannot be told: {type(another).__name__}"


def clip(text: str) -> str:
    """At most MAX_LINE_CHARS of text."""
    return text if len(text) <= MAX_LINE_CHARS else text[:MAX_LINE_CHARS] + " … cut"


_process_app = ""


def name_process(app: str) -> None:
    """All that this process runs is of one app."""
    global _process_app  # noqa: PLW0603  # one a process
    _process_app = app


def app_name() -> str:
    """Of the running context, or of the process; '' if it is nobody's."""
    space = current_app.get()
    return _process_app if space is None else space.name


def render(kind: str, level: str, message: str, **more: object) -> str:
    """A JSON line; app and request id are those of the running context. All control characters are escaped."""
    line: dict[str, object] = {"time": timestamp(), "level": level, "kind": kind}
    if app := app_name():
        line["app"] = app
    if request_id.get():
        line["request_id"] = request_id.get()
    line["message"] = clip(message)
    line.update(more)
    return json.dumps(line).replace("\x7f", "\\u007f")
