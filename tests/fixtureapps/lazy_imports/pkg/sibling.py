# ruff: noqa: PLC0415  -- at request time is the point
from . import deep


def seen():
    from values import VALUE  # a top-level name, from a module of a sub-package

    return f"{VALUE}-{deep.WORD}"
