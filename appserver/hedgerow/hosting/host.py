"""All apps of one worker: loaded side by side or sent on, mounted, and their states."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import Settings
from ..errors import LoadError, UserError
from . import discovery
from .alone import load_alone
from .app import HostedApp, load_app, run_entry
from .forwarded import CanaryApp, ForwardedApp
from .gate import Gate
from .manifest import Manifest
from .mounts import Mount, Mounts, mount_of
from .static_table import StaticTable


class Host:
    """The apps of a worker by name, and their mounts. An app that lost its mount is down. canaries: releases that a
    part of an app's clients has.
    """

    def __init__(self, apps: Sequence[HostedApp | ForwardedApp], incumbents: Collection[str] = ()) -> None:
        self.canaries: dict[str, CanaryApp] = {}
        self.apps: dict[str, HostedApp | ForwardedApp] = {
            app.name: app for app in sorted(apps, key=lambda app: app.name)
        }
        self.mounts = Mounts(apps, incumbents)
        for app in apps:
            if app.error is None and app.name in self.mounts.conflicts:
                app.fail(self.mounts.conflicts[app.name])

    def status(self) -> list[dict[str, Any]]:
        return [
            {
                "name": app.name,
                "mount": app.mount.path or "/",
                "host": app.mount.host,
                "state": app.state,
                "error": app.error.sentence if app.error else "",
                "traceback": app.error.traceback if app.error else "",
                "findings": [dataclasses.asdict(finding) for finding in app.findings],
                "forwarded": isinstance(app, ForwardedApp),
            }
            for app in self.apps.values()
        ]

    def __repr__(self) -> str:
        down = [app.name for app in self.apps.values() if app.error]
        return f"<Host of {len(self.apps)} apps, down: {', '.join(down) or 'none'}>"


def load_host(
    entries: Mapping[str, Path],
    broken: Mapping[str, str],
    settings: Settings,
    incumbents: Collection[str] = (),
    on_load: Callable[[str], object] = lambda name: None,
    forwarded: Sequence[ForwardedApp] = (),
    alone: bool = False,
) -> Host:
    """Load the app of each entry. broken: apps known not to run, by name, and why; on_load: told each name before;
    forwarded: apps of pools; alone: the process is the one entry's own.
    """
    apps: list[HostedApp | ForwardedApp] = list(forwarded)
    load = load_alone if alone else load_app
    for name, folder in sorted(entries.items()):
        on_load(name)
        apps.append(load(name, folder, settings))
    for name, sentence in sorted(broken.items()):
        if name not in entries:
            apps.append(_down(name, settings.apps / name, LoadError(sentence), settings))
    return Host(apps, incumbents)


def _down(name: str, folder: Path, error: LoadError, settings: Settings) -> HostedApp:
    return HostedApp(name, folder, Manifest(), mount_of(name, None, None), Gate(settings.app_running), error=error)


def host_callable(target: str, path: Path, settings: Settings) -> Host:
    """A host whose one app is `module:callable`, found from `path` as `python -m` would: at the root, without a space.

    Raises UserError when `target` is written wrong; what the import raises is the app's `error`.
    """
    module, colon, names = target.partition(":")
    if not all(map(str.isidentifier, [*module.split("."), *(names.split(".") if colon else ())])):
        raise UserError(f"{target!r} is not MODULE:CALLABLE")
    entry = discovery.Entry(module, (names,) if names else discovery.NAMES, module)
    manifest = Manifest(static=StaticTable(folder=""))  # path is where somebody works, not the folder of an app
    app = HostedApp(module, path, manifest, Mount(""), Gate(settings.app_running))
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))
    app.context.run(run_entry, app, entry, module, settings)
    return Host([app])
