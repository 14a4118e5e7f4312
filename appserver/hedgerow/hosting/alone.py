"""Loads the one app of an own pool: without a space, as `python -m` from its place would.

The process is the app's: its variables are the process's, its place is the working directory and first on `sys.path`,
its modules have their plain names. What it does to the process it does to itself.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
import traceback
from pathlib import Path

from ..config import Settings
from ..errors import LoadError, UserError
from . import discovery
from .app import HostedApp, run_entry
from .discovery import Entry
from .gate import Gate
from .manifest import Manifest, read_manifest
from .mounts import mount_of
from .secret_file import read_secrets


def load_alone(name: str, folder: Path, settings: Settings) -> HostedApp:
    """Load the app in `folder` into this process. What goes wrong is in `error`; only KeyboardInterrupt passes."""
    gate = Gate(settings.app_running)
    try:
        manifest = read_manifest(folder)
        secrets = read_secrets(settings.secrets, name)
    except UserError as mistake:
        return HostedApp(name, folder, Manifest(), mount_of(name, None, None), gate, error=LoadError(str(mistake)))
    app = HostedApp(name, folder, manifest, mount_of(name, manifest.mount, manifest.host), gate)
    try:
        entry = discovery.find_entry(folder, manifest)
        place, module = place_of(folder, entry)
        os.chdir(place)
    except LoadError as error:
        app.error = error
        return app
    except OSError as error:
        app.error = LoadError(f"{name}: {error}", traceback.format_exc())
        return app
    os.environ.update({**manifest.env, **secrets, "PWD": str(place)})
    time.tzset()
    sys.path.insert(0, str(place))
    app.context.run(run_entry, app, dataclasses.replace(entry, module=module), f"{folder.name}/{entry.file}")
    return app


def place_of(folder: Path, entry: Entry) -> tuple[Path, str]:
    """Where an app's process runs, and the entry's module as seen from there: beside a package, or inside a folder of
    plain files.
    """
    if entry.is_package and entry.file:
        return folder.parent, folder.name
    return folder, entry.module
