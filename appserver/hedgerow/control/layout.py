"""Where a release lies, and under which name its code is imported: who makes releases and who loads them agree here."""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path


def import_name(app: str) -> str:
    """The folder's name made into one that Python can import and that hides nothing."""
    name = re.sub(r"\W", "_", app, flags=re.ASCII)
    if not name.isidentifier():
        name = "_" + name
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or name == "instance":
        name += "_"
    return name


def code(state: Path, app: str, release: str) -> Path:
    """The folder of an app's code in a release, which is named by its hash."""
    return state / "releases" / app / release / import_name(app)
