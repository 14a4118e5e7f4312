"""What a process has only one of is after the load of an app what it was before, and the app is told of it."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from hosting_help import get

from hedgerow.hosting import process_state
from hedgerow.hosting.app import HostedApp

Load = Callable[..., HostedApp]

ANSWERS = "\ndef application(e, s):\n  s('200 OK', [])\n  return [b'here']\n"
CHANGES = {
    "umask": ("import os\nos.umask(0o007)", "the umask (0o007 instead of"),
    "locale": ("import locale\nlocale.setlocale(locale.LC_ALL, 'C.UTF-8')", "the locale ("),
    "socket": ("import socket\nsocket.setdefaulttimeout(5)", "the default time-out of sockets (5.0 s)"),
    "recursion": ("import sys\nsys.setrecursionlimit(4321)", "the recursion limit (4321 instead of"),
    "signal": ("import signal\nsignal.signal(signal.SIGUSR1, lambda *_: None)", "what SIGUSR1 does"),
    "directory": ("import os\nos.chdir('/')", "the working directory (/)"),
    "variables": ("import os\nvars(os)['environ'] = dict(os.environ)", "what os.environ is"),
    "ignored": ("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)", "what SIGTERM does"),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("end", ["", "\nraise LookupError"])
def test_what_a_load_changes_is_put_back(load: Load, what: str, end: str) -> None:
    before = process_state.look()
    source, told = CHANGES[what]
    app = load("changes", {"app.py": source + end + ANSWERS})
    assert process_state.look() == before
    [found] = app.findings
    assert found.cause == "process-state"
    assert found.sentence.startswith(f"changes: its load has changed {told}")
    assert end or get(app) == "here"


def test_an_app_that_changes_nothing_has_no_findings(load: Load) -> None:
    assert load("quiet", {"app.py": ANSWERS}).findings == []


def test_a_handler_that_was_there_before_comes_back(load: Load) -> None:
    heard: list[int] = []
    old = signal.signal(signal.SIGUSR2, lambda number, _: heard.append(number))
    try:
        load("takes", {"app.py": "import signal\nsignal.signal(signal.SIGUSR2, signal.SIG_IGN)" + ANSWERS})
        signal.raise_signal(signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, old)
    assert heard == [signal.SIGUSR2]
