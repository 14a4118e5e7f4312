"""Which Pythons there are, and which of them an app may be run by. What is not there is never downloaded."""

from __future__ import annotations

import operator
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import UserError
from .requirements import Requirements

OLDEST = (3, 11)

Version = tuple[int, ...]
_COMPARE: dict[str, Callable[[Version, Version], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_CLAUSE = re.compile(r"\s*(~=|===?|!=|[<>]=?|)\s*v?(\d+(?:\.\d+)*)(\.\*)?\s*", re.ASCII)


@dataclass(frozen=True)
class Interpreter:
    """A CPython on this machine. version: as 3.12.1."""

    path: Path
    version: str

    @property
    def numbers(self) -> Version:
        return numbers(self.version)


def numbers(version: str) -> Version:
    """Of a version of Python. That of a pre-release counts as that of the release."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def running() -> Interpreter:
    """The one that runs us."""
    return Interpreter(Path(os.path.realpath(sys.executable)), platform.python_version())


def satisfies(version: Version, spec: str) -> bool:
    """Whether a Python is what a specifier of PEP 440 asks for, or of the line that a bare `3.12` names.

    Raises ValueError if it is neither.
    """
    return all(_holds(version, clause) for clause in spec.split(",") if clause.strip())


def _holds(version: Version, clause: str) -> bool:
    found = _CLAUSE.fullmatch(clause)
    if found is None:
        raise ValueError(f"{clause.strip()!r} names no versions of Python")
    sign, asked, star = found.group(1), numbers(found.group(2)), bool(found.group(3))
    if sign == "~=":
        return version[: len(asked) - 1] == asked[:-1] and version >= asked
    if star or not sign:
        same = version[: len(asked)] == asked
        return not same if sign == "!=" else same
    return _COMPARE[sign.replace("===", "==")](version, asked + (0,) * (3 - len(asked)))


def choose(asked: Sequence[Requirements], find: Callable[[], Iterable[Interpreter]]) -> Interpreter:
    """The one that runs these apps together: ours if it may, else the newest. Raises UserError, with those at hand."""
    mine = running()
    if all(fits(one, mine) for one in asked):
        return mine
    usable = [one for one in find() if one.numbers >= OLDEST]
    fitting = [one for one in usable if all(fits(app, one) for app in asked)]
    if not fitting:
        versions = sorted({one.numbers: one.version for one in (mine, *usable)}.items())
        there = ", ".join(version for _, version in versions)
        needs = "; ".join(f"{one.app}: it needs Python {one.python}" for one in asked if one.pythons)
        raise UserError(f"{needs}; on this machine there is {there}")
    return max(fitting, key=lambda one: one.numbers)


def fits(requirements: Requirements, interpreter: Interpreter) -> bool:
    """Raises UserError for a condition that cannot be read."""
    for wish in requirements.pythons:
        try:
            if not satisfies(interpreter.numbers, wish.spec):
                return False
        except ValueError as error:
            key = "python" if wish.source == "app.toml" else "project.requires-python"
            raise UserError(f"{requirements.app}: {wish.source}: {key}: {error}") from error
    return True
