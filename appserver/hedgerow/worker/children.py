"""Signals in a child that an app forks: they end it, as they end any process.

The worker's handlers are libev's. In a child no hub runs that would hear them, so a pool of processes, which ends its
own by SIGTERM, would wait for ever. From before the fork until the handlers are the system's they are held back: a
pool with little to do ends its processes before they have begun.
"""

from __future__ import annotations

import os
import signal
import threading

SIGNALS = (signal.SIGTERM, signal.SIGINT)  # that a worker handles

_before = threading.local()  # the signals that the thread which forks held back already


def install() -> None:
    """For all forks from now on."""
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_begin)


def _hold() -> None:
    _before.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _before.mask)


def _begin() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    _release()
