"""Options in TOML as typed records: each is written once, as a field with default, help and check.

Reading and converting go over a record's fields and types and know no option by name. What a record is for, and which
file it was read from, is its owner's.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar

# A check gets a value of the field's type and returns what is wrong with it, or None.
Check = Callable[[Any], str | None]
Record = TypeVar("Record")
REQUIRED = dataclasses.MISSING


def anything(_: object) -> str | None:
    """A check that all pass."""
    return None


def within(low: int, high: int, unit: str = "") -> Check:
    """A check that whole numbers of a range pass."""

    def check(number: int) -> str | None:
        return None if low <= number <= high else f"{low} to {high} {unit and unit + ' '}are wanted"

    return check


def nearest(given: str, known: typing.Iterable[str]) -> str:
    """The one of these that was probably meant; '' if none is near."""
    return next(iter(difflib.get_close_matches(given, known, n=1)), "")


def option(default: Any, help: str, check: Check = anything) -> Any:
    """A field of a record; with REQUIRED it has no default."""
    metadata = {"help": help, "check": check}
    if default is dict:
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def options(kind: type) -> dict[str, dataclasses.Field[Any]]:
    """Those of a record, by name. It may have fields that are none."""
    return {each.name: each for each in dataclasses.fields(kind) if "help" in each.metadata}


def read_record(kind: type[Record], table: Mapping[str, Any], inside: str, mistakes: list[str]) -> Record:
    """What `table` says, as a record; its mistakes are added. inside: the table's name with a dot, or ''."""
    return kind(**read_values(kind, table, inside, mistakes))


def read_values(kind: type, table: Mapping[str, Any], inside: str, mistakes: list[str]) -> dict[str, Any]:
    """The same, by option, for who has the record made: one that has no default and is not given is a mistake, too."""
    hints, known = typing.get_type_hints(kind), options(kind)
    values: dict[str, Any] = {}
    for key, given in table.items():
        if key not in known:
            mistakes.append(_unknown(inside, key, known))
        elif dataclasses.is_dataclass(hints[key]) and isinstance(given, dict):
            values[key] = read_record(typing.cast(Any, hints[key]), given, f"{inside}{key}.", mistakes)
        elif wrong := _read(hints[key], known[key], given, values):
            mistakes.append(f"{_told(inside + key, given)}: {wrong}")
    for key, each in known.items():
        if each.default is each.default_factory is dataclasses.MISSING and key not in table:
            mistakes.append(f"{inside}{key} is missing: {each.metadata['help']}")
    return values


def _read(hint: Any, known: dataclasses.Field[Any], given: Any, values: dict[str, Any]) -> str | None:
    """Puts it among the values, or returns what is wrong with it."""
    try:
        value = _convert(hint, given)
    except (ValueError, OverflowError) as error:
        return str(error)
    wrong: str | None = known.metadata["check"](value)
    if wrong is None:
        values[known.name] = value
    return wrong


def _told(key: str, given: Any) -> str:
    try:
        return f"{key} = {given!r}"
    except (ValueError, RecursionError):  # Python shows no number of thousands of digits
        return key


def _unknown(inside: str, key: str, known: typing.Iterable[str]) -> str:
    near = nearest(key, known)
    hint = f"did you mean {inside + near!r}?" if near else "known are " + ", ".join(inside + name for name in known)
    return f"unknown key {inside + key!r}: {hint}"


_WANTED = {str: "a text", bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
_TABLES = {str: "a table of texts is wanted", float: "a table of numbers is wanted"}


def _of_table(hint: Any, given: Any) -> Any:
    try:
        return _convert(hint, given)
    except ValueError:
        raise ValueError(_TABLES[hint]) from None


def _convert(hint: Any, given: Any) -> Any:
    """`given`, as TOML has it, as a value of the type `hint`. Raises ValueError with what was wanted."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _convert(next(kind for kind in arguments if kind is not types.NoneType), given)
    if origin is tuple:
        if not isinstance(given, list):
            raise ValueError(f"a list is wanted, each item {_WANTED.get(arguments[0], 'a table')}")
        return tuple(_convert(arguments[0], item) for item in given)
    if origin is Mapping:
        if not isinstance(given, dict):
            raise ValueError(_TABLES.get(arguments[1], "a table is wanted"))
        return {key: _of_table(arguments[1], given[key]) for key in given} if arguments[1] in _TABLES else dict(given)
    if hint is Path and isinstance(given, str) and given and "\0" not in given:
        return Path(given)
    if hint is float and type(given) is int:
        return float(given)
    if type(given) is not hint:  # exactly: TOML's true is no number
        raise ValueError(f"{_WANTED.get(hint, 'a table')} is wanted")
    return given
