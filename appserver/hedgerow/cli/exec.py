"""`hedgerow exec`: a command in an app's release, data and variables."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

from ..config import Settings
from ..control import local, releases
from ..control.command import environment
from ..control.ledger import Ledger
from ..control.records import read_records
from ..errors import UserError
from ..hosting.discovery import discover
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
    ran = Ledger(settings.state).read().app(app).environment_of(code.parent.name)
    environ = environment(app, code, settings, os.environ, ran)
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
