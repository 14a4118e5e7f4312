"""Looks in the code of an app for writes to what it shares with others: an attribute of a library's module, class or
object, an entry of a library's dictionary, a change of a library's list.

`watch.py` sees writes to modules when they happen; nothing tells of one to a class or to an object. Their code does:
a write whose target begins with a name that an import statement has bound (`import bottle`, then
`bottle.TEMPLATE_PATH.insert(…)`), and that leads by plain attributes to something of the library. What it leads to is
looked up when the module has been executed, without running anything of it. A write in a function counts before it has
happened, so that the app is apart before it is served. What is each request's or thread's own (proxies, thread-locals:
`flask.g`, `bottle.response`) is none. It costs 0.3 us an instruction of what imports and writes.
"""

from __future__ import annotations

import inspect
import opcode
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from . import space as spaces_of
from . import watch
from .findings import SHARED_STATE
from .space import PREFIX, Space, lent

_WRITES = {
    "STORE_ATTR": 0,
    "DELETE_ATTR": 0,
    "STORE_SUBSCR": 1,
    "DELETE_SUBSCR": 1,
}  # how much is loaded after the target
_LOADS = frozenset(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK"))
_ATTRIBUTES = frozenset(("LOAD_ATTR", "LOAD_METHOD"))
_BINDS = frozenset(("STORE_NAME", "STORE_FAST", "STORE_GLOBAL"))
_CHANGES = frozenset((
    "append", "insert", "extend", "remove", "clear", "update", "setdefault", "pop", "popitem", "add", "discard",
))  # fmt: skip
# What CPython puts between, and says nothing of the target.
_SILENT = frozenset(("CACHE", "NOP", "RESUME", "PUSH_NULL", "PRECALL", "NOT_TAKEN"))
_INTERESTING = frozenset(opcode.opmap[name] for name in (*_WRITES, *_ATTRIBUTES, "BINARY_OP") if name in opcode.opmap)
_IMPORT = opcode.opmap["IMPORT_NAME"]
_ATTR_SHIFT = 1 if sys.version_info >= (3, 12) else 0  # a flag below the index of the name
# What the type says of itself whose value is each request's, thread's or app's own.
_OWN = ("local", "proxy", "environ")


class Step(NamedTuple):
    """One instruction. name: what it names; at: its offset."""

    operation: str
    name: str
    argument: int
    at: int


class Bound(NamedTuple):
    """What an import statement has bound a name to, and what that is called."""

    value: Any
    shown: str


def install() -> None:
    """From now on, each module of an app."""
    spaces_of.executed = look


def look(app: Space, module: ModuleType, code: CodeType | None) -> None:
    """Look through a module that has been executed."""
    if code is None:
        return
    everywhere = dict(_imports(app, code))
    for each in _all_codes(code):
        operations = each.co_code[::2]
        known = everywhere
        if each is not code and _IMPORT in operations:
            known = everywhere | dict(_imports(app, each))
        if known.keys().isdisjoint(each.co_names + each.co_varnames) or _INTERESTING.isdisjoint(operations):
            continue
        for what, at in _found(each, known, in_function=each is not code):
            app.find(SHARED_STATE, f"{watch.place_of(app, each.co_filename, _line(each, at))} {what}")


def _all_codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_codes(constant)


def _line(code: CodeType, at: int) -> int | None:
    return next((line for start, end, line in code.co_lines() if start <= at < end), None)


def _steps(code: CodeType) -> Iterator[Step]:
    raw, high = code.co_code, 0
    for at in range(0, len(raw), 2):
        operation, argument = opcode.opname[raw[at]], raw[at + 1] | high
        high = argument << 8 if operation == "EXTENDED_ARG" else 0
        if high or operation in _SILENT:
            continue
        name = ""
        if operation in ("LOAD_GLOBAL", "LOAD_ATTR"):
            name = code.co_names[argument >> (1 if operation == "LOAD_GLOBAL" else _ATTR_SHIFT)]
        elif operation in _FAST:
            name = code.co_varnames[argument] if argument < len(code.co_varnames) else ""
        elif raw[at] in opcode.hasname and operation in _NAMED:
            name = code.co_names[argument]
        yield Step(operation, name, argument, at)


_FAST = frozenset(("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK", "STORE_FAST"))
_NAMED = frozenset((
    "LOAD_NAME", "LOAD_METHOD", "STORE_NAME", "STORE_GLOBAL", "STORE_ATTR", "DELETE_ATTR", "IMPORT_NAME", "IMPORT_FROM",
))  # fmt: skip


def _imports(app: Space, code: CodeType) -> Iterator[tuple[str, Bound]]:
    """What the import statements of `code` bind that is not the app's."""
    steps = list(_steps(code))
    module, taken = "", ""
    for place, step in enumerate(steps):
        if step.operation == "IMPORT_NAME":
            level = steps[place - 2]
            relative = level.argument if level.operation != "LOAD_CONST" else code.co_consts[level.argument]
            module, taken = step.name, ""
            if relative or module in lent or app.own(module) is not None:
                module = ""
        elif step.operation == "IMPORT_FROM":
            taken = step.name
        elif step.operation in _BINDS and module:
            before = steps[place - 1].operation
            bare = before == "IMPORT_NAME"  # `import a.b` binds a
            renamed = before == "POP_TOP" and steps[place - 2].operation == "SWAP"  # `import a.b as c`
            if not (bare or renamed or before == "IMPORT_FROM"):
                module = ""
            elif found := _bound(module.partition(".")[0] if bare else module, taken):
                yield step.name, found


def _bound(module: str, taken: str) -> Bound | None:
    found = sys.modules.get(module)
    if not isinstance(found, ModuleType):
        return None
    if taken in vars(found):
        return Bound(vars(found)[taken], f"{module}.{taken}")
    return Bound(found, module) if not taken or module.endswith(f".{taken}") else None


def _found(code: CodeType, known: Mapping[str, Bound], *, in_function: bool) -> Iterator[tuple[str, int]]:
    """The writes in `code` to what is shared, in words, with their offsets."""
    steps = list(_steps(code))
    for place, step in enumerate(steps):
        if step.operation in _WRITES:
            end = place - 1 - _WRITES[step.operation]
            if end + 1 < place and not steps[end + 1].operation.startswith("LOAD_"):
                continue
        elif step.operation in _ATTRIBUTES and step.name in _CHANGES:
            end = place - 1
        elif step.operation in _BINDS and steps[place - 1].operation == "BINARY_OP" and step.name in known:
            if told := _judge_change(known[step.name]):  # `paths += [place]`
                yield told, step.at
            continue
        else:
            continue
        names = _target(steps, end)
        if names and names[0] in known and (owner := _follow(known[names[0]], names[1:])) is not None:
            told = _judge(owner, step, in_function=in_function)
            if told:
                yield told, step.at


def _target(steps: list[Step], end: int) -> list[str]:
    """The names that lead to what step `end` leaves, the first of all first."""
    names: list[str] = []
    while end >= 0 and steps[end].operation in _ATTRIBUTES:
        names.insert(0, steps[end].name)
        end -= 1
    return [steps[end].name, *names] if end >= 0 and steps[end].operation in _LOADS else []


def _follow(start: Bound, names: list[str]) -> Bound | None:
    value = start.value
    for name in names:
        if _is_own(value):
            return None
        try:
            value = vars(value)[name] if isinstance(value, ModuleType) else inspect.getattr_static(value, name)
        except (AttributeError, KeyError):
            return None
        if hasattr(type(value), "__get__") and not inspect.isfunction(value):
            return None  # a property: what it leads to is not known without running it
    return None if _is_own(value) else Bound(value, ".".join([start.shown, *names]))


def _is_own(value: Any) -> bool:
    kind = type(value)
    if isinstance(value, ModuleType):
        return value.__name__.startswith(PREFIX)
    if isinstance(value, type):
        return value.__module__.startswith(PREFIX)
    return any(word in each.__name__.lower() for each in kind.__mro__ for word in _OWN)


def _judge(owner: Bound, step: Step, *, in_function: bool) -> str:
    value, shown = owner
    if step.operation in _ATTRIBUTES:
        return _judge_change(owner)
    if step.operation.endswith("_SUBSCR"):
        return f"sets an entry of {shown}, which other apps use too"
    if not in_function:
        if isinstance(value, ModuleType):
            return ""  # it has happened, or not: the watch knows
        if isinstance(value, type) and step.operation == "STORE_ATTR" and step.name not in vars(value):
            return ""  # in a branch that was not taken
    return f"sets {shown}.{step.name}, which other apps use too"


def _judge_change(owner: Bound) -> str:
    value, shown = owner
    return f"changes {shown}, which other apps use too" if isinstance(value, (list, dict, set)) else ""
