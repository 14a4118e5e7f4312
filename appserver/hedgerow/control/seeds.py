"""An app's data is made once, from what its folder has, and never overwritten.

A copy is made beside its place and gets its name when it is on the disk as a whole. It knows no releases.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from . import durable, tree

PREFIX = ".seed-"


class SeedError(Exception):
    """A file of the data that could not be copied. No OSError, which copytree would collect."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def seed(source: Path | None, target: Path) -> None:
    """Makes `target`, if it is not there. Without a source: a name without a suffix becomes a folder."""
    if os.path.lexists(target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source is None or not source.exists():
        if not target.suffix:
            target.mkdir(exist_ok=True)
        return
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=target.parent) as beside:
        copy = Path(beside) / "copy"
        if source.is_dir():
            shutil.copytree(source, copy, copy_function=_copy_inner)
            for parent, _, _ in os.walk(copy):
                os.chmod(parent, 0o755)  # noqa: S103 - seeds may be read-only, data must not be; nginx reads it
            durable.publish(copy.parent, copy.rename, target)
        else:
            copy_file(str(source), str(copy))
            durable.publish(copy.parent, lambda place: os.link(copy, place), target)


def copy_file(source: str, target: str) -> None:
    with open(target, "xb") as copy:
        copy.writelines(tree.pieces(source))


def _copy_inner(source: str, target: str) -> None:
    try:
        copy_file(source, target)
    except OSError as error:  # copytree keeps no more of it than a text
        raise SeedError(error) from error
