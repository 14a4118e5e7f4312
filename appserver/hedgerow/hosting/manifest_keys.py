"""The keys of `app.toml` in words: for `hedgerow app`, and for the reference page. They come from the record alone."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..options import REQUIRED, options
from .manifest import Manifest

_WORDS = {str: "text", bool: "true or false", int: "whole number", float: "number", Path: "path"}


class Key(NamedTuple):
    """One key, with its table and a dot before it. kind, default: in words; default: '' if the help tells it."""

    name: str
    kind: str
    default: str
    help: str


def keys(kind: type = Manifest, inside: str = "") -> Iterator[Key]:
    """All keys, in the order in which they are written."""
    hints = typing.get_type_hints(kind)
    for option in options(kind).values():
        hint = hints[option.name]
        if dataclasses.is_dataclass(hint):
            yield from keys(typing.cast(type, hint), f"{inside}{option.name}.")
        else:
            yield Key(inside + option.name, _words(hint), _default(option), option.metadata["help"])


def _default(option: dataclasses.Field[Any]) -> str:
    if option.default is not REQUIRED:
        return written(option.default)
    return "(required)" if option.default_factory is REQUIRED else written({})


def values(record: Any, inside: str = "") -> Iterator[tuple[str, str]]:
    """What a record says, key by key, as TOML; '' for what is not set."""
    for option in dataclasses.fields(record):
        value = getattr(record, option.name)
        if dataclasses.is_dataclass(value):
            yield from values(value, f"{inside}{option.name}.")
        else:
            yield inside + option.name, written(value)


def written(value: Any) -> str:
    """A value as TOML has it; '' for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {written(one)}" for name, one in value.items()) + "}"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def _words(hint: Any) -> str:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        return f"list of {_WORDS.get(typing.get_args(hint)[0], 'table')}s"
    if typing.get_origin(hint) is Mapping:
        return f"table of {_WORDS.get(typing.get_args(hint)[1], 'text')}s"
    return _WORDS[hint]
