"""`hedgerow env`: the environments that apps run in, and the order to make one anew."""

from __future__ import annotations

from pathlib import Path

import click

from ..config import Settings
from ..control import orders, packages
from ..control.entries import State
from ..control.environments import catalogue
from ..control.environments.catalogue import BASE, Known
from ..control.ledger import Ledger
from ..errors import UserError
from .deploy import command, timed, waits
from .options import setting
from .printable import table

NAME_CHARS = 12  # as much of a name as tells it from others


@click.group(short_help="The environments that apps run in.")
def env() -> None:
    """Look at the environments, which are made of what apps require, and let one be made anew."""


@env.command("list", short_help="The environments there are.")
@setting("state")
def list_(state: Path | None) -> None:
    """List the environments with the apps that run in them. Those without are kept for a rollback, or for a while."""
    settings = Settings.from_env(state=state)
    ledger = Ledger(settings.state).read()
    rows = [_row(one, ledger) for one in (catalogue.ours(), *catalogue.listed(settings.state))]
    click.echo(table(("NAME", "KIND", "PYTHON", "PACKAGES", "SIZE", "APPS"), rows), nl=False)


@env.command(short_help="The packages of an environment.")
@click.argument("name", metavar="NAME|APP")
@setting("state")
def show(name: str, state: Path | None) -> None:
    """Show the packages of the environment NAME, or of the one that APP runs in."""
    settings = Settings.from_env(state=state)
    known = _known(name, settings.state, Ledger(settings.state).read())
    click.echo(f"{known.name}: {_described(known)}")
    click.echo(table(("PACKAGE", "VERSION", "FROM"), catalogue.packages(known)), nl=False)


@env.command(short_help="Make an environment anew, with packages as new as can be.")
@click.argument("app", required=False, default="")
@waits
@timed
@setting("state")
def upgrade(app: str, wait: bool, timeout: float, state: Path | None) -> None:
    """Resolve anew what the apps of the shared pool require, or those of the pool that APP is in. Every app that will
    run with those packages is tried before they are used; if one does not pass, nothing changes.
    """
    command(orders.UPGRADE, app, "", wait, timeout, Settings.from_env(state=state))


def _row(known: Known, ledger: State) -> tuple[str, ...]:
    environment = known.environment
    size = f"{known.bytes / 1e6:.0f} MB" if known.name != BASE else "-"
    count = str(len(catalogue.packages(known)))
    apps = " ".join(_apps(known, ledger))
    kind = "apart" if environment.kind == "own" else environment.kind
    return known.name[:NAME_CHARS], kind, environment.interpreter.version, count, size, apps or "-"


def _apps(known: Known, ledger: State) -> list[str]:
    name = "" if known.name == BASE else known.name
    return sorted(app for app, of in packages.wanted(ledger).items() if of.placement.environment == name)


def _described(known: Known) -> str:
    kind = "without Hedgerow's own packages" if known.environment.kind == "own" else "on top of Hedgerow's own packages"
    return f"{kind}, Python {known.environment.interpreter.version}"


def _known(name: str, state: Path, ledger: State) -> Known:
    """That of an app, or the one whose name begins so."""
    if ledger.app(name).release:
        name = ledger.app(name).placement.environment or BASE
    if name == BASE:
        return catalogue.ours()
    found = [one for one in catalogue.listed(state) if one.name.startswith(name)]
    if len(found) != 1:
        raise UserError(f"{name}: no app of this name, and {len(found) or 'no'} environments whose names begin so")
    return found[0]
