"""The process-wide hooks by which a name that is looked up by string is resolved for the current app.

`install()` puts them in place, once. They see every import of the process, so they first ask the cheap question whether
a current app has such a name. An import statement outside an app's own modules is never changed.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.util
import opcode
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any, TypeVar

from . import places, watch
from . import space as spaces_of
from .findings import NAMES
from .space import PREFIX, Finder, Space, asked_from_c, current_app, inherited, lent, python_import, spaces

Found = TypeVar("Found")

_python_import_module = importlib.import_module
_python_find_spec = importlib.util.find_spec
_python_start_thread = threading.Thread.start
_IMPORT_NAME = opcode.opmap["IMPORT_NAME"]
# What an app may set in `sys` and harms nobody: the path is its own, and nobody writes bytecode.
_HARMLESS = frozenset(("path", "dont_write_bytecode"))

# Whether an own name was looked for first, and was not there: then it is no finding that Python has it neither.
_in_vain: ContextVar[bool] = ContextVar("in_vain", default=False)


def install() -> None:
    """Make this process know app spaces. Before any library keeps a reference of its own to what is replaced here."""
    if Finder in sys.meta_path:
        return
    sys.meta_path.insert(0, Finder)
    sys.meta_path.append(LastFinder)
    lent["sys"] = _sys
    builtins.__import__ = _import
    threading.Thread.start = _start_thread  # type: ignore[assignment, method-assign]
    # In importlib, and wherever somebody who was imported before keeps a reference of its own.
    for module in list(sys.modules.values()):
        known = getattr(module, "__dict__", {})
        if known.get("import_module") is _python_import_module:
            known["import_module"] = _import_module
        if known.get("find_spec") is _python_find_spec:
            known["find_spec"] = _find_spec
    if config := sys.modules.get("logging.config"):
        config.BaseConfigurator.importer = staticmethod(_import)


def _import(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    space = current_app.get()
    if space is not None and not level and (full := _by_string(space, name)) is not None:
        caller = sys._getframe(1)
        if globals is None or not (asked_from_c(globals, locals, fromlist) or _is_statement(caller)):
            try:
                module = space.import_own(full, fromlist)
            except ModuleNotFoundError as error:
                if not _is_missing(full, error):
                    raise
            else:
                _lend_sys(caller.f_globals)
                return module
            return _though_in_vain(python_import, name, globals, locals, fromlist or (), level)
    return python_import(name, globals, locals, fromlist or (), level)


def _import_module(name: str, package: str | None = None) -> ModuleType:
    """`importlib.import_module`, which resolves the current app's own names."""
    full = _own_for(name, package, sys._getframe(1))
    if full is not None:
        try:
            return _python_import_module(full)
        except ModuleNotFoundError as error:
            if not _is_missing(full, error):
                raise
        return _though_in_vain(_python_import_module, name, package)
    module = _python_import_module(name, package)
    spaces_of.imported()
    return module


def _find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
    """`importlib.util.find_spec`, which resolves the current app's own names."""
    full = _own_for(name, package, sys._getframe(1))
    if full is not None:
        try:
            if (spec := _python_find_spec(full)) is not None:
                return spec
        except ModuleNotFoundError as error:
            if not _is_missing(full, error):
                raise
        return _though_in_vain(_python_find_spec, name, package)
    return _python_find_spec(name, package)


def _though_in_vain(look: Callable[..., Found], *arguments: Any) -> Found:
    token = _in_vain.set(True)
    try:
        return look(*arguments)
    finally:
        _in_vain.reset(token)


class LastFinder:
    """The last of the meta path: whoever asks it, nobody has that module.

    When it lies in the current app's folder, a library's own import statement or C code has asked, which a space does
    not change. In a process of the app's own it is found.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        space = current_app.get()
        if path is None and space is not None and not _in_vain.get() and space.own(name) is not None:
            space.find(NAMES, f"a library imports {name}, which only the app has, and does not find it")

    @staticmethod
    def find_distributions(context: Any) -> Iterable[Any]:
        """Of `importlib.metadata`, for who asks for all there are: those beside the app's code, as an installation for
        development leaves them.
        """
        space = current_app.get()
        if space is None or "path" in vars(context):
            return ()
        metadata: Any = sys.modules["importlib.metadata"]
        here = metadata.DistributionFinder.Context(name=context.name, path=[str(space.folder)])
        found: Iterable[Any] = metadata.MetadataPathFinder.find_distributions(here)
        return found


def _own_for(name: str, package: str | None, caller: FrameType) -> str | None:
    """What `name` means for who asks: an app's module any of its own names, a library none of standard modules."""
    if package and name.startswith("."):
        try:
            name = importlib.util.resolve_name(name, package)
        except ImportError:
            return None  # Python itself says what is wrong
    own = spaces.get(str(caller.f_globals.get("__name__")).partition(".")[0])
    if own is not None:
        return own.own(name)
    space = current_app.get()
    return None if space is None else _by_string(space, name)


def _by_string(space: Space, name: str) -> str | None:
    full = space.own(name)
    return None if full is None or name.partition(".")[0] in sys.stdlib_module_names else full


def _is_statement(frame: FrameType) -> bool:
    """Whether `frame` stands at an import statement, not at a call of `__import__` that hands over its globals."""
    return frame.f_code.co_code[frame.f_lasti] == _IMPORT_NAME


def _is_missing(full: str, error: ModuleNotFoundError) -> bool:
    """Whether the error says that `full` itself is not there, not something that it imports.

    Then an installed module of that name is meant: `celery.app` beside an own `celery.py`.
    """
    return error.name is not None and (full + ".").startswith(error.name + ".")


def _start_thread(thread: threading.Thread) -> None:
    """`Thread.start`: the thread of an app stays in that app's space. (In a patched process it is a greenlet.)"""
    if current_app.get() is not None:
        thread.run = functools.partial(inherited().run, thread.run)  # type: ignore[method-assign]
    _python_start_thread(thread)


class _Modules(MutableMapping[str, ModuleType]):
    """`sys.modules`, in which the current app's own names are found too."""

    def _key(self, name: str) -> str:
        space = current_app.get()
        full = None if space is None else _by_string(space, name)
        return full if full in sys.modules else name

    def __getitem__(self, name: str) -> ModuleType:
        return sys.modules[self._key(name)]

    def __setitem__(self, name: str, module: ModuleType) -> None:
        space = current_app.get()
        full = None if space is None else _by_string(space, name)
        if full is None and sys.modules.get(name) is not module:
            _tell_write(sys._getframe(1), f"sys.modules[{name!r}]")
        sys.modules[full or name] = module

    def __delitem__(self, name: str) -> None:
        key = self._key(name)
        if key in sys.modules and not key.startswith(PREFIX):
            _tell_write(sys._getframe(1), f"sys.modules[{name!r}]")
        del sys.modules[key]

    def __iter__(self) -> Iterator[str]:
        return iter(sys.modules)

    def __len__(self) -> int:
        return len(sys.modules)

    def copy(self) -> dict[str, ModuleType]:
        return sys.modules.copy()


class _Sys(ModuleType):
    """The module `sys`, with `modules` as above, and with the current app's `path`. Apps' modules have it from the
    start.
    """

    modules = _Modules()

    @property
    def path(self) -> list[str]:
        space = current_app.get()
        if space is None:
            return sys.path
        if sys.path != places.common:
            space.follow_path()
        return space.path

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "path" and (space := current_app.get()) is not None:
            space.path = value
            return
        if name not in _HARMLESS and getattr(sys, name, None) is not value:
            _tell_write(sys._getframe(1), f"sys.{name}")
        setattr(sys, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(sys, name)

    def __dir__(self) -> list[str]:
        return dir(sys)


_sys = _Sys("sys")


def _tell_write(caller: FrameType, what: str) -> None:
    """A write of an app through what is lent to it. `sys.modules.pop()` comes by way of collections.abc."""
    if (found := watch.app_behind(caller)) is not None and not watch.is_off():
        watch.tell_write(*found, what)


def _lend_sys(caller: dict[str, Any]) -> None:
    """After `__import__(name)` a library takes the module out of `sys.modules[name]`: werkzeug's `import_string` does.

    A bare own name cannot stand there, it would be everybody's. So a module that imported an own name in that way sees
    a `sys` of its own from then on, that differs in nothing else, as apps' modules do.
    """
    if caller.get("sys") is sys:
        caller["sys"] = _sys
