"""Notices an app that goes by the working directory: that looks for a file by a relative name which its own folder has,
or makes one. In a process of its own it stands in its folder; a shared one has one working directory for all.

The calls of `os` by which everything in Python comes to a file are hooked, and `open`, and `sqlite3.connect`: most
libraries look before they open, and say in words of their own what they have not found. It costs 0.5 us a call. The
question is asked of relative names, and of names below the working directory, which is what `os.path.abspath` makes of
them; of each name once.
"""

from __future__ import annotations

import builtins
import io
import os
import sys
from collections.abc import Callable
from typing import Any

from . import watch
from .findings import NAMES
from .space import Space, current_app

# In `os`: looks, and makes.
LOOKS = ("stat", "lstat", "listdir", "scandir", "access")
MAKES = ("mkdir",)
_SETS = (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks, os.supports_effective_ids)
_MOST = 1000  # names that are known of an app; after these it is asked anew
_MAKING = frozenset("wax")  # in a mode

_lstat = os.lstat
_below = ""  # the working directory and a slash; "" if that says nothing


class Hook(watch.StandIn):
    """makes: whether a call with these further arguments makes what is not there."""

    def __init__(self, function: Callable[..., Any], module: str, makes: Callable[..., bool]) -> None:
        super().__init__(function, module)
        self.makes = makes

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args and (app := current_app.get()) is not None and type(args[0]) is not int:
            self._ask(app, args, kwargs)
        return self.function(*args, **kwargs)

    def _ask(self, app: Space, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            name = os.fsdecode(args[0])
        except TypeError:
            return
        if name[:1] == "/":
            if not _below or not name.startswith(_below) or name.startswith(str(app.folder)):
                return
            name = name[len(_below) :]
            # Deeper there may well be an app's data, by its full name.
            makes = "/" not in name and self.makes(*args[1:], **kwargs)
        elif name.startswith((":memory:", "file:")):  # of SQLite
            return
        else:
            makes = self.makes(*args[1:], **kwargs)
        if (name, makes) not in app.asked and name not in ("", ".") and kwargs.get("dir_fd") is None:
            if len(app.asked) >= _MOST:
                app.asked.clear()
            app.asked.add((name, makes))
            _look(app, name, makes)


def _look(app: Space, name: str, makes: bool) -> None:
    frame = sys._getframe(3)
    if watch.is_library_import(frame) or not (makes or _exists(os.path.join(app.folder, name))):
        return
    behind = watch.app_behind(frame)
    where = watch.place(*behind) if behind is not None else "a library"
    how = "makes" if makes else "looks for"
    app.find(NAMES, f"{where} {how} {name} in the working directory, which is not the app's folder in a shared process")


def _exists(path: str) -> bool:
    try:
        _lstat(path)
    except (OSError, ValueError):
        return False
    return True


def install() -> None:
    """Hook what everything comes by, once. Called before each load: the working directory is that of now."""
    global _below  # noqa: PLW0603  # asking for it at each call would cost as much as the call
    here = os.getcwd()
    _below = "" if here == "/" else f"{here}/"
    if isinstance(os.stat, Hook):
        return
    for name in LOOKS:
        _replace(name, lambda *_, **__: False)
    for name in MAKES:
        _replace(name, lambda *_, **__: True)
    _replace("open", lambda flags, *_, **__: bool(flags & os.O_CREAT))
    builtins.open = io.open = Hook(
        io.open, io.__name__, lambda mode="r", *_, **__: not {"w", "a", "x"}.isdisjoint(mode)
    )
    watch.arrived.append(_hook_sqlite)


def _replace(name: str, makes: Callable[..., bool]) -> None:
    old = getattr(os, name)
    new = Hook(old, os.__name__, makes)
    for known in _SETS:  # by which one asks what a call of `os` can do
        if old in known:
            known.add(new)
    setattr(os, name, new)


def _hook_sqlite(module: str) -> None:
    if module in ("sqlite3", "sqlite3.dbapi2"):
        found: Any = sys.modules[module]
        if not isinstance(found.connect, Hook):
            found.connect = Hook(found.connect, module, lambda *_, **__: True)
