"""`hedgerow logs`: what apps, workers and the front wrote, of all replicas, in time order."""

from __future__ import annotations

import collections
import io
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import IO, NoReturn

import click

from ..config import Settings
from ..control import logs as log_files
from ..control.logs import Line
from .options import setting
from .printable import printable

POLL_S = 0.2
ACCESS = "{method} {path} {status} {bytes} B {ms} ms"
FRONT = "{request} {status} {bytes_sent} B {seconds} s, {upstream_addr}"


@click.command(short_help="What apps, workers and front wrote.")
@click.argument("app", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=200, show_default=True, help="How many to begin with; 0: all."
)
@click.option("--raw", is_flag=True, help="The JSON lines as they were written.")
@click.option("--replica", help="Only this replica's.")
@click.option("--to", type=click.Path(path_type=Path), hidden=True, help="Append to this file, from this start on.")
@setting("state")
def logs(
    app: str | None, follow: bool, lines: int, raw: bool, replica: str | None, to: Path | None, state: Path | None
) -> None:
    """Print the lines of all replicas, or those of APP."""
    settings = Settings.from_env(state=state)
    folder = settings.state / "logs"
    if to:
        with open(to, "a", encoding="utf-8", errors="backslashreplace") as out:
            began = _began(settings)
            _follow(out, log_files.Follower(folder, replica, began), app, raw, began)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    follower = log_files.Follower(folder, replica) if follow else None
    known = (line for line in log_files.history(folder, replica) if _concerns(line, app))
    for line in collections.deque(known, lines or None):
        print(_shown(line, raw))
    sys.stdout.flush()
    if follower:
        _follow(sys.stdout, follower, app, raw, 0.0)


def _began(settings: Settings) -> float:
    """When this replica's supervisord started: older lines are those of a run before."""
    pid_file = settings.run / "supervisord.pid"
    return pid_file.stat().st_mtime if pid_file.exists() else time.time()


def _follow(out: IO[str], follower: log_files.Follower, app: str | None, raw: bool, since: float) -> NoReturn:
    while True:
        for line in follower.poll():
            if line.time >= since and _concerns(line, app):
                print(_shown(line, raw), file=out)
        out.flush()
        time.sleep(POLL_S)


def _concerns(line: Line, app: str | None) -> bool:
    return app is None or line.fields.get("app") == app


def _shown(line: Line, raw: bool) -> str:
    if raw:
        return line.text
    if not line.fields:
        return printable(line.text)
    fields = line.fields
    who = str(fields.get("app") or fields.get("source") or fields.get("kind", ""))
    shape = {"access": ACCESS, "front": FRONT}.get(str(fields.get("kind") or fields.get("source")), "{message}")
    what = shape.format_map(collections.defaultdict(lambda: "-", fields))
    level = "" if fields.get("level", "info") == "info" else f"{fields['level']}: "
    when = datetime.fromtimestamp(line.time).astimezone().strftime("%H:%M:%S.%f")[:-3]
    text = printable(f"{when} {line.source:<8} {who:<12} {level}{what}")
    trace = str(fields.get("traceback") or "").rstrip()
    return text + "".join(f"\n    {printable(row)}" for row in trace.splitlines())
