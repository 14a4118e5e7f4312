"""What the portability matrix found, kept in a file for each row, and the page docs/matrix.md made of them.

A run writes the rows that it ran; `make matrix` writes the page, and with MATRIX=--page nothing else. A test compares
both with what it finds itself, so the page cannot say what is not so.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[2] / "docs" / "matrix.md"
GOOD = "yes"


@dataclass(frozen=True)
class Row:
    """One server, application or front. cells: what was tried → GOOD, or why it does not work, in one sentence.

    note: what somebody who uses it has to know, '' if nothing.
    """

    name: str
    version: str
    cells: Mapping[str, str]
    note: str = ""
    date: str = ""


def keep(table: str, row: Row) -> None:
    """Writes the row of `servers`, `applications` or `fronts`, with today's date."""
    path = RESULTS / table / f"{re.sub('[^a-z0-9]+', '-', row.name.lower()).strip('-')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    dated = asdict(row) | {"date": datetime.date.today().isoformat()}
    path.write_text(json.dumps(dated, indent=1, ensure_ascii=False) + "\n", "utf-8")


def kept(table: str) -> dict[str, Row]:
    """All rows of a table by name, in the order of their names."""
    rows = [Row(**json.loads(path.read_text("utf-8"))) for path in sorted((RESULTS / table).glob("*.json"))]
    return {row.name: row for row in rows}
