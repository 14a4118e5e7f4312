"""Compiles the hot modules when a wheel is made: the same .py files, with the type declarations (.pxd) beside them.

HEDGEROW_COMPILE says whether: 1, it must succeed; 0, not at all; else it is tried, and without a C compiler the wheel
is a plain one, which does the same more slowly. An editable installation is always plain, so that what is edited runs.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from Cython.Build import cythonize
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError

PACKAGES = Path("appserver")
# Run-time type checks of annotations would refuse str subclasses and the like, which the plain modules take.
DIRECTIVES = {"language_level": 3, "annotation_typing": False, "binding": False}


def hot_modules() -> list[Path]:
    """Those that have declarations beside them."""
    return [path.with_suffix(".py") for path in sorted((PACKAGES / "hedgerow").rglob("*.pxd"))]


def compile_into(folder: str) -> list[Path]:
    """Compile the hot modules; the paths of what came of it."""
    extensions = [
        Extension(".".join(path.relative_to(PACKAGES).with_suffix("").parts), [str(path)]) for path in hot_modules()
    ]
    made = cythonize(extensions, build_dir=folder, include_path=[str(PACKAGES)], compiler_directives=DIRECTIVES)
    command = build_ext(Distribution({"ext_modules": made}))
    command.build_lib = command.build_temp = folder
    command.parallel = os.cpu_count()
    command.ensure_finalized()
    command.run()
    return [Path(command.get_ext_fullpath(extension.name)) for extension in made]


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]
    """Hatchling's hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        wanted = os.environ.get("HEDGEROW_COMPILE", "auto")
        if version == "editable" or wanted == "0":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="hedgerow-build-")
        folder = self._folder.name
        try:
            compiled = compile_into(folder)
        except BaseError as error:
            if wanted == "1":
                raise
            print(f"not compiled, so slower: {error}", file=sys.stderr)
            return
        for path in compiled:
            build_data["force_include"][str(path)] = str(path.relative_to(folder))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_folder"):
            self._folder.cleanup()
