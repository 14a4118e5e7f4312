"""`hedgerow replica` and `hedgerow healthy`: what a container runs and how it is asked for its health."""

from __future__ import annotations

import os
import sys
import time

import click

from ..config import Settings
from ..control import local, logs, process, stack, supervisor
from ..control.agreement import NoFront, disagreement, front_addresses
from ..errors import UserError

FRONT_ANSWERS_S = 5.0


@click.command(hidden=True)
def replica() -> None:
    """Become the supervisord of a replica in a container; all options come from the environment."""
    settings = Settings.from_env()
    local.make_state(settings.state)
    local.make_run(settings.run)
    local.check_writable(supervisor.log_folder(settings))
    if settings.front:
        _ask_front(settings)
    configuration = stack.prepare(settings, copy_stdout=True)
    os.environ.update(settings.to_env())
    process.raise_descriptors()
    command = stack.supervisord(configuration)
    os.execv(command[0], command)


def _ask_front(settings: Settings) -> None:
    """Refuse to start beside a front that disagrees. A front that is not there is asked later, by the deployer."""
    end = time.monotonic() + FRONT_ANSWERS_S
    try:
        while (count := front_addresses(settings.front)) is None:
            if time.monotonic() > end:
                line = f"the front at {settings.front} does not answer yet; starting without having asked it"
                print(logs.written("deployer", "info", line), file=sys.stderr, flush=True)
                return
            time.sleep(0.2)
    except NoFront:
        return
    if sentence := disagreement(settings, count):
        raise UserError(sentence)


@click.command(hidden=True)
def healthy() -> None:
    """Exit with 0 when every address of this replica has a worker that is ready."""
    trouble = stack.is_healthy(Settings.from_env())
    if trouble:
        click.echo(trouble, err=True)
        sys.exit(1)
