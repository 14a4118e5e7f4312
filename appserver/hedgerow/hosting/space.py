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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import Context, ContextVar
from importlib.machinery import FileFinder, ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from . import places
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
        self.findings = Findings(name)
        self.find = self.findings.add
        self.loading = False
        self.asked: set[tuple[str, bool]] = set()  # see relative.py
        self.logs: dict[tuple[Any, str], Any] = {}  # what it has set of loggers, by logger and attribute
        self.variables: dict[bytes, bytes] | None = None  # of the environment; None: those of the process
        places.common[:] = sys.path  # what is there before the app is not the app's
        self._first = str(folder.parent if packaged else folder)
        self.path = [self._first, *sys.path]  # its `sys.path`, as in a process of its own
        self._followed: list[str] = []  # what of it `modules` and `locations` say
        self.locations: list[str] = []  # the package's __path__
        self.modules: dict[str, str] = {}  # the own names, and what they are in full
        self._maybe: set[str] = set()  # own if nothing else has them
        # Of each of the locations the names, as they were when it came.
        self._names = {str(folder): places.own_names(folder, self.package, packaged=packaged)}
        self.follow_path()
        self.builtins: dict[str, Any] = {}
        self.refresh_builtins()
        self.context = Context()
        self.context.run(current_app.set, self)
        for module in [m for m in sys.modules if m == self.package or m.startswith(self.package + ".")]:
            del sys.modules[module]  # a newer space of the same name starts afresh
        spaces[self.package] = self

    def own(self, name: str) -> str | None:
        """The full name of the own module that the dotted `name` means, or None."""
        if self.path != self._followed or sys.path != places.common:
            self.follow_path()
        top, dot, rest = name.partition(".")
        full = self.modules.get(top)
        if full is None:
            if top not in self._maybe:
                return None
            if places.installed(top):
                self._maybe.discard(top)
                return None
            full = self.modules[top] = f"{self.package}.{top}"
        return full + dot + rest

    def follow_path(self) -> None:
        """The own names are those of the folders that the app has on its path, and the folders go in that order.

        What has been imported stays what it is, as in `sys.modules`. The app's folder always counts.
        """
        _take_path_entries(self)
        self._followed = list(self.path)
        found = dict.fromkeys([*self._private_places(), str(self.folder)])
        self.locations[:] = found
        self.modules = {top: full for top, full in self.modules.items() if full in sys.modules}
        self._maybe = set()
        for place in found:
            sure, maybe = self._names_in(place)
            self.modules |= sure
            self._maybe |= maybe
        self._maybe -= self.modules.keys()

    def _private_places(self) -> Iterator[str]:
        """The folders of the path that are the app's. What is none, and not a common one, everybody gets."""
        folders = [one.folder for one in spaces.values()]
        path = list(dict.fromkeys(entry for entry in self.path if isinstance(entry, str)))  # Python passes others over
        first = places.first_common(path)
        for at, entry in enumerate(path):
            if entry in places.common:
                continue
            place = os.path.abspath(os.path.join(self._first, entry))  # alone, the app stands in that folder
            if place == self._first:
                yield str(self.folder)
            elif places.is_private(place, folders):
                yield place
            else:
                places.share(entry, in_front=at < first)

    def _names_in(self, place: str) -> tuple[dict[str, str], set[str]]:
        if place not in self._names:
            sure, maybe = places.own_names(Path(place), self.package, packaged=False)
            if Path(place) == self.folder.parent:  # there the app itself is found by its folder's name
                sure[self.folder.name] = self.package
            self._names[place] = sure, maybe
        return self._names[place]

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


def _take_path_entries(asking: Space) -> None:
    """What libraries have put on Python's `sys.path` for an app goes to the app's: to that of the one who asks, unless
    it lies in another's folder. What lies where libraries lie is everybody's.
    """
    folders = [one.folder for one in spaces.values()]
    first = places.first_common(sys.path)
    new = [(entry, at < first) for at, entry in enumerate(sys.path) if places.is_private(entry, folders)]
    for entry, _ in new:
        sys.path.remove(entry)
    places.common[:] = sys.path
    for entry, in_front in [one for one in reversed(new) if one[1]] + [one for one in new if not one[1]]:
        owner = next((one for one in spaces.values() if places.is_below(entry, one.folder)), asking)
        if entry not in owner.path:
            owner.path.insert(0 if in_front else len(owner.path), entry)


def asked_from_c(globals: object, locals: object, fromlist: object) -> bool:
    """Whether an import comes from C code (PyImport_Import passes an empty *list*).

    It then reads the bare name from `sys.modules`, where own modules are not, so it gets what Python has.
    """
    return type(fromlist) is list and not fromlist and globals is locals


_BYTECODE = ".pyc"
_WITH_A_TIME = bytes(4)  # the flags of bytecode, PEP 552


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
