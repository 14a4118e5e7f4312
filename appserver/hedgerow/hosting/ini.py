"""An app that a file of PasteDeploy describes: apps, composites, filters and pipelines, put together by that library.

What the file names by `call:module:name`, `paste.app_factory = module:name` and the like is found as an import in the
app itself would find it, in its space too.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import LoadError


def load(path: Path, name: str, where: str) -> Any:
    """What the section `name` of the file is. where: the app and its file, for messages.

    Raises LoadError; what the library says of the file, or a factory raises, passes.
    """
    try:
        deploy = importlib.import_module("paste.deploy")
    except ModuleNotFoundError as error:
        raise LoadError(f"{where}: it needs PasteDeploy, which is not installed where the app runs") from error
    return deploy.loadapp(f"config:{quote(str(path))}", name=name)
