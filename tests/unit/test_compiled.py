"""Whether the tests met what they are meant to meet: the compiled hot modules, or none of them."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import hedgerow

SOURCES = Path(__file__).parents[2] / "appserver"
HOT = [
    ".".join(path.relative_to(SOURCES).with_suffix("").parts)
    for path in sorted((SOURCES / "hedgerow").rglob("*.pxd"))
    if "worker" not in path.parts  # they import gevent, which patches nothing by itself but belongs to workers only
]


def test_the_hot_modules_are_compiled_in_the_ring_that_says_so_and_plain_in_the_others() -> None:
    wanted = os.environ.get("HEDGEROW_TEST_COMPILED") == "1"
    assert len(HOT) >= 9
    for name in HOT:
        file = importlib.import_module(name).__file__
        assert file is not None
        assert file.endswith(".so") is wanted, f"{name} is {file}"


def test_every_declaration_has_its_module() -> None:
    for path in (SOURCES / "hedgerow").rglob("*.pxd"):
        assert path.with_suffix(".py").exists()


def test_a_wheel_has_all_modules_as_source_too() -> None:
    """Tracebacks show the source, and another Python can still run it."""
    here = Path(next(iter(hedgerow.__path__)))
    for name in HOT:
        assert (here.parent / name.replace(".", "/")).with_suffix(".py").exists()
