"""Who asks upstreams regularly whether they work, in a thread of its own: only if that is asked for.

It begins with the first request, so in the process that serves and not in one that it was forked from.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from typing import NamedTuple

from .address import Address
from .balance import Balance
from .outgoing import Outgoing
from .reply import Reply, ReplyError
from .wire import connect, is_ours

FAILING = 400  # what is below says that it works


class Questions(NamedTuple):
    """path: below an upstream's prefix; every_s: how often it is asked; limit_s: how long it may take."""

    path: str
    every_s: float
    limit_s: float


class Health:
    """See the module's docstring. context: for https."""

    def __init__(self, balance: Balance, questions: Questions, context: object) -> None:
        self._balance, self._questions, self._context = balance, questions, context
        self._process = 0
        self._end = threading.Event()

    def ensure(self) -> None:
        """Begin, unless it goes on in this process."""
        if self._process != os.getpid():
            self._process, self._end = os.getpid(), threading.Event()
            arguments = weakref.ref(self._balance), self._questions, self._context, self._end
            threading.Thread(target=_ask, args=arguments, name="hedgerow-remote-health", daemon=True).start()

    def close(self) -> None:
        self._process = 0  # a further request begins anew, or who was down stayed so
        self._end.set()


def _ask(found: weakref.ref[Balance], questions: Questions, context: object, end: threading.Event) -> None:
    """Until it is told to end, or nobody knows the upstreams any more."""
    while (balance := found()) is not None:
        for number, address in enumerate(balance.addresses):
            cause = failing(address, questions, context)
            if cause is not None and balance.checked(number, not cause):
                sys.stderr.write(f"remote: {address}: {cause or 'it works again'}\n")
        del balance
        if end.wait(questions.every_s):
            return


def failing(address: Address, questions: Questions, context: object) -> str | None:
    """Why it does not work; '' if it does, None if we have no connection left to find out."""
    until = time.monotonic() + questions.limit_s
    try:
        wire = connect(address, questions.limit_s, context)  # type: ignore[arg-type]
    except (OSError, UnicodeError) as error:
        return None if is_ours(error) else str(error)
    try:
        wire.send_all(Outgoing("GET", questions.path, ("Connection: close",), "").head(address, 0), questions.limit_s)
        reply = Reply("GET")
        while not reply.head:
            data = wire.receive()
            if data is None:
                wire.wait(until)
            elif data:
                reply.feed(data)
            else:
                reply.end()
        return "" if reply.status < FAILING else f"{questions.path} is answered with {reply.status_line}"
    except (OSError, ReplyError) as error:
        return str(error)
    finally:
        wire.close()
