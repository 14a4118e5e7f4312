"""`hedgerow serve`: one process in the foreground, without supervisor and nginx."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from ..config import Settings
from ..control import local, process
from ..control.foreground import DEVELOPMENT, Foreground
from ..control.plan import Plan, plan_path, write_plan
from ..control.sources import FolderSource, ModuleSource, Source
from ..errors import UserError
from .options import setting
from .printable import printable

CALLABLE = re.compile(r"[\w.]+:[\w.]+")


@click.command(short_help="One process in the foreground.")
@click.argument("target")
@click.option("--bind", default="127.0.0.1:8000", show_default=True, help="Where to listen: HOST:PORT or unix:PATH.")
@click.option("--reload", is_flag=True, help="Load again when a file changes, and show errors with their traceback.")
@setting("state")
def serve(target: str, bind: str, reload: bool, state: Path | None) -> None:
    """Serve TARGET in one process: a folder whose sub-folders are apps, or module:callable."""
    state = Settings.from_env(state=state).state
    local.make_state(state)
    settings = Settings.from_env(state=state)
    mode = DEVELOPMENT if reload else {"show_errors": False}
    settings = Settings.from_env(state=state, run=settings.run / "serve", apps=Path(target), **mode)
    local.make_run(settings.run.parent)
    local.make_run(settings.run)
    source = _source(target, settings)
    listener, address, shown = local.bind(bind)
    click.echo(f"{source.describe()} on {shown} (Ctrl-C ends it)", err=True)
    for remark in source.remarks():
        click.echo(printable(remark), err=True)
    if reload:
        os.environ.setdefault("FLASK_DEBUG", "1")  # otherwise Flask keeps a request's exception to itself
        Foreground(settings, source, listener, address, lambda line: click.echo(line, err=True)).run()
        return
    write_plan(plan_path(settings.run, address), Plan(address).with_entry("a", source.take()))
    os.environ.update(settings.to_env())
    os.dup2(listener.fileno(), 0)
    worker = process.worker(settings.run, address, "a")
    os.execv(worker[0], worker)


def _source(target: str, settings: Settings) -> Source:
    if Path(target).is_dir():
        return FolderSource(settings, len(local.check_apps(settings.apps)))
    if CALLABLE.fullmatch(target):
        return ModuleSource(target, Path.cwd())
    if os.sep in target or ":" not in target:
        local.check_apps(Path(target))
    raise UserError(f"{target}: neither a folder whose sub-folders are apps nor module:callable")
