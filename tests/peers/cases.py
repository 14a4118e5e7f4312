"""What a corner case is. It must not know any case, nor any server."""

from __future__ import annotations

from dataclasses import dataclass

from verdicts import Judge
from wire import Step


@dataclass(frozen=True)
class Case:
    """One case: what is sent, and who judges what comes.

    methods: of the requests that are answered, in order; keeps: whether the connection stays open behind them;
    awaits: a note of the app that may come late.
    """

    id: str
    group: str
    meaning: str
    section: str
    steps: tuple[Step, ...]
    judge: Judge
    methods: tuple[str, ...] = ("GET",)
    keeps: bool = False
    awaits: str = ""
