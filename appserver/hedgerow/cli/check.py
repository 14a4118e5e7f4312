"""`hedgerow check`: would this folder load as an app, and why not."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from ..control import process, releases
from ..errors import UserError
from ..hosting.manifest import read_manifest
from .printable import printable

LIMIT_S = 60.0


@click.command(short_help="Would this folder load, and if not why.")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
def check(folder: Path) -> None:
    """Say whether the app in DIR would load, and if not why, with file and line. Nothing is served."""
    # A link keeps its name, as in the folder of apps; what `..` is, only the file system knows.
    folder = folder.resolve() if ".." in folder.parts else folder.absolute()
    if not folder.name:
        raise UserError(f"{folder}: an app is called as its folder is, and this one has no name")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    if folder.name[0] in "._":
        raise UserError(f"{folder.name}: a name that starts with '.' or '_' is no app")
    with tempfile.TemporaryDirectory(prefix="hedgerow-check-") as state:
        try:
            release = releases.make(folder, Path(state))
        except UserError as error:
            click.echo(printable(f"{folder.name} would not load: {error}"), err=True)
            sys.exit(1)
        told = _asked(release)
        releases.remove(release.root)
    told = {key: value.replace(str(release.code), str(folder)) for key, value in told.items() if value}
    if "error" in told:
        click.echo(printable(f"{folder.name} would not load: {told['error']}"), err=True)
        for row in told.get("traceback", "").rstrip().splitlines():
            click.echo(printable(row), err=True)
        sys.exit(1)
    if "run" in told:
        click.echo(printable(f"{folder.name} brings its server, which is not started here: {told['run']}"))
    else:
        click.echo(printable(f"{folder.name} loads: entry {told['entry']}, mount {told['mount']}"))


def _asked(release: releases.Release) -> dict[str, str]:
    try:
        run = read_manifest(release.code).run
    except UserError as error:
        return _failed(str(error))
    return {"run": run} if run else _probe(release)


def _probe(release: releases.Release) -> dict[str, str]:
    with tempfile.TemporaryFile() as answers:  # no pipe: a long answer would wait for us to read, as we for its end
        descriptor = answers.fileno()
        command = process.python("-m", "hedgerow.control.probe", release.app, str(release.code), str(descriptor))
        child = subprocess.Popen(command, pass_fds=[descriptor], stdin=subprocess.DEVNULL, stdout=sys.stderr)
        try:
            code = child.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            return _failed(f"{release.app}: loading it does not end within {LIMIT_S:.0f} s")
        answers.seek(0)
        try:
            told: dict[str, str] = json.load(answers)
        except ValueError:  # it ended before it had answered
            how = f"exit status {code}" if code >= 0 else f"signal {-code}"
            return _failed(f"{release.app}: loading it ends the process ({how})")
        return told


def _failed(sentence: str) -> dict[str, str]:
    return {"error": sentence, "traceback": ""}
