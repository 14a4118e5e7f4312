"""The memory of a process that is one app's: a limit that the kernel holds it to, and each process that it starts."""

from __future__ import annotations

import resource
import traceback

MB = 10**6
ROOM_BYTES = 16 * MB  # beyond the limit, to say that it was reached

_limits: list[tuple[int, int]] = []  # at most one: of the app, and with the room


def limit(megabytes: int, threads: int = 0, stack_bytes: int = 0) -> None:
    """From now on. threads: native ones, whose stacks come on top: the kernel counts them whole; stack_bytes: of each;
    0: as is usual here.
    """
    stack = stack_bytes or resource.getrlimit(resource.RLIMIT_STACK)[0]
    size = megabytes * MB + (threads * stack if stack != resource.RLIM_INFINITY else 0)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = size + ROOM_BYTES if hard == resource.RLIM_INFINITY else min(hard, size + ROOM_BYTES)
    _limits.append((min(size, most), most))
    resource.setrlimit(resource.RLIMIT_DATA, _limits[-1])


class Room:
    """While we say what an app has raised: if it has no memory left, some more for us, and what its frames held, which
    have ended, is given back.
    """

    __slots__ = ("_error",)

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __enter__(self) -> None:
        if isinstance(self._error, MemoryError):
            for _, most in _limits:
                resource.setrlimit(resource.RLIMIT_DATA, (most, most))
            traceback.clear_frames(self._error.__traceback__)

    def __exit__(self, *_: object) -> None:
        for limits in _limits:
            resource.setrlimit(resource.RLIMIT_DATA, limits)
