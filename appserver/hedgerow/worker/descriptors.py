"""How many descriptors this process has open: files, connections of clients and apps, and what C code holds."""

from __future__ import annotations

import errno
import os
import resource

HERE = "/proc/self/fd"


def most() -> int:
    """How many there may be."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def descriptors() -> int:
    """How many there are; 0 where the kernel does not tell. Needs none itself from Linux 6.2 on, and takes 2 us."""
    try:
        return os.stat(HERE).st_size or len(os.listdir(HERE)) - 1  # without the one that reads the list
    except OSError as error:
        return most() if error.errno in (errno.EMFILE, errno.ENFILE) else 0
