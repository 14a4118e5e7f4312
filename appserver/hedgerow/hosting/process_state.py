"""What a process has only one of, and what loading an app may change of it for all others. Looked at before a load, and
put back after it.
"""

from __future__ import annotations

import contextlib
import locale
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ProcessState:
    """One look. directory: the working one, "" when it is gone; handlers: of the signals, as `getsignal` tells them;
    variables: `os.environ` itself, not what is in it.
    """

    umask: int
    locale: str
    socket_timeout_s: float | None
    recursion_limit: int
    directory: str
    handlers: Mapping[int, Any]
    variables: Any


def look() -> ProcessState:
    """The state now."""
    umask = os.umask(0o077)
    os.umask(umask)
    return ProcessState(
        umask,
        locale.setlocale(locale.LC_ALL),
        socket.getdefaulttimeout(),
        sys.getrecursionlimit(),
        _directory(),
        {number: signal.getsignal(number) for number in signal.valid_signals()},
        os.environ,
    )


def _directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def put_back(before: ProcessState) -> list[str]:
    """Makes the state what it was. Returns what was another, in words."""
    now = look()
    found = []
    if now.variables is not before.variables:
        os.environ = before.variables  # noqa: B003 - the object is meant
        found.append("what os.environ is")
    if now.umask != before.umask:
        os.umask(before.umask)
        found.append(f"the umask ({now.umask:#05o} instead of {before.umask:#05o})")
    if now.locale != before.locale:
        locale.setlocale(locale.LC_ALL, before.locale)
        found.append(f"the locale ({now.locale} instead of {before.locale})")
    if now.socket_timeout_s != before.socket_timeout_s:
        socket.setdefaulttimeout(before.socket_timeout_s)
        found.append(f"the default time-out of sockets ({now.socket_timeout_s} s)")
    if now.recursion_limit != before.recursion_limit:
        sys.setrecursionlimit(before.recursion_limit)
        found.append(f"the recursion limit ({now.recursion_limit} instead of {before.recursion_limit})")
    if now.directory != before.directory and before.directory:
        os.chdir(before.directory)
        found.append(f"the working directory ({now.directory})")
    for number, handler in before.handlers.items():
        if now.handlers[number] is not handler and now.handlers[number] != handler:
            with contextlib.suppress(OSError, ValueError, TypeError):  # one that C code has set cannot be set again
                signal.signal(number, handler)
                found.append(f"what {signal.Signals(number).name} does")
    return found
