"""Finds apps in a folder, the entry of an app, and the WSGI callable in its module.

Which file is the entry is decided by reading, never by running: a file that binds none of the names is passed over.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from wsgiref.types import WSGIApplication

from ..errors import LoadError, UserError
from .manifest import FILE_NAME, Manifest

FILES = ("app.py", "wsgi.py", "main.py", "passenger_wsgi.py")
FACTORY = "create_app"
NAMES = ("application", "app", FACTORY)
_PACKAGE, _WSGI = "__init__.py", "wsgi.py"
INI, _MAIN = "paste.ini", "main"


@dataclass(frozen=True)
class Entry:
    """module: dotted, relative to the app's folder, '' for the folder as a package, and for a file of PasteDeploy, of
    which names has the section; file: its path.
    """

    module: str
    names: tuple[str, ...]
    file: str

    @property
    def is_ini(self) -> bool:
        """What is served is what a file of PasteDeploy describes."""
        return self.file.endswith(".ini")

    @property
    def is_package(self) -> bool:
        """The folder itself is the package: its modules are `from . import x`, not files beside a script."""
        return self.module == "" and not self.is_ini

    def place(self, folder: Path) -> tuple[Path, str]:
        """Where a process of the app in `folder` runs, and the module as seen from there: beside a package, or inside a
        folder of plain files.
        """
        return (folder.parent, folder.name) if self.is_package and self.file else (folder, self.module)


def discover(apps: Path) -> list[Path]:
    """The folders in `apps` that are apps, by name. Names that start with '.' or '_' are none. May raise UserError."""
    if not apps.is_dir():
        raise UserError(f"{apps}: there is no such folder")
    return sorted(path for path in apps.iterdir() if path.name[0] not in "._" and _is_folder(path))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a link to where we may not look: an app, whose making will tell why
        return True


def find_entry(folder: Path, manifest: Manifest) -> Entry:
    """Where the app in `folder` begins. Raises LoadError with what was looked for."""
    if not folder.is_dir():
        raise LoadError(f"{folder.name}: there is no folder {folder}")
    if manifest.entry is not None:
        return _named_entry(folder, manifest.entry)
    if _binds_a_name(folder / _PACKAGE):
        return Entry("", NAMES, _PACKAGE)
    present = [name for name in FILES if (folder / name).is_file()]
    for name in present:
        if _binds_a_name(folder / name):
            return Entry(name.removesuffix(".py"), NAMES, name)
    packages = [path.name for path in discover(folder) if path.name != "tests" and _binds_a_name(path / _PACKAGE)]
    if len(packages) == 1 and not present:  # a project's folder: its package is inside
        return Entry(packages[0], NAMES, f"{packages[0]}/{_PACKAGE}")
    projects = [path.name for path in discover(folder) if _binds_a_name(path / _WSGI)]
    if len(projects) == 1 and not present and not packages:  # as Django makes it
        return Entry(f"{projects[0]}.wsgi", NAMES, f"{projects[0]}/{_WSGI}")
    if (folder / INI).is_file():
        return Entry("", (_MAIN,), INI)
    wanted = f"{', '.join(NAMES[:-1])} or {FACTORY}"
    if present:
        raise LoadError(f"{folder.name}: no {wanted} in {' or '.join(present)}")
    raise LoadError(
        f"{folder.name}: no entry; looked for {', '.join(FILES)} and {_PACKAGE} with {wanted}, "
        f"for a single package with one of them or with {_WSGI}, for {INI}, and for a key 'entry' in {FILE_NAME}"
    )


def _named_entry(folder: Path, text: str) -> Entry:
    ini, _, section = text.partition("#")
    if ini.endswith(".ini"):
        if (folder / ini).is_file():
            return Entry("", (section or _MAIN,), ini)
        raise LoadError(f"{folder.name}/{FILE_NAME}: entry = {text!r}: there is no {ini}")
    module, _, name = text.partition(":")
    if module.endswith(".py"):
        module = module.removesuffix(".py").replace("/", ".")
    path = module.replace(".", "/")
    names = (name,) if name else NAMES
    for file in (f"{path}.py", f"{path}/{_PACKAGE}"):
        if (folder / file).is_file():
            return Entry(module, names, file)
    if module in (folder.name, "__init__") and (folder / _PACKAGE).is_file():
        return Entry("", names, _PACKAGE)
    raise LoadError(f"{folder.name}/{FILE_NAME}: entry = {text!r}: there is no {path}.py and no {path}/{_PACKAGE}")


def _binds_a_name(path: Path) -> bool:
    """Whether the module at `path` binds one of the names. What cannot be read is left for its import to tell."""
    try:
        if not path.is_file():  # to open a pipe would wait for ever
            return False
        return any(name in NAMES or name == "*" for name in _bound(ast.parse(path.read_bytes()).body))
    except FileNotFoundError:
        return False
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return True


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield statement.name
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name.partition(".")[0] for alias in statement.names)
            case _:
                for part in ast.iter_child_nodes(statement):
                    yield from _bound_inside(part)


def _bound_inside(part: ast.AST) -> Iterator[str]:
    """The names bound by a part of a compound statement or of an assignment."""
    if isinstance(part, ast.stmt):
        yield from _bound([part])
    elif isinstance(part, ast.ExceptHandler | ast.match_case):
        yield from _bound(part.body)
    else:
        for node in ast.walk(part):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def resolve_callable(module: ModuleType, entry: Entry, where: str) -> WSGIApplication:
    """The WSGI callable that `entry` names in `module`. where: the app and its file, for messages.

    Raises LoadError when there is none; what a factory raises is the app's own and passes.
    """
    found: list[str] = []
    for name in entry.names:
        value: Any = module
        for part in name.split("."):
            value = getattr(value, part, None)
        if value is None:
            continue
        if not callable(value):
            found.append(f"{name} is not callable, it is of type {type(value).__name__}")
            continue
        return checked(value, name, where)
    raise LoadError(f"{where}: " + ("; ".join(found) or f"no {' or '.join(entry.names)}"))


def checked(value: Any, name: str, where: str) -> WSGIApplication:
    """What `value`, found as `name`, is as a WSGI callable. Raises LoadError when it is none."""
    if _is_factory(value, name):
        value, name = value(), f"{name}()"
    if not callable(value):
        raise LoadError(f"{where}: {name} returns no callable but a value of type {type(value).__name__}")
    if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(getattr(value, "__call__", None)):  # noqa: B004
        raise LoadError(f"{where}: {name} is an ASGI application; a WSGI callable is wanted")
    return cast("WSGIApplication", value)


def _is_factory(value: Callable[..., Any], name: str) -> bool:
    """By its name; of other names that a manifest gives: a function that takes no two arguments but can do without."""
    if name == FACTORY:
        return True
    if name in NAMES or not inspect.isroutine(value):
        return False
    return not _takes(value, None, None) and _takes(value)


def _takes(function: Callable[..., Any], *arguments: None) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True
