"""The page docs/matrix.md, from what is kept of the three tables. It must not know how a cell was found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from applications import APPLICATIONS
from matrix_gone import GONE
from matrix_record import GOOD, Row, kept
from matrix_run import EVERY

INTRODUCTION = """\
# Servers and applications

Which WSGI server runs which application with Hedgerow, tried by whole sessions: the mount and its redirect, a form with
a token against forged requests, a redirect under the prefix, a count in a cookie, text beyond ASCII in form, query and
path, an upload, a streamed answer, a static file, 404 and an error page. `make matrix` writes the first table and this
page; `tests/matrix/test_matrix.py` runs the light part of it in CI and compares.

✓ is a whole session; ✗ has its reason below the table."""
SERVERS_TEXT = """\
## Servers

Each server runs `hedgerow.wsgi:application`, the apps of the folder that `HEDGEROW_APPS` names. Function, class,
instance, Flask, Django, Pyramid, Falcon and Bottle are side by side in one process; each further application is alone
in one."""
STARTS_TEXT = """\
### How each is started

`HEDGEROW_APPS=/srv/apps` stands in the environment; more is in [gateways](gateways.md)."""
APPLICATIONS_TEXT = """\
## Applications

Each as an app of `hedgerow up`, unchanged."""
FRONTS_TEXT = """\
## Fronts

What stands in front of Hedgerow."""
GONE_TEXT = """\
## What cannot be had any more, or was left behind"""
SHORT = 20


def page() -> str:
    parts = [INTRODUCTION, SERVERS_TEXT, *_servers(kept("servers")), STARTS_TEXT, *_starts()]
    for text, table in ((APPLICATIONS_TEXT, "applications"), (FRONTS_TEXT, "fronts")):
        if rows := kept(table):
            parts += [text, *_plain(rows)]
    gone = [[one.name, one.reason, one.successor] for one in GONE]
    return "\n\n".join([*parts, GONE_TEXT, _table(["", "why", "instead"], gone)]) + "\n"


def _servers(rows: Mapping[str, Row]) -> list[str]:
    """Servers down, applications across; the reasons of the red cells; those of further tables' servers come last."""
    order = [server.name for server in EVERY]
    ordered = sorted(rows.values(), key=lambda row: order.index(row.name) if row.name in order else len(order))
    tried = [one for one in APPLICATIONS if any(one.folder in row.cells for row in ordered)]
    reasons: list[str] = []
    lines = []
    for row in ordered:
        cells = [_mark(row.cells.get(one.folder), reasons) for one in tried]
        lines.append([row.name, row.version, *cells, row.date])
    head = ["server", "version", *(one.title for one in tried), "tried"]
    return [_table(head, lines), *_numbered(reasons)]


def _mark(cell: str | None, reasons: list[str]) -> str:
    if cell is None:
        return "not tried"
    if cell == GOOD:
        return "✓"
    if cell not in reasons:
        reasons.append(cell)
    return f"✗ {reasons.index(cell) + 1}"


def _numbered(reasons: Sequence[str]) -> list[str]:
    return ["\n".join(f"{number}. {reason}" for number, reason in enumerate(reasons, 1))] if reasons else []


def _starts() -> list[str]:
    parts = []
    for server in EVERY:
        kind = "python" if "import " in server.start else "sh"
        text = f"**{server.name}**" + (f": {server.note}" if server.note else "")
        parts.append(f"{text}\n\n```{kind}\n{server.start}\n```")
    others = [row for name, row in kept("servers").items() if name not in {one.name for one in EVERY} and row.note]
    return [*parts, *(f"**{row.name}**: {row.note}" for row in others)]


def _plain(rows: Mapping[str, Row]) -> list[str]:
    """A table whose cells are the same few for each row."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row.cells))
    reasons: list[str] = []
    lines = []
    for row in rows.values():
        lines.append([row.name, row.version, *(_word(row.cells.get(one, ""), reasons) for one in columns)])
        lines[-1] += [row.note, row.date]
    return [_table(["", "version", *columns, "note", "tried"], lines), *_numbered(reasons)]


def _word(cell: str, reasons: list[str]) -> str:
    """What is short stays, a sentence goes below the table."""
    return cell if len(cell) <= SHORT and cell != GOOD else _mark(cell, reasons)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(' '.join(cell.split()).replace('|', '&#124;') for cell in row)} |" for row in rows)
