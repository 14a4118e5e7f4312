"""`hedgerow app`: what an app's `app.toml` may say, and what it says."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import UserError
from ..hosting.manifest import FILE_NAME, read_manifest
from ..hosting.manifest_keys import Key, keys, values
from .printable import table


class _WithKeys(click.Command):
    """Its help ends with all keys."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(f"Keys of {FILE_NAME}, all optional"):
            formatter.write_dl([(key.name, told(key)) for key in keys()], col_max=24)


def told(key: Key) -> str:
    """A key's line of help."""
    default = f" (default {key.default})" if key.default else ""
    return f"{key.kind}: {key.help}{default}"


@click.command(cls=_WithKeys, short_help="What app.toml may say, and what an app's says.")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
def app(folder: Path) -> None:
    """Show what the app.toml of the app in DIR says, with the defaults of what it does not say."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    folder = folder.resolve()
    manifest, given = read_manifest(folder), (folder / FILE_NAME).exists()
    defaults = {key.name: key.default for key in keys()}
    rows = [(name, value or "-", "" if value == defaults[name] else FILE_NAME) for name, value in values(manifest)]
    click.echo(table(("KEY", "VALUE", "FROM"), rows))
    if not given:
        click.echo(f"There is no {FILE_NAME}; these are the defaults.")
