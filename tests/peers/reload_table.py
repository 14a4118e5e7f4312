"""The page docs/reloads.md, from cases and results. It must not know how a result was found."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence

from reload_cases import Case, Result
from reload_servers import Way

FAILURE = re.compile(r"""ValueError\(['"](\d{3}) |(TimeoutError)""")


def table(case: Case, rows: Mapping[Way, Sequence[Result]]) -> str:
    """One row a server; results of all rounds together."""
    head, cells = (BROKEN_HEAD, _broken) if case.breaks else (RELOADED_HEAD, _reloaded)
    columns = ["server", "brought by", "requests", "failed", *head]
    lines = [_row(columns), _row(["---", "---", *["---:"] * (len(columns) - 2)])]
    for way, results in rows.items():
        counts = [f"{sum(getattr(one, name) for one in results):,}" for name in ("requests", "failed")]
        lines.append(_row([way.name, way.how, *counts, *cells(results)]))
    return "\n".join(lines)


def page(setup: str, tables: Mapping[Case, str]) -> str:
    parts = [INTRODUCTION, setup]
    for case, text in tables.items():
        parts += [f"## `{case.id}`: {case.meaning}", text]
    return "\n\n".join([*parts, REMARKS])


RELOADED_HEAD = ["slowest request, s", "first new answer, s", "last old answer, s"]
BROKEN_HEAD = ["the old release answers", "clients then get", "the reason is told"]


def _reloaded(results: Sequence[Result]) -> list[str]:
    first = [value for one in results for value in one.first_new_s]
    last = [value for one in results for value in one.last_old_s]
    return [f"{max(one.longest_s for one in results):.1f}", _median(first), _median(last)]


def _broken(results: Sequence[Result]) -> list[str]:
    silent = [one.silent_after_s for one in results if one.silent_after_s is not None]
    throughout = "with gaps" if any(one.failed for one in results) else "throughout"
    answers = f"for {min(silent):.1f} s" if silent else throughout
    kinds = {kind(failure) for one in results for failure in one.failures}
    told = sum(one.told for one in results)
    return [
        answers,
        ", ".join(sorted(kinds)) or "–",
        "yes" if told == len(results) else f"{told} of {len(results)} times",
    ]


def kind(failure: str) -> str:
    """What a client got instead of an answer: a status, or its own time-out, or else."""
    found = FAILURE.search(failure)
    if found is None:
        return "a broken connection or answer"
    return found[1] or "nothing for 60 s"


def _median(values: Sequence[float]) -> str:
    """And the longest, where it is another one."""
    median, longest = f"{statistics.median(values):.1f}", f"{max(values):.1f}"
    return (median if median == longest else f"{median} ({longest})").replace("inf", "never")


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


INTRODUCTION = """\
# Reloads, side by side

New code is brought to a server while twelve clients are busy. `make reloads` tells what they notice (about 16 minutes);
`make reloads RELOADS=--write` writes this page. `tests/live/test_reloads.py` runs ours in CI and compares the lists of
cases and servers.

- **Servers**: two workers each, behind nginx with the files of this repository. Ours is `hedgerow up`. gunicorn listens
  at two addresses, so that nginx has another one to turn to; Granian has one port. They have their defaults (but
  gthread 16 threads, and gunicorn keeps a connection for 75 s) and are reloaded as their documents say. With USR2 a
  second gunicorn loads the app; the script waits until that one has its workers, then ends the first.
  `--respawn-interval` is how long Granian waits between the start of a new worker and the end of an old one; its
  maintainer's advice is to know how long the app takes. Granian's documents ask for `tcp_migrate_req`.
- **Clients**: those of our own tests (`tests/stack/deploy_client.py`): GET, POST, PUT, PATCH, DELETE, bodies of 100
  bytes and of 1 MB, answers that begin after 1 s or take 1.2 s. Each answer is checked to the last byte, nothing is
  sent twice, and after 60 s a client gives up.
- **Figures**: seconds since the file was changed, which the signal follows at once; medians, the longest in brackets.
  A broken release is watched for 15 s. "for 1.5 s": the last right answer came then, in the worst round. "the reason is
  told": by `hedgerow deploys`, or in the server's log."""

REMARKS = """\
## What the figures do not say

- Nobody lost a request of the slow app, and ours is the slowest to give a first answer by new code: it loads the
  release once to try it, then at one address after the other, so an import of 3 s is waited for three times. gunicorn
  loads it in all workers at once and is done in 3 s.
- gunicorn ends its old workers on HUP before the new ones have loaded, so what arrives in those 3 s waits in the
  kernel's queue: see the slowest request. More clients than that queue holds, or a longer import, were not tried.
- gunicorn with `--preload` and USR2 does all that ours does here, and sooner; whoever runs it writes the script that
  waits and decides. `--preload` with HUP goes on with the old code, as its documents say, and is not shown.
- The number of failed requests behind a broken release is that of our clients' pace, not of yours. A gunicorn whose app
  cannot be imported ends, as Granian does, and a supervisor that starts it anew starts the broken release. A gunicorn
  whose app exits at its import with status 1 starts workers again and again, and nobody answers.
- The app is one file. Of an app of many files, peers load what the folder holds at that moment, also when a worker
  ends by itself while files are copied; they leave releases to who deploys. That is not measured here.
- uWSGI, two services that take turns behind nginx, and containers that replace each other were not tried.
- Clients, nginx and workers share two cores: the counts of requests tell nothing about speed.
"""
