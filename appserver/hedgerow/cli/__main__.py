"""`python -m hedgerow.cli`, for processes that have no `hedgerow` on their PATH."""

from . import main

main(prog_name="hedgerow")
