"""The page docs/corner-cases.md, from cases and verdicts. It must not know how a verdict was found."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterable
from dataclasses import dataclass

from cases import Case
from verdicts import Mark, Verdict
from wire import HANG_S


@dataclass(frozen=True)
class Column:
    server: str
    version: str
    verdicts: dict[str, Verdict]

    def count(self, mark: Mark) -> int:
        return sum(verdict.mark is mark for verdict in self.verdicts.values())


def page(cases: list[Case], columns: list[Column], day: datetime.date) -> str:
    groups = list(dict.fromkeys(case.group for case in cases))
    python = platform.python_version()
    parts = [INTRODUCTION.format(count=len(cases), day=day, python=python, hang=HANG_S), _totals(columns)]
    for group in groups:
        own = [case for case in cases if case.group == group]
        parts += [f"## {group}", _table(own, columns)]
    return "\n\n".join(parts) + "\n"


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _totals(columns: list[Column]) -> str:
    lines = [_row(["", *(column.server for column in columns)]), _row(["---"] * (len(columns) + 1))]
    lines.append(_row(["version", *(column.version for column in columns)]))
    for title, mark in (("✓ right", Mark.RIGHT), ("allowed", Mark.ALLOWED), ("✗ wrong", Mark.WRONG)):
        lines.append(_row([title, *(column.count(mark) for column in columns)]))
    return "\n".join(lines)


def _table(cases: list[Case], columns: list[Column]) -> str:
    head = ["case", "what it is", "RFC, PEP", *(column.server for column in columns)]
    lines = [_row(head), _row(["---"] * len(head))]
    for case in cases:
        cells = [column.verdicts[case.id] for column in columns]
        lines.append(_row([f"`{case.id}`", case.meaning, case.section, *cells]))
    return "\n".join(lines)


INTRODUCTION = """\
# Corner cases, side by side

The same {count} cases, run against each server by `make corners` on {day}, Python {python}. The page is generated from
`tests/peers`; `tests/live/test_corner_cases.py` runs ours in CI and compares the list of cases.

- **✓**: what the standard asks for.
- **two words alone**: something else that it lets a server do: MAY, SHOULD, a robustness exception, closing without an
  answer, or a matter on which it is silent. That is no miss.
- **✗**: a MUST is broken; or bytes outside the grammar are taken for a message (two servers in a row then see two
  different ones); or nothing ever comes; or what comes is not what the app said.

One yardstick for all. Each server has one process and its defaults, as its documents start it
(`tests/peers/servers.py`). "hangs" is nothing within {hang} s on an open connection; "smuggled": a request hidden in
another was run; "went on": the request behind a refused one was run; "process ends": another process serves the next
request, if one does.

What the figures do not say:

- Ours was written with these cases in mind, and its authors chose them. Where a peer's users hit other corners, this
  page does not show it.
- HTTP/1.2: RFC 9110 2.5 would rather have it served as 1.1. We answer 505, since nobody sends it but who looks for a
  difference.
- Ours is stricter than the standard has to be: a bare LF, a folded line, lengths joined in a list, a fragment in the
  target are refused where the RFC allows to repair them. A client that needs one of these is served by a peer.
- A hop-by-hop field of the app is dropped with a warning where PEP 3333 would have start_response raise.
- Most peers expect a proxy in front of them, which refuses much of this before it arrives; uWSGI's own socket says so,
  and it leaves chunked bodies to its own API. gunicorn's parser is the same in all of its workers; gthread is
  shown because sync keeps no connection."""
