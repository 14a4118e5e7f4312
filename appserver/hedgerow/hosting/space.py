"""App spaces: the private module namespace of each app in a shared process.

An app's folder is a top-level package `_hedgerow_app_<mangled name>`; its modules are that package's. Two ways lead to
them. By globals: the app's modules run with builtins of their own, whose `__import__` looks at the app's own names
first, as with `sys.path[0]`. By the current app: a name that a library looks up by string (`from_object("config")`) is
the current app's; an import *statement* of a library never is, and neither is the name of a standard module.

The current app is a context variable. Neither a `threading.Thread` (before Python 3.14, and there by default) nor a
greenlet of gevent begins with the context of who starts it. `inherited()` makes the one that it should begin with; for
threads `imports.install()` sees to that, for greenlets the worker has to.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import os
import string
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, ContextVar
from importlib.machinery import BuiltinImporter, FileFinder, FrozenImporter, ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from .findings import Findings

PREFIX = "_hedgerow_app_"

# Python's own, whatever has been put in its place since.
python_import = builtins.__import__

current_app: ContextVar[Space | None] = ContextVar("current_app", default=None)

# What a thread or greenlet of an app inherits. Nothing else, so that a long-lived one does not keep its first request.
carried: list[ContextVar[Any]] = [current_app]

_MANGLED = {ord(letter): letter for letter in string.ascii_letters + string.digits} | {ord("_"): "__"}

# What an app's import statement gets instead of Python's own module of that name.
lent: dict[str, ModuleType] = {}

# What watches apps: called after an import of what is not the app's own, and after an own module has been executed.
imported: Callable[[], object] = object
executed: Callable[[Space, ModuleType, CodeType | None], object] | None = None

# Every space of the process, by the name of its package.
spaces: dict[str, Space] = {}


def mangle(name: str) -> str:
    """`name` as the rest of an identifier; no two give the same. '_' is doubled, all else is '_' and two hex digits."""
    return "".join(_MANGLED.get(byte) or f"_{byte:02x}" for byte in os.fsencode(name))


def inherited() -> Context:
    """The context for a thread or greenlet that is started now."""
    context = Context()
    for variable in carried:
        context.run(variable.set, variable.get())
    return context


class Space:
    """The modules of one app. packaged: the folder is itself the package that holds the entry.

    Beside a script, own names win over installed ones, as with `sys.path[0]`. In a package they are reached by relative
    imports or by the package's name, and an absolute name is an own module only when nothing else has it.
    """

    def __init__(self, name: str, folder: Path, *, packaged: bool = False) -> None:
        self.name = name
        self.folder = folder
        self.package = PREFIX + mangle(name)
        self.modules, self._maybe = _own_names(folder, self.package, packaged)
        self.findings = Findings(name)
        self.find = self.findings.add
        self.loading = False
        self.asked: set[tuple[str, bool]] = set()  # see relative.py
        self.logs: dict[tuple[Any, str], Any] = {}  # what it has set of loggers, by logger and attribute
        self.variables: dict[bytes, bytes] | None = None  # of the environment; None: those of the process
        self.locations = [str(folder)]  # the package's __path__
        _common_path[:] = sys.path  # what is there before the app is not the app's
        self.builtins: dict[str, Any] = {}
        self.refresh_builtins()
        self.context = Context()
        self.context.run(current_app.set, self)
        for module in [m for m in sys.modules if m == self.package or m.startswith(self.package + ".")]:
            del sys.modules[module]  # a newer space of the same name starts afresh
        spaces[self.package] = self

    def own(self, name: str) -> str | None:
        """The full name of the own module that the dotted `name` means, or None."""
        if sys.path != _common_path:
            self.take_path_entries()
        top, dot, rest = name.partition(".")
        full = self.modules.get(top)
        if full is None:
            if top not in self._maybe:
                return None
            if _installed(top):
                self._maybe.discard(top)
                return None
            full = self.modules[top] = f"{self.package}.{top}"
        return full + dot + rest

    def take_path_entries(self) -> None:
        """What apps have put on `sys.path` becomes their own: nobody else finds the modules in there. It is this app's
        unless it lies in another's folder; what lies where libraries lie is everybody's.
        """
        first = min((place for place, entry in enumerate(sys.path) if entry in _common_path), default=len(sys.path))
        new = [(entry, place < first) for place, entry in enumerate(sys.path) if _is_of_an_app(entry)]
        for entry, _ in new:
            sys.path.remove(entry)
        _common_path[:] = sys.path
        for entry, in_front in [one for one in reversed(new) if one[1]] + [one for one in new if not one[1]]:
            place = os.path.abspath(entry)
            owner = next((one for one in spaces.values() if place.startswith(os.path.join(one.folder, ""))), self)
            owner._add_location(place, in_front)

    def _add_location(self, place: str, in_front: bool) -> None:
        if place in self.locations:
            return
        self.locations.insert(0 if in_front else len(self.locations), place)
        sure, maybe = _own_names(Path(place), self.package, packaged=False)
        if Path(place) == self.folder.parent:  # there the app itself is found by its folder's name
            sure[self.folder.name] = self.package
        self.modules |= sure
        self._maybe |= maybe - self.modules.keys()

    def refresh_builtins(self) -> None:
        """Take over what was put into Python's builtins since (gettext does that); the import stays the space's own."""
        self.builtins.update(vars(builtins))
        self.builtins["__import__"] = self.import_

    def import_(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """`__import__` of the app's modules: each of their import statements comes here."""
        full = None if level or asked_from_c(globals, locals, fromlist) else self.own(name)
        if full is not None:
            return self.import_own(full, fromlist)
        if name in lent and not level:
            return lent[name]
        module = python_import(name, globals, locals, fromlist or (), level)
        imported()
        return module

    def import_own(self, full: str, fromlist: Sequence[str] | None) -> ModuleType:
        """The own module `full`, or without a fromlist, as `import a.b` wants it, the one that `a` means."""
        module = python_import(full, None, None, fromlist or (), 0)
        if fromlist:
            return module
        return sys.modules[full if full == self.package else ".".join(full.split(".", 2)[:2])]

    def __repr__(self) -> str:
        return f"<Space {self.name} in {self.folder}>"


def asked_from_c(globals: object, locals: object, fromlist: object) -> bool:
    """Whether an import comes from C code (PyImport_Import passes an empty *list*).

    It then reads the bare name from `sys.modules`, where own modules are not, so it gets what Python has.
    """
    return type(fromlist) is list and not fromlist and globals is locals


def _own_names(folder: Path, package: str, packaged: bool) -> tuple[dict[str, str], set[str]]:
    """The names that are own for sure, with their full names, and those that are own if nothing else has them."""
    sure: dict[str, str] = {}
    maybe: set[str] = set()
    for entry in os.scandir(folder):
        top, _, _ = entry.name.partition(".")
        if entry.is_dir():
            regular = os.path.exists(os.path.join(entry.path, "__init__.py"))
        elif entry.name.endswith(_SUFFIXES) and top != "__init__":
            regular = True
        else:
            continue
        # Builtin and frozen modules come before the path, for everybody.
        if BuiltinImporter.find_spec(top) or FrozenImporter.find_spec(top):
            continue
        if regular and not packaged:
            sure[top] = f"{package}.{top}"
        else:
            maybe.add(top)
    if (folder / "__init__.py").is_file() and (packaged or folder.name not in sure):
        sure[folder.name] = package
    return sure, maybe - sure.keys()


# `sys.path` without what apps have put there.
_common_path = list(sys.path)


def _is_of_an_app(entry: str) -> bool:
    if entry in _common_path or not os.path.isdir(entry):
        return False
    place = os.path.abspath(entry)
    libraries = {sys.prefix, sys.base_prefix, *map(os.path.abspath, _common_path)}
    return not any(place.startswith(os.path.join(one, "")) for one in libraries) or any(
        place.startswith(os.path.join(one.folder, "")) for one in spaces.values()
    )


_BYTECODE = ".pyc"
_WITH_A_TIME = bytes(4)  # the flags of bytecode, PEP 552
_SUFFIXES = tuple(importlib.machinery.SOURCE_SUFFIXES + importlib.machinery.EXTENSION_SUFFIXES)


def _installed(top: str) -> bool:
    return top in sys.stdlib_module_names or top in sys.modules or PathFinder.find_spec(top) is not None


class Loader(importlib.machinery.SourceFileLoader):
    """Loads a module with the builtins of its space.

    Bytecode is never written. It is believed if it names no time of its source, which a release's does not: what else
    lies in a folder may be of a source that has the same time and size and is another.
    """

    def get_data(self, path: str) -> bytes:
        if path == self.path and "." not in self.name and not os.path.exists(path):
            return b""  # the package itself may have no file
        data = super().get_data(path)
        if path.endswith(_BYTECODE) and data[4:8] == _WITH_A_TIME:
            raise OSError(f"{path} is not believed")
        return data

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        """Writes nothing."""

    def source_to_code(self, data: Any, path: Any) -> CodeType:  # type: ignore[override]
        try:
            return super().source_to_code(data, path)
        except SyntaxError as error:
            error.filename = error.filename or self.path  # a zero byte in the source is told without it
            raise
        except ValueError as error:  # that zero byte before Python 3.11.4
            raise SyntaxError(str(error), (self.path, 1, 1, None)) from None

    def get_filename(self, name: str | None = None) -> str:
        return self.path  # also when asked by the app's own short name

    def get_code(self, fullname: str) -> CodeType | None:
        self._code = super().get_code(fullname)
        return self._code

    def exec_module(self, module: ModuleType) -> None:
        space = spaces[module.__name__.partition(".")[0]]
        space.refresh_builtins()
        vars(module)["__builtins__"] = space.builtins
        super().exec_module(module)
        if executed is not None:
            executed(space, module, self._code)


_LOADERS: list[Any] = [
    (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
    (Loader, importlib.machinery.SOURCE_SUFFIXES),
]


class Finder:
    """The meta path finder of all spaces."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith(PREFIX):
            return None
        if path is None:
            space = spaces.get(name)
            return None if space is None else _package_spec(space)
        portions: list[str] = []
        for folder in path:
            spec = FileFinder(folder, *_LOADERS).find_spec(name)
            if spec is not None and spec.loader is not None:
                return spec
            if spec is not None:
                portions.extend(spec.submodule_search_locations or ())
        if not portions:
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = portions
        return spec


def _package_spec(space: Space) -> ModuleSpec:
    # With this origin also where no such file is: Flask takes the folder beside which an app keeps its data from it.
    origin = str(space.folder / "__init__.py")
    return importlib.util.spec_from_file_location(  # type: ignore[return-value]
        space.package, origin, loader=Loader(space.package, origin), submodule_search_locations=space.locations
    )
