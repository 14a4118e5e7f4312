"""An app's own options: the optional `app.toml` in its folder, as one typed record; a table in it is another.

Each option is written once, in its record, with default, help and check; reading and converting go over its fields and
types and know no option by name. Nothing here looks at code.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import UserError
from ..options import Check, option, read_record, within
from .cache_table import CacheTable
from .static_table import StaticTable

FILE_NAME = "app.toml"

_NAME = r"[^\W\d]\w*"
_ENTRY = re.compile(rf"(?:{_NAME}(?:\.{_NAME})*|(?:[^:/]+/)*[^:/.]+\.py)(?::{_NAME}(?:\.{_NAME})*)?")
_INI = re.compile(r"(?:[^:/#]+/)*[^:/#]+\.ini(?:#[^#]+)?")
_SEGMENT = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+")
_UNSAFE_ESCAPE = re.compile(r"%(?:2[ef]|5c|00)", re.IGNORECASE)
_LABEL = r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\]")
_TARGET = re.compile(r"/[!$-~]*")
_LONGEST_STEP_S = 24 * 3600
_GREATEST_RATE = 10**6
MIN_DEADLINE_S, MAX_DEADLINE_S = 0.1, 300  # the front waits 310 s
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _check_entry(entry: str) -> str | None:
    if not _ENTRY.fullmatch(entry) and not _INI.fullmatch(entry):
        return "neither 'module', 'module:name', 'file.py:name' nor 'paste.ini#name'"
    if ".." in PurePosixPath(re.split("[:#]", entry)[0]).parts:
        return "it leaves the folder"
    return None


def _check_mount(mount: str) -> str | None:
    if mount == "/":
        return None
    if not mount.startswith("/"):
        return "it must start with '/'"
    if mount.endswith("/"):
        return "it must not end with '/'"
    for segment in mount[1:].split("/"):
        if segment in ("", ".", ".."):
            return "it has an empty or dot segment"
        if not _SEGMENT.fullmatch(segment):
            return f"write it percent-encoded, as a browser sends it: {segment!r}"
        if _UNSAFE_ESCAPE.search(segment):
            return f"an encoded dot, slash, backslash or zero byte: {segment!r}"
    return None


def _check_host(host: str) -> str | None:
    return None if _HOST.fullmatch(host) else "a lower-case host name without port is wanted"


def _check_data(entries: tuple[str, ...]) -> str | None:
    for entry in entries:
        path = PurePosixPath(entry)
        if not entry or "\0" in entry or path.is_absolute() or ".." in path.parts or not path.parts:
            return f"{entry!r} is not a relative path that stays in the folder"
    return None


def _check_middleware(tables: tuple[Mapping[str, Any], ...]) -> str | None:
    wrong = (number for number, table in enumerate(tables, 1) if not isinstance(table.get("use"), str))
    return next((f"table {number} has no text `use`" for number in wrong), None)


def _check_command(line: str) -> str | None:
    try:
        words = shlex.split(line)
    except ValueError as error:
        return f"not a command line: {str(error).lower()}"
    return None if words and "\0" not in line else "a command and its arguments are wanted"


def _check_target(target: str) -> str | None:
    if not target.startswith("/"):
        return "it must start with '/'"
    return None if _TARGET.fullmatch(target) else "write it percent-encoded, as a browser sends it"


def _check_status(status: int) -> str | None:
    return None if 200 <= status <= 599 else "a status from 200 to 599 is wanted"


def _check_time(seconds: float) -> str | None:
    return None if 0 < seconds <= _LONGEST_STEP_S else f"above 0 and at most {_LONGEST_STEP_S} seconds are wanted"


def _check_rate(rate: float) -> str | None:
    return None if 0 <= rate <= _GREATEST_RATE else f"0 to {_GREATEST_RATE} requests a second are wanted"


def _check_percent(percent: float) -> str | None:
    return None if 0 <= percent <= 100 else "0 to 100 percent are wanted"


def _check_slower(times: float) -> str | None:
    return None if 1 <= times <= 1000 else "1 to 1000 times are wanted"


def _check_deadline(seconds: float) -> str | None:
    if MIN_DEADLINE_S <= seconds <= MAX_DEADLINE_S:
        return None
    return f"{MIN_DEADLINE_S} to {MAX_DEADLINE_S} seconds are wanted"


def _check_paths(paths: Mapping[str, float]) -> str | None:
    wrong = (f"{path!r}: {told}" for path, seconds in paths.items() if (told := _check_path_deadline(path, seconds)))
    return next(wrong, None)


def _check_path_deadline(path: str, seconds: float) -> str | None:
    return _check_deadline(seconds) if path.startswith("/") else "it must start with '/'"


def _one_of(*words: str) -> Check:
    def check(given: str) -> str | None:
        return None if given in words else "wanted is " + " or ".join(repr(word) for word in words if word)

    return check


_POOL = _one_of("auto", "shared", "own")
_ISOLATION = _one_of("", "strict")
_CONCURRENCY = _one_of("auto", "greenlets", "threads")


def _check_env(env: Mapping[str, str]) -> str | None:
    return next(filter(None, (wrong_variable(name, value) for name, value in env.items())), None)


def wrong_variable(name: str, value: str) -> str | None:
    """What is wrong with a variable of the environment; never with its value in it."""
    if not _VARIABLE.fullmatch(name):
        return f"{name!r} is no name of a variable"
    if name.startswith("HEDGEROW_"):
        return f"{name} is not the app's to set"
    return f"{name} has a zero byte" if "\0" in value else None


@dataclass(frozen=True)
class Deploy:
    """The table `[deploy]`: what a new release has to pass before anybody is served by it."""

    before: str | None = option(
        None, "command, such as a migration, that runs once a release before its first worker starts", _check_command
    )
    check: str | None = option(
        None, "command that tells by exit status 0 that a loaded release is good; default: none", _check_command
    )
    warmup: str = option("/", "path below the mount that a loaded release is asked for, by GET", _check_target)
    status: int | None = option(None, "status that this answer must have; default: any below 500", _check_status)
    timeout_s: float | None = option(
        None, "seconds that each step may take; default: load and check 60, warm-up 30, before 600", _check_time
    )


@dataclass(frozen=True)
class Limits:
    """The table `[limits]`: how much of the app runs at once, each in one worker."""

    running: int | None = option(
        None, "requests that run at once; one more waits; default: HEDGEROW_APP_RUNNING", within(1, 10**6)
    )
    waiting: int | None = option(
        None, "requests that wait for that; one more is refused; default: HEDGEROW_APP_WAITING", within(0, 10**6)
    )
    wait_s: float | None = option(
        None, "seconds that one waits before it is refused; default: HEDGEROW_APP_WAIT_S", _check_time
    )
    deadline_s: float | None = option(
        None, "seconds until an answer begins; then the request is ended; default: HEDGEROW_DEADLINE_S", _check_deadline
    )
    idle_s: float | None = option(
        None, "seconds between two blocks of an answer; default: HEDGEROW_IDLE_DEADLINE_S", _check_deadline
    )
    paths: Mapping[str, float] = option(dict, "path prefix below the mount → deadline_s of what is there", _check_paths)
    connections: int | None = option(
        None, "outbound connections open at once; default: HEDGEROW_APP_CONNECTIONS, or in an own pool any number",
        within(1, 10**6),
    )  # fmt: skip
    per_remote: int | None = option(
        None, "of these to one host and port, or unix socket; default: HEDGEROW_APP_PER_REMOTE, or as above",
        within(1, 10**6),
    )  # fmt: skip
    rate: float = option(0.0, "requests a second of all clients; one more is answered 429; 0: any number", _check_rate)
    client_rate: float = option(0.0, "requests a second of one client; 0: any number", _check_rate)
    body_bytes: int | None = option(
        None, "bytes of a request's body; a larger one is answered 413; default: HEDGEROW_MAX_BODY_BYTES",
        within(0, 2**62),
    )  # fmt: skip
    memory_mb: int | None = option(
        None, "MB of memory that it may take, in a pool of its own; then MemoryError; default: any", within(64, 10**7)
    )


@dataclass(frozen=True)
class Canary:
    """The table `[canary]`: how a new release is tried on a part of the clients before all are served by it."""

    share: float = option(0.0, "percent of the clients that have a new release first; 0: all at once", _check_percent)
    window_s: float = option(300.0, "seconds after which it is promoted, or not", _check_time)
    requests: int = option(100, "requests that each side must have had by then, or it goes on", within(1, 10**6))
    errors: float = option(1.0, "percentage points by which more answers may be errors (5xx)", _check_percent)
    slower: float = option(1.5, "times as slow as the other side it may be", _check_slower)


@dataclass(frozen=True)
class Manifest:
    """What `app.toml` may say. An absent key has its default."""

    entry: str | None = option(
        None,
        "where the WSGI callable is: module, module:name, file.py:name or paste.ini#name; default: by convention",
        _check_entry,
    )
    run: str | None = option(
        None, "command that is the app's own server, on the socket {fd} that it is given; no WSGI then", _check_command
    )
    mount: str | None = option(
        None, "path prefix of the app, as a browser sends it; default: /<folder name>, or / with a host", _check_mount
    )
    host: str | None = option(None, "host name that the app answers; default: every host", _check_host)
    data: tuple[str, ...] = option((), "paths in the folder that the app writes; kept across releases", _check_data)
    server_timing: bool = option(
        False, "whether each answer tells in Server-Timing how long the app took until its head was sent"
    )
    middleware: tuple[Mapping[str, Any], ...] = option(
        (),
        "each with `use` and options: what requests pass on their way to the app, in this order",
        _check_middleware,
    )
    pool: str = option("auto", "where it runs: auto, shared with other apps, or its own processes", _POOL)
    isolation: str = option("", "strict: never in a process with other apps", _ISOLATION)
    concurrency: str = option("auto", "of its own pool: auto, greenlets, or threads without patching", _CONCURRENCY)
    # More than the connections that drivers' pools keep to a database (5 to 15), and as many as the pools of threads of
    # asyncio and asgiref have at most. An idle one costs 30 KB.
    threads: int = option(32, "with threads: requests that run at once; more wait", within(1, 1000))
    python: str | None = option(None, "which Pythons it runs on, as >=3.12; default: what its files say")
    env: Mapping[str, str] = option(dict, "environment variables of the app and its commands", _check_env)
    static: StaticTable = option(StaticTable(), "table of the files that are public")
    cache: CacheTable = option(CacheTable(), "table of what the front keeps of its answers")
    deploy: Deploy = option(Deploy(), "table of what a new release has to pass before it serves")
    limits: Limits = option(Limits(), "table of how much of the app runs at once")
    canary: Canary = option(Canary(), "table of how a new release is tried on a part of the clients")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the app in `folder`; without `app.toml` the defaults. Raises UserError with all mistakes."""
    where = f"{folder.name}/{FILE_NAME}"
    mistakes: list[str] = []
    manifest = read_record(Manifest, _read_table(folder / FILE_NAME, where), "", mistakes)
    if manifest.run is not None and manifest.middleware:
        mistakes.append("middleware is for a WSGI callable, and the command of `run` has none")
    if manifest.run is not None and manifest.static.folder:
        mistakes.append("static.folder is for a WSGI callable: the server of `run` sends its files itself")
    if manifest.limits.memory_mb and manifest.pool == "shared":
        mistakes.append("limits.memory_mb is for a pool of its own, and pool is shared")
    if mistakes:
        raise UserError(f"{where}: " + "; ".join(mistakes))
    return manifest


def _read_table(path: Path, where: str) -> dict[str, Any]:
    """What the file holds; nothing if there is none. where: how messages call it."""
    try:
        if path.exists() and not path.is_file():  # to open a pipe would wait for ever
            raise UserError(f"{where} is not a file")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except RecursionError:
        raise UserError(f"{where}: it is nested too deeply") from None
    except (ValueError, OSError) as error:  # ValueError: also a number of too many digits
        raise UserError(f"{where}: {error}") from None
