"""The list of verbs."""

from __future__ import annotations

import click

from .. import __version__
from .app import app
from .check import check
from .deploy import deploy, deploys, pool, releases, rollback
from .env import env
from .exec import execute
from .front import front
from .gateways import cgi, fastcgi
from .logs import logs
from .options import Group
from .replica import healthy, replica
from .serve import serve
from .status import status
from .up import down, up


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hedgerow")
def main() -> None:
    """Many Python web apps, side by side, on greenlets, behind one nginx."""


for verb in (
    serve,
    cgi,
    fastcgi,
    up,
    down,
    status,
    logs,
    check,
    app,
    execute,
    deploy,
    rollback,
    pool,
    env,
    front,
    releases,
    deploys,
    replica,
    healthy,
):
    main.add_command(verb)
