"""Notices an app that writes to what it shares with the other apps of its process: an attribute of a module that is not
its own, as in `stripe.api_key = "…"`. The first such write is a finding; the write itself is done.

How: a watched module has a class of its own with a `__setattr__`. What a module's own code sets (`global`) does not
come by there, and an app's write is told from a library's by the globals of the frame that writes. So only true writes
of apps are seen, whenever they happen, and none is missed that is written as one. The price: Python's fast path for
`module.name` is for the exact class alone. A read costs 12 ns more (3.11, 3.12 and 3.13), a request of a small Flask
app 1.1 % more instructions, a small one of the compiled engine 0.3 %. Modules are watched from the moment that an app's
import has brought them, which is before the app can reach them.

Why not otherwise: a look at all modules before and after a load sees what libraries do to themselves, and nothing of
requests; the interpreter tells of writes to dictionaries only C code, from 3.12 on; and what an app's code says
(`writes.py`) is not all that it does.
"""

from __future__ import annotations

import copyreg
import functools
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from . import space as spaces_of
from .findings import SHARED_STATE
from .space import PREFIX, Space, current_app, spaces

# Off for the test that shows what it is for.
OFF = "_HEDGEROW_UNWATCHED"
# What is read in the inner loops of numeric code, and has nothing that anybody sets. `sys` is lent to apps.
UNWATCHED = frozenset(("math", "cmath", "operator", "itertools", "sys"))
_HOST = __name__.partition(".")[0] + "."  # what every request comes by, and no app
_ABSENT = object()

# Told the name of each module that an app's import has brought, once it is complete.
arrived: list[Callable[[str], object]] = []

_classes: dict[type, type] = {}
_waiting: list[str] = []
_last = ""


class Watched:
    """What is put before a module's class."""

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        if (app := app_of(sys._getframe(1))) is not None and not _is_kept(vars(self).get(name, _ABSENT), value):
            tell_write(app, sys._getframe(1), f"{self.__name__}.{name}")  # type: ignore[attr-defined]
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if (app := app_of(sys._getframe(1))) is not None:
            tell_write(app, sys._getframe(1), f"{self.__name__}.{name}")  # type: ignore[attr-defined]
        super().__delattr__(name)


class StandIn:
    """What stands in the place of a function of C: like that it does not become a method in a class, and is pickled by
    its name. module: where it stands.
    """

    def __init__(self, function: Callable[..., Any], module: str) -> None:
        self.function = function
        functools.update_wrapper(self, function)  # type: ignore[arg-type]
        self.__module__ = module

    def __reduce__(self) -> str:
        return self.__name__  # type: ignore[attr-defined, no-any-return]


def is_off() -> bool:
    """Whether the watch is to be left out."""
    return OFF in os.environ


def install() -> None:
    """Watch all modules that are there, and from now on those that apps bring."""
    if spaces_of.imported is not sweep and not is_off():
        spaces_of.imported = sweep
        sweep()


def sweep() -> None:
    """Watch what has been imported since the last time. Called after each import of an app."""
    global _last  # noqa: PLW0603  # a cheap question must stay cheap: it comes at each import statement
    last = next(reversed(sys.modules))
    if last == _last and not _waiting:
        return
    names = list(sys.modules)
    new = names[names.index(_last) + 1 :] if _last in names else names
    _last = last
    asked = [*_waiting, *new]
    _waiting.clear()
    for name in asked:
        module = sys.modules.get(name)
        # By its type: what cffi puts there says of itself that it is a module.
        if module is None or not issubclass(type(module), ModuleType) or name.startswith(PREFIX):
            continue
        _watch(name, module)
        if getattr(vars(module).get("__spec__"), "_initializing", False):
            _waiting.append(name)
            continue
        for tell in arrived:
            tell(name)


def _watch(name: str, module: ModuleType) -> None:
    old = type(module)
    own_name = str(vars(module).get("__name__"))  # what is lent as `sys` may stand under another
    if own_name in UNWATCHED or name.startswith(_HOST) or issubclass(old, Watched):
        return
    new = _classes.get(old)
    if new is None:
        # It goes by its old name: what shows the class shows what it has always shown.
        names = {"__module__": old.__module__, "__qualname__": old.__qualname__, "__slots__": ()}
        new = _classes[old] = type(old.__name__, (Watched, old), names)
        copyreg.pickle(new, _by_name)  # for who pickles modules knows the exact class
    try:
        ModuleType.__setattr__(module, "__class__", new)  # past what its class does with values
    except TypeError:  # one whose class is laid out in C
        _classes[old] = old


def _by_name(module: ModuleType) -> tuple[Any, ...]:
    return importlib.import_module, (module.__name__,)


def _is_kept(old: Any, new: Any) -> bool:
    """Whether a write leaves everything as it was. `paths += [place]` sets the same list, and yet changes it."""
    return old is new and not isinstance(new, (list, dict, set))


def app_of(frame: FrameType | None) -> Space | None:
    """The app whose code runs in `frame`."""
    name = frame.f_globals.get("__name__") if frame is not None else None
    if type(name) is not str or not name.startswith(PREFIX):
        return None
    return spaces.get(name.partition(".")[0])


def app_behind(frame: FrameType | None) -> tuple[Space, FrameType] | None:
    """The app, and its frame, that has called what runs in `frame`, by way of libraries. None in the import of a
    library: what that does it does for all.
    """
    if current_app.get() is None:
        return None
    while frame is not None and not _imports(frame):
        if (app := app_of(frame)) is not None:
            return app, frame
        frame = frame.f_back
    return None


def is_library_import(frame: FrameType | None) -> bool:
    """Whether what runs in `frame` belongs to the import of a library."""
    while frame is not None and app_of(frame) is None:
        if _imports(frame):
            return True
        frame = frame.f_back
    return False


def _imports(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") == "importlib._bootstrap"


def place(app: Space, frame: FrameType) -> str:
    """Where `frame` is, as `blog/models.py line 3`."""
    return place_of(app, frame.f_code.co_filename, frame.f_lineno)


def place_of(app: Space, file: str, line: int | None) -> str:
    """The same of a file and a line."""
    path = Path(file)
    shown = f"{app.folder.name}/{path.relative_to(app.folder)}" if path.is_relative_to(app.folder) else file
    return f"{shown} line {line}"


def tell_write(app: Space, frame: FrameType, what: str) -> None:
    app.find(SHARED_STATE, f"{place(app, frame)} sets {what}, which other apps use too")
