"""`hedgerow deploy`, `rollback`, `releases`, `deploys`: orders to the replicas, and history."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from ..config import Settings
from ..control import layout, orders
from ..control.entries import ROLLBACK, AppState, Deploy, State
from ..control.ledger import Ledger
from ..control.orders import Order, Orders
from ..control.placement import AUTO, OWN, SHARED
from ..control.records import read_records
from ..control.releases import kept
from ..errors import HedgerowError, UserError
from .options import setting
from .printable import printable, table

POLL_S = 0.1
WAIT_S = 900.0


class Percent(click.ParamType[float]):
    """A number above 0 and up to 100, with or without its sign."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As click calls it."""
        try:
            percent = float(str(value).removesuffix("%"))
        except ValueError:
            percent = 0.0
        if not 0 < percent <= 100:
            self.fail(f"{value!r}: a percentage such as 10% is wanted", param, ctx)
        return percent


waits = click.option("--wait", is_flag=True, help="Wait for the outcome; the exit status tells.")
timed = click.option("--timeout", default=WAIT_S, show_default=True, help="How long --wait waits, in seconds.")


@click.command(short_help="Deploy what an app's folder holds, also if it was refused.")
@click.argument("app")
@click.option("--canary", type=Percent(), help="The part of its clients that has it first; 100%: all at once.")
@waits
@timed
@setting("state")
def deploy(app: str, canary: float | None, wait: bool, timeout: float, state: Path | None) -> None:
    """Deploy what APP's folder holds now. Changes are deployed by themselves; this tries again what has failed, and
    gives a canary to all clients.
    """
    command(orders.DEPLOY, app, "", wait, timeout, Settings.from_env(state=state), share=canary)


@click.command(short_help="Go back to an earlier release.")
@click.argument("app")
@click.argument("release", required=False, default="")
@waits
@timed
@setting("state")
def rollback(app: str, release: str, wait: bool, timeout: float, state: Path | None) -> None:
    """Go back to RELEASE of APP, or to the one that was live before. What the folder holds stays refused until it
    changes, or until `hedgerow deploy`.
    """
    settings = Settings.from_env(state=state)
    if release:
        release = _known(settings, app, release)
    command(ROLLBACK, app, release, wait, timeout, settings)


@click.command(short_help="In which pool an app runs.")
@click.argument("app")
@click.argument("pool", type=click.Choice([OWN, SHARED, AUTO]))
@waits
@timed
@setting("state")
def pool(app: str, pool: str, wait: bool, timeout: float, state: Path | None) -> None:
    """Let APP run in a pool of its own, or share the workers of the addresses, whatever speaks for or against it. With
    auto it is found out anew.
    """
    command(orders.POOL, app, "", wait, timeout, Settings.from_env(state=state), pool)


@click.command(short_help="The releases of an app that can be gone back to.")
@click.argument("app")
@setting("state")
def releases(app: str, state: Path | None) -> None:
    """List the releases of APP that are kept, the newest first."""
    settings = Settings.from_env(state=state)
    known = _app(Ledger(settings.state).read(), app)
    rows = []
    for name in kept(settings.state, app):
        last = next((one for one in known.deploys if one.release == name), None)
        word = {known.release: "live", known.refused: "refused", known.previous: "previous"}.get(name, "")
        rows.append((name, word, _when(last.began) if last else "-", last.outcome if last else "-"))
    if not rows:
        raise HedgerowError(f"{app}: no release of it is kept in {settings.state}")
    click.echo(table(("RELEASE", "IS", "DEPLOYED", "OUTCOME"), rows), nl=False)
    data = settings.state / "data" / app
    if data.is_dir():
        click.echo(f"its data: {printable(str(data))}")


@click.command(short_help="What became of the last deploys.")
@click.argument("app", required=False, default="")
@setting("state")
def deploys(app: str, state: Path | None) -> None:
    """List the last deploys, of APP or of all apps, the newest first, with the reason of each that came to nothing."""
    ledger = Ledger(Settings.from_env(state=state).state).read()
    apps = {app: _app(ledger, app)} if app else ledger.apps
    found = [(one, name) for name, known in apps.items() for one in known.deploys]
    found.sort(key=lambda pair: (pair[0].number, pair[1]), reverse=True)
    rows = [(str(one.number), _when(one.began), name, *_told(one)) for one, name in found]
    click.echo(table(("NUMBER", "BEGAN", "APP", "RELEASE", "BY", "OUTCOME", "TOOK", "REASON"), rows), nl=False)
    if app and found and found[0][0].traceback:
        click.echo("".join(f"    {printable(row)}\n" for row in found[0][0].traceback.rstrip().splitlines()), nl=False)


def command(
    what: str,
    app: str,
    release: str,
    wait: bool,
    timeout: float,
    settings: Settings,
    pool: str = "",
    share: float | None = None,
) -> None:
    """Give an order, and wait for its answer if that is wanted."""
    if not any(not record["stale"] for record in read_records(settings.state)):
        raise HedgerowError(f"nothing runs on {settings.state}; a running replica does what is asked")
    given = Orders(settings.state)
    order = given.give(what, app, release, pool, share)
    if not wait:
        click.echo(f"asked; `{_tells(app)}` tells what becomes of it")
        return
    answer = _answer(given, order, timeout)
    click.echo(printable(answer.answer), err=not answer.done)
    given.remove(order.number)
    sys.exit(0 if answer.done else 1)


def _answer(given: Orders, order: Order, timeout: float) -> Order:
    """Poll until it is answered, and tell how far it is."""
    end, told = time.monotonic() + timeout, False
    while time.monotonic() < end:
        found = given.get(order.number)
        if found is not None and found.done is not None:
            return found
        if found is not None and found.accepted and not told:
            told = True
            click.echo("accepted", err=True)
        time.sleep(POLL_S)
    raise HedgerowError(
        f"{order.app or order.what}: no outcome within {timeout:.0f} s; `{_tells(order.app)}` tells more later"
    )


def _tells(app: str) -> str:
    return f"hedgerow deploys {printable(app)}".rstrip()


def _app(ledger: State, app: str) -> AppState:
    if app not in ledger.apps:
        raise UserError(f"{app}: no such app was ever deployed")
    return ledger.apps[app]


def _known(settings: Settings, app: str, release: str) -> str:
    """The whole name of a release that is told by its beginning."""
    found = [name for name in kept(settings.state, app) if name.startswith(release)]
    if len(found) != 1 or not layout.code(settings.state, app, found[0]).is_dir():
        raise UserError(f"{app}: {len(found) or 'no'} release{'s' if len(found) > 1 else ''} that begin with {release}")
    return found[0]


def _told(one: Deploy) -> tuple[str, ...]:
    outcome = one.outcome or "rolling"
    if one.step:
        outcome += f" at {one.step}"
    why = "; ".join(filter(None, (one.reason or one.placement.reason, one.figures)))
    return one.release or "-", one.cause, outcome, f"{sum(one.steps.values()):.1f} s", why


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else "-"
