"""`hedgerow replica` and `hedgerow healthy`: what a container runs and how it is asked for its health."""

from __future__ import annotations

import http.client
import os
import sys
import time

import click

from ..config import Settings
from ..control import local, process, stack
from ..control.deployer import log
from ..errors import UserError

FRONT_ANSWERS_S = 5.0


@click.command(hidden=True)
def replica() -> None:
    """Become the supervisord of a replica in a container; all options come from the environment."""
    settings = Settings.from_env()
    local.make_state(settings.state)
    local.make_run(settings.run)
    if settings.front:
        _ask_front(settings)
    configuration = stack.prepare(settings, copy_stdout=True)
    os.environ.update(settings.to_env())
    process.raise_descriptors()
    command = stack.supervisord(configuration)
    os.execv(command[0], command)


def _ask_front(settings: Settings) -> None:
    """An address without a listener attracts nginx, so a replica with another number of addresses must not start."""
    end = time.monotonic() + FRONT_ANSWERS_S
    while (count := _addresses(settings.front)) is None:
        if time.monotonic() > end:
            log("info", f"the front at {settings.front} does not answer yet; starting without having asked it")
            return
        time.sleep(0.2)
    if count != settings.workers:
        raise UserError(
            f"HEDGEROW_WORKERS={settings.workers} here, but the front balances over {count} addresses a replica: "
            "give both the same number"
        )


def _addresses(front: str) -> int | None:
    host, _, port = front.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"HEDGEROW_FRONT={front}: HOST:PORT is wanted")
    connection = http.client.HTTPConnection(host, int(port), timeout=2)
    try:
        connection.request("GET", "/addresses")
        answer = connection.getresponse()
        return int(answer.read()) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


@click.command(hidden=True)
def healthy() -> None:
    """Exit with 0 when every address of this replica has a worker that is ready."""
    trouble = stack.is_healthy(Settings.from_env())
    if trouble:
        click.echo(trouble, err=True)
        sys.exit(1)
