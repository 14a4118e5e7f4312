"""Loads the one app of an own pool: without a space, as `python -m` from its place would.

The process is the app's: its variables are the process's, its place is the working directory and first on `sys.path`,
its modules have their plain names. What it does to the process it does to itself.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path

from ..config import Settings
from . import outbound
from .app import HostedApp, begin, run_entry


def load_alone(name: str, folder: Path, settings: Settings) -> HostedApp:
    """Load the app in `folder` into this process. What goes wrong is in `error`; only KeyboardInterrupt passes."""
    app, entry, variables = begin(name, folder, settings, lambda _, entry: os.chdir(entry.place(folder)[0]))
    if entry is None:
        return app
    outbound.give(name, None, app.manifest.limits, settings)
    place, module = entry.place(folder)
    os.environ.update({**variables, "PWD": str(place)})
    time.tzset()
    sys.path.insert(0, str(place))
    app.context.run(run_entry, app, dataclasses.replace(entry, module=module), f"{folder.name}/{entry.file}", settings)
    return app
