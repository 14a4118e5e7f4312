"""What of an app's folder counts: the walk, the cheap fingerprint for noticing a change, and the hash of the content.

Reads only. It knows no state, no releases and no clock; which names are data is told by the caller, what is left out
is decided in ignore.py.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..errors import UserError
from . import ignore

# A change of what a release is made of, with the same content, must give another name.
LAYOUT = b"2"
PIECE = 1 << 18


def walk(folder: Path, data: frozenset[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every folder, file and link that belongs to the app, by relative path, parents first, in a fixed order."""
    return _walk(folder, data, ignore.read_rules(folder))


def _walk(folder: Path, data: frozenset[str], rules: ignore.Rules) -> Iterator[tuple[str, os.DirEntry[str]]]:
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(folder / prefix) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            relative = prefix + entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if relative in data or rules.leave_out(relative, is_folder):
                continue
            if is_folder or entry.is_symlink() or entry.is_file():  # a socket or a pipe is no content
                yield relative, entry
            if is_folder:
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
    rules = ignore.read_rules(folder)
    for relative, entry in _walk(folder, data, rules):
        content.update(os.fsencode(relative) + b"\0")
        if entry.is_symlink():
            target = link_inside(folder, relative, data)
            _check_kept(folder, relative, target, data, rules)
            content.update(b"link\0" + os.fsencode(target) + b"\0")
        elif entry.is_file():
            content.update(b"file\0%d\0%d\0" % (is_executable(entry), entry.stat().st_size))
            inner = hashlib.sha256()
            for piece in pieces(entry.path):
                inner.update(piece)
            content.update(inner.digest())
        else:
            content.update(b"folder\0")
    return content.hexdigest()


def combined(content: str, beside: str) -> str:
    """A hash that stands for this content and for something beside it."""
    return hashlib.blake2b(f"{content} {beside}".encode(), digest_size=10).hexdigest()


def pieces(path: str) -> Iterator[bytes]:
    """The bytes that a file has when it is opened: one that grows faster than it is read would have no end."""
    # To open a pipe would wait for ever.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", path)
        left = status.st_size
        while left > 0 and (piece := file.read(min(left, PIECE))):
            left -= len(piece)
            yield piece


def is_executable(entry: os.DirEntry[str]) -> bool:
    return bool(entry.stat().st_mode & 0o100)


def link_inside(folder: Path, relative: str, data: frozenset[str]) -> str:
    """Where a link points, told relative to its own place, so that it holds in a copy of the folder.

    One that points into the data is not followed further: the app may change what is there. Raises UserError when a
    link leaves the folder: a release would then not be all there is.
    """
    root = os.path.realpath(folder)
    link = os.path.join(root, relative)
    text = os.readlink(link)
    beside = os.path.dirname(relative)
    near = os.path.normpath(os.path.join(beside, text))  # absolute if the link is
    if is_data(near, data):
        return os.path.relpath("/" + near, "/" + beside)
    target = os.path.realpath(link)
    if target != root and not target.startswith(root + os.sep):
        raise UserError(
            f"{folder / relative} is a link that leaves the app's folder: it points to {text}; "
            f"list it in {ignore.FILE_NAME} if the app does not need it"
        )
    if near.split(os.sep)[0] not in ("", "..") and os.path.realpath(os.path.join(root, near)) == target:
        return os.path.relpath("/" + near, "/" + beside)
    return os.path.relpath(target, os.path.dirname(link))


def is_data(relative: str, data: frozenset[str]) -> bool:
    """Whether this path, relative to the folder, is data or lies in it."""
    path = PurePosixPath(relative)
    return str(path) in data or any(str(parent) in data for parent in path.parents)


def is_left_out(folder: Path, relative: str, rules: ignore.Rules) -> bool:
    """Whether this path, or a folder above it, is left out."""
    path = PurePosixPath(relative)
    return any(
        rules.leave_out(str(part), (folder / part).is_dir() and not (folder / part).is_symlink())
        for part in (*reversed(path.parents[:-1]), path)
    )


def _check_kept(folder: Path, relative: str, target: str, data: frozenset[str], rules: ignore.Rules) -> None:
    """A link to what is left out would lead nowhere in the release, though it leads somewhere here."""
    path = os.path.normpath(os.path.join(os.path.dirname(relative), target))
    if path == "." or is_data(path, data) or not os.path.lexists(folder / path):
        return
    if is_left_out(folder, path, rules):
        raise UserError(
            f"{folder / relative} is a link to {path}, which is left out of releases; "
            f"list the link in {ignore.FILE_NAME}, too, if the app does not need it"
        )
