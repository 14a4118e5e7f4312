"""`make matrix`: runs the servers table, keeps what it found, and writes docs/matrix.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE), str(HERE.parent / "neighbours")]

import matrix_page  # noqa: E402 - the path above leads to them
import matrix_run  # noqa: E402
from matrix_record import PAGE  # noqa: E402


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    every = [*matrix_run.LIGHT, *(one.folder for one in matrix_run.others())]
    parser.add_argument("--servers", nargs="+", default=[one.name for one in matrix_run.EVERY], help="by their names")
    parser.add_argument("--applications", nargs="+", default=every, help="by the names of their folders")
    parser.add_argument("--page", action="store_true", help="only write the page from what is kept")
    chosen = parser.parse_args(arguments)
    if not chosen.page:
        some = [one for one in matrix_run.EVERY if one.name in chosen.servers]
        matrix_run.everything(some, chosen.applications, print)
    PAGE.write_text(matrix_page.page(), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
