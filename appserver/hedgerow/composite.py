"""Several apps as one WSGI callable, for any server: loaded side by side as in a worker, mounted by the same router.

What is the stack's cannot be had here: pools, releases, environments, servers that apps bring, limits of requests. Who
asks for it is told so in one sentence; an app that cannot do without answers 503 with it. The server decides what runs
at once, and answers what an app raises.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

from .config import Settings
from .control.environments.interpreters import fits, running
from .control.environments.requirements import wanted
from .errors import HedgerowError, LoadError, UserError
from .hosting import discovery, findings, pages
from .hosting.alone import load_alone
from .hosting.app import HostedApp, load_app
from .hosting.gate import Gate
from .hosting.host import Host, host_callable
from .hosting.inside import Inside
from .hosting.manifest import FILE_NAME, Manifest, read_manifest
from .hosting.mounts import Mount, encode, mount_of
from .hosting.pages import Page
from .middleware.routes import Routes

Say = Callable[[str], object]


def to_stderr(line: str) -> None:
    """For `say`."""
    print(f"hedgerow: {line}", file=sys.stderr, flush=True)


def composite(settings: Settings, say: Say) -> WSGIApplication:
    """The apps of `settings.apps` at their mounts. say: takes a line for who runs the server. Raises UserError."""
    findings.listeners.append(lambda _, finding: say(finding.sentence))
    apps, refused = list[HostedApp](), dict[str, str]()
    for folder in discovery.discover(settings.apps):
        manifest = _manifest(folder)
        refused[folder.name] = refusal = _refusal(folder, manifest)
        apps.append(_refused(folder, manifest, refusal) if refusal else load_app(folder.name, folder, settings))
        for remark in [] if refusal else _remarks(manifest):
            say(f"{folder.name}: {remark}")
    host = Host(apps)
    for app in apps:
        if app.error is not None:
            say(app.error.sentence + (f"\n{app.error.traceback.rstrip()}" if app.error.traceback else ""))
    mounted = [app for app in apps if app.name not in host.mounts.conflicts]
    return Routes(_Otherwise(apps), {str(app.mount): _in_its_place(app, refused[app.name]) for app in mounted})


_NO_TARGET = "neither the folder of an app, nor one whose sub-folders are apps, nor module:callable"


def target(text: str, settings: Settings, say: Say) -> WSGIApplication:
    """What a command line names: the folder of one app, which is then the process's own; a folder of apps; or
    `module:callable`. Raises UserError or LoadError.
    """
    folder = Path(text)
    if not folder.is_dir():
        if os.sep in text or ":" not in text:
            raise UserError(f"{text}: {_NO_TARGET}")
        return _alone(next(iter(host_callable(text, Path.cwd(), settings).apps.values())))
    folder = folder.absolute()
    if not _is_app(folder):
        if not discovery.discover(folder):
            raise UserError(f"{folder}: {_NO_TARGET}")
        return composite(dataclasses.replace(settings, apps=folder), say)
    if _manifest(folder).run:
        raise UserError(f"{folder.name}: {_NO_SERVER}")
    return _alone(load_alone(folder.name, folder, settings))


def _alone(app: Any) -> WSGIApplication:
    if app.error is not None:
        raise app.error
    return Inside(app)


def _is_app(folder: Path) -> bool:
    """Whether the folder is one app: by its app.toml, or an entry that lies in it and not in a folder below."""
    if (folder / FILE_NAME).exists():
        return True
    try:
        return "/" not in discovery.find_entry(folder, Manifest()).file
    except LoadError:
        return False


# What apps ask for.

_NO_SERVER = f"its {FILE_NAME} says run, and only `hedgerow up` starts servers that apps bring"


def _manifest(folder: Path) -> Manifest:
    try:
        return read_manifest(folder)
    except UserError:  # its load tells
        return Manifest()


def _refusal(folder: Path, manifest: Manifest) -> str:
    """Why the app cannot be served here, or ''."""
    if manifest.run:
        return _NO_SERVER
    if manifest.isolation:
        return f'its {FILE_NAME} says isolation = "{manifest.isolation}"; here all apps share one process'
    try:
        asked = wanted(folder.name, folder, manifest.python or "")
        if asked is not None and not fits(asked, running()):
            return f"it needs Python {asked.python}, and here all apps share Python {running().version}"
    except HedgerowError as mistake:
        return str(mistake).removeprefix(f"{folder.name}: ")
    return ""


def _remarks(manifest: Manifest) -> Iterable[str]:
    """What the app asks for, does not get, and can be served without."""
    if manifest.concurrency != "auto":
        yield f'its {FILE_NAME} says concurrency = "{manifest.concurrency}"; here the server decides that'
    elif manifest.pool == "own":
        yield f"its {FILE_NAME} asks for a pool of its own; here all apps share one process"
    if manifest.deploy.before:
        yield f"its {FILE_NAME} says deploy.before, and there are no deploys here: run it yourself"
    if manifest.server_timing:
        yield f"its {FILE_NAME} says server_timing, and the server here has no such field"


def _refused(folder: Path, manifest: Manifest, sentence: str) -> HostedApp:
    mount = mount_of(folder.name, manifest.mount, manifest.host)
    return HostedApp(folder.name, folder, manifest, mount, Gate(0), error=LoadError(f"{folder.name}: {sentence}"))


# Answers.


def _in_its_place(app: HostedApp, refusal: str) -> WSGIApplication:
    if app.error is None:
        return Inside(app)
    if refusal:
        return _page(lambda environ: pages.not_here(app.name, refusal, environ.get("HTTP_ACCEPT", "")))
    return _page(lambda environ: pages.app_down(app.name, environ.get("HTTP_ACCEPT", "")))


def _page(make: Callable[[dict[str, Any]], Page]) -> WSGIApplication:
    def answer(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        status, headers, body = make(environ)
        start_response(status, headers)
        return [body]

    return answer


class _Listed:
    """What the list of apps shows of one, where this callable is itself mounted."""

    def __init__(self, app: HostedApp, prefix: str) -> None:
        self.name, self.error = app.name, app.error
        self.mount = Mount(prefix + app.mount.path, app.mount.host)


class _Otherwise:
    """What no app is mounted for: the list of apps at the root, and 404."""

    def __init__(self, apps: Iterable[HostedApp]) -> None:
        self._apps = list(apps)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return _page(self._choose)(environ, start_response)

    def _choose(self, environ: dict[str, Any]) -> Page:
        accept, prefix = environ.get("HTTP_ACCEPT", ""), encode(environ.get("SCRIPT_NAME", ""))
        if environ.get("PATH_INFO", "") in ("", "/") and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return pages.index([_Listed(app, prefix) for app in self._apps], accept)
        return pages.not_found(accept)
