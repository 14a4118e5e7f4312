"""`hedgerow front`: what nginx runs with."""

from __future__ import annotations

from pathlib import Path

import click

from ..config import Settings
from ..control import front as nginx
from .options import setting


@click.group(short_help="The front: what nginx runs with.")
def front() -> None:
    """Look at the front that `hedgerow up` starts. In its container /opt/hedgerow/nginx/show.sh tells the same."""


@front.command(short_help="Its values and its rendered files.")
@setting("state")
def show(state: Path | None) -> None:
    """Show the values that the front was started with, what was left out, and the files that were made of them."""
    click.echo(nginx.show(Settings.from_env(state=state).run), nl=False)
