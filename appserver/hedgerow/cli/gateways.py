"""`hedgerow cgi` and `hedgerow fastcgi`: an app or a folder of apps for web servers that speak no HTTP to us."""

from __future__ import annotations

import contextlib
import importlib
import socket
import stat
from os import fstat

import click

from ..composite import target as found
from ..composite import to_stderr
from ..config import Settings
from ..control import local
from ..errors import UserError
from ..gateways import cgi as gateway


# Behind TARGET stands what the kernel and the web server append, the script's path and words of the query (RFC 3875,
# 4.4): never options of ours.
@click.command(short_help="One request by CGI.", context_settings={"allow_interspersed_args": False})
@click.argument("target")
@click.argument("ignored", nargs=-1, metavar="", type=click.UNPROCESSED)
def cgi(target: str, ignored: tuple[str, ...]) -> None:
    """Answer one request by CGI with TARGET: the folder of an app, a folder whose sub-folders are apps, or
    module:callable. As a script:

    #!/usr/bin/env -S hedgerow cgi /srv/apps/blog
    """
    gateway.answer(lambda: found(target, Settings.from_env(), to_stderr))


@click.command(short_help="Many requests by FastCGI.")
@click.argument("target")
@click.option(
    "--bind", default="", help="Where to listen: HOST:PORT or unix:PATH (default descriptor 0, if it listens)."
)
@click.option(
    "--threads", default=8, show_default=True, type=click.IntRange(1, 1000), help="Requests that run at once."
)
def fastcgi(target: str, bind: str, threads: int) -> None:
    """Serve TARGET by FastCGI, in threads of one process: the folder of an app, a folder whose sub-folders are apps, or
    module:callable. Ends on SIGTERM, when it has answered what it has begun.
    """
    settings = Settings.from_env()
    try:
        server = importlib.import_module("hedgerow.gateways.fastcgi")
    except ModuleNotFoundError as error:
        raise UserError(f"fastcgi needs {error.name}: pip install hedgerow[fastcgi]") from error
    listener, shown = _listener(bind)
    application = found(target, settings, to_stderr)
    click.echo(f"{target} by FastCGI on {shown} (Ctrl-C ends it)", err=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve(application, listener, threads, settings.drain_s)


def _listener(bind: str) -> tuple[socket.socket, str]:
    if bind:
        listener, _, shown = local.bind(bind)
        return listener, shown.removeprefix("http://").rstrip("/")
    if not stat.S_ISSOCK(fstat(0).st_mode):
        raise UserError("fastcgi: descriptor 0 is no socket; --bind HOST:PORT or --bind unix:PATH is wanted")
    return socket.socket(fileno=0), "descriptor 0"
