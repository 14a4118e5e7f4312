"""What must be on the disk before a name is given to it, and how a name is taken away. It knows files and folders, not
what is in them.

The kernel may write a rename before the content of what was renamed. After a power cut the name would then stand for
files that are empty, which nobody would notice: a name that is there is believed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable
from pathlib import Path

GOING = ".going-"  # how the names of what is being removed begin

_libc = ctypes.CDLL(None, use_errno=True)


def sync_tree(root: Path) -> None:
    """Returns when everything below `root` is on the disk.

    One call for the whole file system: 10,000 files of 2 KB take 0.1 s so, and 1.8 s with a call for each. The price:
    it waits for what others have written, too (0.1 s for 300 MB). Raises OSError.
    """
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not hasattr(_libc, "syncfs"):  # Linux has it
            os.sync()
        elif _libc.syncfs(folder) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(root))
    finally:
        os.close(folder)


def sync_folder(folder: Path) -> None:
    """Returns when the names in this one folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(made: Path, put: Callable[[Path], object], target: Path) -> None:
    """Gives `target` its name, by `put`, when all below `made` is on the disk; returns when the name is, too.

    Another replica may be faster with the same content: that is no error.
    """
    sync_tree(made)
    try:
        put(target)
    except OSError:
        if not os.path.lexists(target):
            raise
    sync_folder(target.parent)


def hide(root: Path) -> Path:
    """Takes the name away, so that what is removed is never there by half. Where it lies then. Raises OSError."""
    return root.rename(root.with_name(GOING + os.urandom(6).hex()))


def take_away(root: Path, oldest: float, remove: Callable[[Path], object]) -> bool:
    """Removes what nobody has asked for since `oldest`, first its name. Whether it was there, and not asked for just
    now. Other replicas may be at it, too.
    """
    try:
        gone = hide(root)
    except FileNotFoundError:  # another replica was faster
        return False
    if gone.stat().st_mtime >= oldest:
        with contextlib.suppress(OSError):  # if it has been made again meanwhile
            gone.rename(root)
            return False
    remove(gone)
    return True
