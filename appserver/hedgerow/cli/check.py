"""`hedgerow check`: would this folder load as an app, and why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from ..control import process, releases
from ..errors import UserError

LIMIT_S = 60.0


@click.command(short_help="Would this folder load, and if not why.")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
def check(folder: Path) -> None:
    """Say whether the app in DIR would load, and if not why, with file and line. Nothing is served."""
    folder = folder.absolute()
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    if folder.name[0] in "._":
        raise UserError(f"{folder.name}: a name that starts with '.' or '_' is no app")
    with tempfile.TemporaryDirectory(prefix="hedgerow-check-") as state:
        try:
            release = releases.make(folder, Path(state))
        except UserError as error:
            click.echo(f"{folder.name} would not load: {error}", err=True)
            sys.exit(1)
        told = _probe(release)
        releases.remove(release.root)
    text = json.dumps(told).replace(str(release.code), str(folder))
    told = json.loads(text)
    if told["error"]:
        click.echo(f"{folder.name} would not load: {told['error']}", err=True)
        if told["traceback"]:
            click.echo(told["traceback"].rstrip(), err=True)
        sys.exit(1)
    click.echo(f"{folder.name} loads: entry {told['entry']}, mount {told['mount']}")


def _probe(release: releases.Release) -> dict[str, Any]:
    reader, writer = os.pipe()
    command = process.python("-m", "hedgerow.control.probe", release.app, str(release.code), str(writer))
    with open(reader, "rb") as answers:
        child = subprocess.Popen(command, pass_fds=[writer], stdin=subprocess.DEVNULL, stdout=sys.stderr)
        os.close(writer)
        try:
            code = child.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            return _failed(f"{release.app}: loading it does not end within {LIMIT_S:.0f} s")
        os.set_blocking(reader, False)  # a process that the app started may hold the other end
        answer = answers.read()
    if not answer:
        how = f"exit status {code}" if code >= 0 else f"signal {-code}"
        return _failed(f"{release.app}: loading it ends the process ({how})")
    told: dict[str, Any] = json.loads(answer)
    return told


def _failed(sentence: str) -> dict[str, Any]:
    return {"error": sentence, "traceback": ""}
