"""What an app's author is shown of its failure while it is developed: the app's own lines, then the whole traceback.

Nothing but the traceback and the lines around it: no variables, no environment, nothing that runs. It knows no status
and no headers.
"""

from __future__ import annotations

import linecache
import re
from html import escape

from ..errors import Place
from .failure import Failure

AROUND = 3  # lines before and after
MAX_PLACES = 8
MAX_CHARS = 50_000
MAX_LINE_CHARS = 400

STYLE = """
main{max-width:60rem;padding-top:6vh}h2{font-size:1rem;margin:2rem 0 .5rem;overflow-wrap:anywhere}
.what{font-weight:600;color:var(--down);white-space:pre-wrap}summary{margin:2rem 0 .5rem;font-weight:600;cursor:pointer}
pre{margin:0;padding:.8rem 1rem;border:1px solid var(--line);border-radius:.4rem;overflow-x:auto;
font:14px/1.6 ui-monospace,monospace}
pre b{display:inline-block;min-width:100%;background:color-mix(in srgb,var(--down) 18%,transparent)}
pre i{display:inline-block;min-width:2.5em;margin-right:1em;text-align:right;font-style:normal;color:var(--soft)}
"""
# All control characters but tab and line feed: a terminal must not be told what to do by a message.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def html(note: str, failure: Failure) -> str:
    """The body of a page, all of it escaped."""
    places = "".join(map(_place, failure.places[:MAX_PLACES]))
    opened = "" if places else " open"
    whole = f"<details{opened}><summary>Traceback</summary><pre>{escape(_cut(failure.traceback))}</pre></details>"
    return (
        f'<p class="what">{escape(failure.sentence)}</p><p class="soft">{escape(note)}</p>'
        f"{places}{whole if failure.traceback else ''}"
    )


def text(status: str, note: str, failure: Failure) -> str:
    """The same for a terminal; the traceback tells the places itself."""
    told = f"{status}\n{failure.sentence}\n{note}\n\n{_cut(failure.traceback)}".rstrip("\n") + "\n"
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], told)


def _place(place: Place) -> str:
    where = f"line {place.line}, in {place.function}" if place.function else f"line {place.line}"
    rows = "\n".join(_row(number, line, number == place.line) for number, line in _lines(place))
    return (
        f'<h2>{escape(place.name)} <span class="soft">{escape(where)}</span></h2>{f"<pre>{rows}</pre>" if rows else ""}'
    )


def _row(number: int, line: str, is_it: bool) -> str:
    row = f"<i>{number}</i>{escape(line.rstrip()[:MAX_LINE_CHARS])}"
    return f"<b>{row}</b>" if is_it else row


def _lines(place: Place) -> list[tuple[int, str]]:
    linecache.checkcache(place.path)
    lines = linecache.getlines(place.path)
    first = max(1, place.line - AROUND)
    return list(enumerate(lines[first - 1 : place.line + AROUND], first))


def _cut(told: str) -> str:
    if len(told) <= MAX_CHARS:
        return told
    half = MAX_CHARS // 2
    return f"{told[:half]}\n… {len(told) - 2 * half} characters …\n{told[-half:]}"
