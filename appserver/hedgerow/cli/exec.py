"""`hedgerow exec`: a command in an app's release, data and variables."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

from ..config import Settings
from ..control import local, releases
from ..control.records import read_records
from ..errors import LoadError, UserError
from ..hosting.discovery import NAMES, Entry, discover, find_entry
from ..hosting.manifest import read_manifest
from .options import setting


@click.command(
    "exec",
    short_help="A command in an app's release, with its data.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("app")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@setting("apps")
@setting("state")
def execute(app: str, command: tuple[str, ...], apps: Path | None, state: Path | None) -> None:
    """Run a command in APP's release and with its data, for example: hedgerow exec blog -- flask init-db"""
    settings = Settings.from_env(apps=apps, state=state)
    code = _release(app, settings)
    try:
        entry = find_entry(code, read_manifest(code))
    except LoadError:
        entry = Entry("", (), "")  # a command may be what puts it right
    environ = environment(app, code, entry, settings.state, os.environ)
    os.chdir(environ["PWD"])
    os.environ.clear()
    os.environ.update(environ)
    sys.stdout.flush()
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python for itself, and an exec would hand that on
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise UserError(f"{command[0]}: {error.strerror}") from error


def environment(app: str, code: Path, entry: Entry, state: Path, base: os._Environ[str]) -> dict[str, str]:
    """The variables of the command; PWD is where it runs: beside a package, inside a folder of plain files."""
    place = code.parent if entry.is_package and entry.file else code
    module = entry.module or (code.name if entry.is_package and entry.file else "")
    named = "" if entry.names == NAMES or not entry.names else f":{entry.names[0]}"
    added = {
        "PWD": str(place),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(place), base.get("PYTHONPATH", "")))),
        "PYTHONDONTWRITEBYTECODE": "1",  # a release is read-only
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), base.get("PATH", os.defpath))),
        "HEDGEROW_APP": app,
        "HEDGEROW_APP_DATA": str(state / "data" / app),
    }
    if module:
        added["FLASK_APP"] = base.get("FLASK_APP") or module + named
    return dict(base) | added


def _release(app: str, settings: Settings) -> Path:
    """The release that runs now; if none runs, one of what the folder holds."""
    for record in read_records(settings.state):
        running = record["apps"].get(app)
        if running and not record["stale"] and Path(running).is_dir():
            return Path(running)
    # Only what is listed: a name such as `..` is a folder, too, and no app.
    folders = {folder.name: folder for folder in discover(settings.apps)}
    if app not in folders:
        raise UserError(f"{app}: no such app in {settings.apps}")
    local.make_state(settings.state)
    return releases.make(folders[app], settings.state).code
