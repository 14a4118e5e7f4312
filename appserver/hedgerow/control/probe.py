"""`python -m hedgerow.control.probe RELEASE FD`: loads one app and writes what it found to a descriptor, as JSON.

A process of its own: an import that ends or wrecks the process ends only this one. Its prints are the app's.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

from ..config import Settings
from ..errors import LoadError, UserError
from ..hosting.app import load_app
from ..hosting.discovery import find_entry
from ..hosting.manifest import read_manifest


def main(name: str, folder: Path, descriptor: int) -> None:
    app = load_app(name, folder, Settings.from_env())
    told = {"mount": str(app.mount), "error": "", "traceback": "", "entry": ""}
    if app.error is not None:
        told |= {"error": app.error.sentence, "traceback": app.error.traceback}
    with contextlib.suppress(LoadError, UserError):  # they are in the error already
        told["entry"] = find_entry(folder, read_manifest(folder)).file
    with open(descriptor, "w", encoding="utf-8") as answer:
        json.dump(told, answer)
    # An app may have started threads that never end.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
