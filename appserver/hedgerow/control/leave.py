"""The end of a replica: all workers leave at once. supervisord alone would add up their drains."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..config import Settings
from . import client
from .pace import BUSY_S
from .plan import SLOTS, slot_socket

FRONT_GOES_S = 10.0


def leave(settings: Settings, front_pid: int) -> None:
    """Tell the addresses' workers when the front is gone, and the pools' when nobody sends to them any more: what has
    been begun is answered. front_pid: 0 if the front is elsewhere.
    """
    run = settings.run
    _wait_while(lambda: bool(front_pid) and Path(f"/proc/{front_pid}").exists(), FRONT_GOES_S)
    addresses = [slot_socket(run, address, slot) for address in settings.addresses for slot in SLOTS]
    for path in addresses:
        client.post(path, "/leave")
    own = [slot_socket(run, path.stem, slot) for path in run.glob("pools/*.conf") for slot in SLOTS]
    if own:
        _wait_while(lambda: any(path.exists() for path in addresses), settings.drain_s + 1)
    for path in own:
        client.post(path, "/leave")


def _wait_while(condition: Callable[[], bool], limit_s: float) -> None:
    end = time.monotonic() + limit_s
    while condition() and time.monotonic() < end:
        time.sleep(BUSY_S)
