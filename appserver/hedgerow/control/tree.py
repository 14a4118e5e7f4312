"""What of an app's folder counts: the walk, the cheap fingerprint for noticing a change, and the hash of the content.

Reads only. It knows no state, no releases and no clock; which names are data is told by the caller.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError

LEFT_OUT = frozenset((".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".DS_Store"))
LEFT_OUT_PATTERNS = ("*.pyc", ".*.swp", "*~", ".#*")

# A change of what a release is made of, with the same content, must give another name.
LAYOUT = b"1"


def walk(folder: Path, data: frozenset[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every folder, file and link that belongs to the app, by relative path, parents first, in a fixed order."""
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(folder / prefix) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            relative = prefix + entry.name
            if relative in data or _left_out(entry.name):
                continue
            if entry.is_symlink() or entry.is_file() or entry.is_dir():  # a socket or a pipe is no content
                yield relative, entry
            if entry.is_dir(follow_symlinks=False):
                pending.append(relative + "/")


def fingerprint(folder: Path, data: frozenset[str]) -> str:
    """Changes whenever a file changes, appears or goes; reads no content. Raises OSError when one goes."""
    seen = hashlib.blake2b(digest_size=16)
    for relative, entry in walk(folder, data):
        status = entry.stat(follow_symlinks=False)
        line = f"{relative}\0{status.st_mode}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}\n"
        seen.update(line.encode("utf-8", "surrogateescape"))
    return seen.hexdigest()


def digest(folder: Path, data: frozenset[str]) -> str:
    """The hash of paths, x-bits and bytes: equal content, equal hash, whatever the times and owners."""
    content = hashlib.blake2b(LAYOUT, digest_size=10)
    for relative, entry in walk(folder, data):
        content.update(os.fsencode(relative) + b"\0")
        if entry.is_symlink():
            content.update(b"link\0" + os.fsencode(link_inside(folder, relative)) + b"\0")
        elif entry.is_file():
            content.update(b"file\0%d\0%d\0" % (is_executable(entry), entry.stat().st_size))
            with open(entry.path, "rb") as file:
                content.update(hashlib.file_digest(file, "sha256").digest())
        else:
            content.update(b"folder\0")
    return content.hexdigest()


def is_executable(entry: os.DirEntry[str]) -> bool:
    return bool(entry.stat().st_mode & 0o100)


def link_inside(folder: Path, relative: str) -> str:
    """Where a link points, told relative to its own place, so that it holds in a copy of the folder.

    Raises UserError when it leaves the folder: a release would then not be all there is.
    """
    root = os.path.realpath(folder)
    link = os.path.join(root, relative)
    target = os.path.realpath(link)
    if target != root and not target.startswith(root + os.sep):
        raise UserError(f"{folder / relative} is a link that leaves the app's folder: it points to {os.readlink(link)}")
    return os.path.relpath(target, os.path.dirname(link))


def _left_out(name: str) -> bool:
    return name in LEFT_OUT or any(fnmatch.fnmatchcase(name, pattern) for pattern in LEFT_OUT_PATTERNS)
