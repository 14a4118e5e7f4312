"""What apps say, made fit for a terminal: it must not be told what to do by a message or a name."""

from __future__ import annotations

import re
from collections.abc import Sequence

# C0 but the tab, DEL, C1; and lone surrogates, which cannot be encoded.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text with each control character written as Python would: `\n`, `\x1b`."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Columns under their heads."""
    cells = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    return "".join("  ".join(row).rstrip() + "\n" for row in padded)
