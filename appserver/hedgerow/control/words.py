"""What the lines of a worker or a server say of why it failed, or of its app. Nothing is started or read here."""

from __future__ import annotations

from . import logs
from .step import clip


def _parsed(lines: list[str]) -> list[logs.Line]:
    noise = "Extension modules:"  # the last line of a stack that Python's faulthandler writes
    return [logs.parse(text, "trial", 0.0) for text in lines if not text.startswith(noise)]


def traceback(lines: list[str]) -> str:
    """The last one that the worker has logged."""
    found = [line.fields["traceback"] for line in _parsed(lines) if line.fields.get("traceback")]
    return str(found[-1]) if found else ""


def last_words(lines: list[str]) -> str:
    """What tells most of a process that has died: the stack that Python wrote, else what was logged, else the rest."""
    found = [line.text for line in _parsed(lines) if not line.fields]
    fatal = next((number for number, text in enumerate(found) if text.startswith("Fatal Python error")), None)
    dump = "" if fatal is None else "\n".join(found[fatal:])
    return dump or traceback(lines) or "\n".join(found) or said(lines)


def said(lines: list[str]) -> str:
    """What the app has printed."""
    return "\n".join(str(line.fields.get("message")) for line in _parsed(lines) if line.fields.get("kind") == "app")


def own(app: str, lines: list[str]) -> tuple[str, ...]:
    """The app's own lines of the worker's log."""
    found = [line for line in _parsed(lines) if not line.fields or line.fields.get("app") == app]
    return tuple(clip(str(line.fields.get("message", line.text))) for line in found)
