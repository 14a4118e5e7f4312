"""One hosted app: its folder, its mount, its callable or why it has none.

Loading never raises for a broken app: one bad app must not disturb its neighbours.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from pathlib import Path
from wsgiref.types import WSGIApplication

from ..config import Settings
from ..errors import LoadError, UserError
from . import (
    discovery,
    django_names,
    environment,
    failure,
    ini,
    kept,
    logs,
    memory,
    missed,
    outbound,
    process_state,
    relative,
    watch,
    writes,
)
from .cache_table import CacheTable
from .discovery import Entry
from .findings import PROCESS_STATE, VARIABLES, Finding
from .gate import Gate
from .imports import install
from .layers import wrap
from .manifest import FILE_NAME, Limits, Manifest, read_manifest
from .mounts import Mount, mount_of
from .public import with_public_files
from .secret_file import read_secrets
from .space import Space


@dataclass(eq=False, repr=False)
class HostedApp:
    """An app as its worker knows it. Exactly one of `application` and `error` is set.

    context: what each request's context is a copy of, so that neither requests nor apps see each other's variables;
    threads: how many native ones its calls run in, 0: in greenlets.
    """

    name: str
    folder: Path
    manifest: Manifest
    mount: Mount
    gate: Gate
    application: WSGIApplication | None = None
    error: LoadError | None = None
    space: Space | None = None
    context: Context = field(default_factory=Context)
    threads: int = 0

    @property
    def cache(self) -> CacheTable:
        """What the front keeps of its answers."""
        return self.manifest.cache

    @property
    def findings(self) -> list[Finding]:
        """Why it should have a process of its own. One that has is not looked at."""
        return [] if self.space is None else list(self.space.findings.known)

    def find(self, cause: str, sentence: str) -> None:
        """Keep a finding, and tell who listens. sentence: without the app's name in front."""
        if self.space is not None:
            self.space.find(cause, sentence)

    def fail(self, error: LoadError) -> None:
        """From now on the app is down."""
        self.application, self.error = None, error

    @property
    def state(self) -> str:
        return "up" if self.error is None else "down"

    def __repr__(self) -> str:
        told = f"{self.gate.running} running" if self.error is None else self.error.sentence
        return f"<HostedApp {self.name} at {self.mount}: {self.state}, {told}>"


def load_app(name: str, folder: Path, settings: Settings) -> HostedApp:
    """Load the app in `folder`. What goes wrong is in `error`; only KeyboardInterrupt passes."""
    install()
    environment.install()
    logs.install()
    if not watch.is_off():
        for part in (django_names, kept, relative, writes, missed, watch):
            part.install()
    app, entry, variables = begin(name, folder, settings, _give_space)
    if entry is None or app.space is None:
        return app
    app.context = app.space.context
    outbound.give(name, app.space, app.manifest.limits, settings)
    app.space.variables = environment.variables(variables)
    before = process_state.look()
    app.space.loading = True
    try:
        app.context.run(run_entry, app, entry, f"{folder.name}/{entry.file}", settings)
    finally:
        app.space.loading = False
    for each in process_state.put_back(before):
        app.find(PROCESS_STATE, f"its load has changed {each} of the whole process; this was put back for the others")
    for each in environment.unread(app.space.variables):
        app.find(VARIABLES, f"{each} is read by C code, which does not see the variables of an app")
    return app


def _give_space(app: HostedApp, entry: Entry) -> None:
    app.space = Space(app.name, app.folder, packaged=entry.is_package)


def begin(
    name: str, folder: Path, settings: Settings, place: Callable[[HostedApp, Entry], None]
) -> tuple[HostedApp, Entry | None, dict[str, str]]:
    """The app in `folder`, its entry, None if it has an error instead, and its variables, also secret ones. place: puts
    it where it is to be loaded; may raise OSError or LoadError.
    """
    try:
        manifest = read_manifest(folder)
        variables = {**manifest.env, **read_secrets(settings.secrets, name)}
    except UserError as mistake:
        error = LoadError(str(mistake))
        return HostedApp(name, folder, Manifest(), mount_of(name, None, None), Gate(0), error=error), None, {}
    gate = _gate(manifest.limits, settings)
    app = HostedApp(name, folder, manifest, mount_of(name, manifest.mount, manifest.host), gate)
    try:
        entry = discovery.find_entry(folder, manifest)
        place(app, entry)
    except LoadError as error:
        app.error = error
        return app, None, {}
    except OSError as error:
        app.error = LoadError(f"{name}: {error}", traceback.format_exc())
        return app, None, {}
    return app, entry, variables


def _gate(limits: Limits, settings: Settings) -> Gate:
    return Gate(
        settings.app_running if limits.running is None else limits.running,
        settings.app_waiting if limits.waiting is None else limits.waiting,
        settings.app_wait_s if limits.wait_s is None else limits.wait_s,
    )


def run_entry(app: HostedApp, entry: Entry, where: str, settings: Settings) -> None:
    """Import the entry and take the callable out of it. where: the app and its file, for messages."""
    package = app.space.package if app.space else ""
    try:
        application = wrap(_found(app, entry, where), app.manifest.middleware, app.folder)
        releases = settings.state / "releases" / app.name
        app.application = with_public_files(application, app.manifest, app.folder, releases)
    except KeyboardInterrupt:
        raise
    except LoadError as error:
        app.error = error
    except BaseException as error:  # also SystemExit: an app that calls sys.exit() at import ends nothing
        with memory.Room(error):
            app.error = _explained(app, error, entry, package)
    finally:
        if app.space is not None:
            app.space.follow_path()


def _explained(app: HostedApp, error: BaseException, entry: Entry, package: str) -> LoadError:
    told = failure.explain(error, app.folder, entry.file, package)
    limit_mb = app.manifest.limits.memory_mb
    if limit_mb is None or app.space is not None or not isinstance(error, MemoryError):
        return told
    where = f"{app.folder.name}/{FILE_NAME}: limits.memory_mb = {limit_mb}"
    return LoadError(f"{where} is too little to load it: {told.sentence}", told.traceback, told.places)


def _found(app: HostedApp, entry: Entry, where: str) -> WSGIApplication:
    if entry.is_ini:
        (name,) = entry.names
        return discovery.checked(ini.load(app.folder / entry.file, name, where), name, where)
    package = app.space.package if app.space else ""
    module = importlib.import_module(".".join(filter(None, (package, entry.module))))
    return discovery.resolve_callable(module, entry, where)
