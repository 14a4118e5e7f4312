"""What a command line finds and prepares on this machine: folders, sockets, ports.

It starts nothing and prints nothing.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import tempfile
from collections.abc import Container
from pathlib import Path

from ..errors import LoadError, UserError
from ..hosting.discovery import discover, find_entry
from ..hosting.manifest import Manifest

BACKLOG = 4096


def make_state(state: Path) -> None:
    """The state folder must exist before settings are made: the run folder's name comes from it."""
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{state}: {error.strerror}; the state must be a folder that can be written") from error


def check_writable(folder: Path) -> None:
    """Writes a few bytes into a folder of the state: it may be full or read-only, and then nothing must start."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
            probe.write(b"x" * 4096)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; the state must be a folder that can be written") from error


def make_run(run: Path) -> None:
    """A folder of our own that nobody else may enter: who can write there can make us load anything."""
    try:
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = run.lstat()
    except OSError as error:
        raise UserError(f"{run}: {error.strerror}; HEDGEROW_RUN names another folder for sockets and plans") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UserError(f"{run}: not a folder of this user; HEDGEROW_RUN names another folder for sockets and plans")
    if found.st_mode & 0o077:
        run.chmod(0o700)


def check_apps(apps: Path) -> list[Path]:
    """The apps in a folder. Raises UserError if there is no such folder, or if it is itself an app."""
    if not apps.is_dir():
        raise UserError(f"{apps}: no such folder; a folder whose sub-folders are the apps is wanted")
    found = discover(apps)
    if not any(_is_app(folder) for folder in found) and _is_app(apps):
        raise UserError(f"{apps} is itself an app; name the folder that holds it: {apps.absolute().parent}")
    return found


def _is_app(folder: Path) -> bool:
    try:
        find_entry(folder, Manifest())
    except LoadError:
        return False
    return True


def bind(where: str) -> tuple[socket.socket, str, str]:
    """A listening socket for HOST:PORT or unix:PATH, a name for its address, and what to tell a user."""
    if where.startswith("unix:"):
        return _bind_unix(Path(where[5:]).absolute())
    host, colon, port = where.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"--bind {where}: HOST:PORT or unix:PATH is wanted")
    host = host.strip("[]") or "127.0.0.1"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise UserError(f"--bind {where}: {error.strerror}") from error
    bound = listener.getsockname()[1]
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    return listener, str(bound), f"http://{shown}:{bound}/"


def _bind_unix(path: Path) -> tuple[socket.socket, str, str]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_dead_socket(path)
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise UserError(f"--bind unix:{path}: {error.strerror or error}") from error
    return listener, f"unix-{path.stat().st_ino:x}", f"unix:{path}"


def _remove_dead_socket(path: Path) -> None:
    """A server that was killed leaves its name behind; one that lives answers."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    return _obstacle(host, port) is None


def _obstacle(host: str, port: int) -> OSError | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            return error
    return None


def free_ports(host: str, first: int, count: int, given: Container[int]) -> int:
    """The first of `count` free ports in a row, from `first` on. given: ports that are free now and another's."""
    for start in range(first, 65536 - count + 1):
        ports = range(start, start + count)
        if all(port not in given for port in ports) and all(is_free(host, port) for port in ports):
            return start
    raise UserError(f"no {count} free ports in a row from {first} on")


def check_port(host: str, port: int, option: str = "--port") -> None:
    """Raises UserError, with the reason, if the front could not listen there."""
    found = _obstacle(host, port)
    if found is None:
        return
    if found.errno == errno.EADDRINUSE:
        raise UserError(f"port {port} is in use by somebody else; {option} names another one")
    if found.errno == errno.EACCES:
        raise UserError(f"port {port}: this user may not listen there; {option} names another one, above 1023")
    raise UserError(f"port {port}: {found.strerror}; {option} names another one")
