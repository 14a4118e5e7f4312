"""supervisord's event listener protocol on stdin and stdout. The one event we ask for is that supervisord stops.

Nothing else may write to stdout: supervisord would stop talking to us.
"""

from __future__ import annotations

from collections.abc import Callable
from io import FileIO

READY = b"READY\n"
OK = b"RESULT 2\nOK"


def listen(source: FileIO, answers: FileIO, on_stopping: Callable[[], None], on_end: Callable[[], None]) -> None:
    """Answers each event, and calls back: when supervisord begins to stop, and when it is gone."""
    while True:
        answers.write(READY)
        header = source.readline()
        if not header:
            on_end()
            return
        fields = dict(pair.split(":", 1) for pair in header.decode("ascii", "replace").split() if ":" in pair)
        source.read(int(fields.get("len", "0")))
        if fields.get("eventname") == "SUPERVISOR_STATE_CHANGE_STOPPING":
            on_stopping()
        answers.write(OK)
