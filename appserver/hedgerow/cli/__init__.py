"""The command line: one verb a file. A verb composes what others decide; a mistake is one sentence, exit status 2."""

from __future__ import annotations

from .group import main

__all__ = ["main"]
