"""Loads the apps in the folders it is given into one process, asks each twice, and tells what was found as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

from hedgerow.config import Settings
from hedgerow.hosting.app import HostedApp, load_app


def ask(app: HostedApp) -> str:
    """What it answers, or what it raises."""
    environ: dict[str, Any] = {"PATH_INFO": "/", "SCRIPT_NAME": "", "REMOTE_ADDR": "127.0.0.1"}
    setup_testing_defaults(environ)
    told: list[str] = []

    def request() -> str:
        assert app.application is not None
        chunks = app.application(environ, lambda status, headers, exc_info=None: told.append(status))
        try:
            return b"".join(chunks).decode()
        finally:
            getattr(chunks, "close", lambda: None)()

    try:
        body = app.context.copy().run(request)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return body if told[0].startswith("200") else told[0]


def told(app: HostedApp, loaded: int, answers: list[str]) -> dict[str, Any]:
    findings = [[each.cause, each.sentence] for each in app.findings]
    error = app.error.sentence if app.error else ""
    return {"error": error, "loaded": findings[:loaded], "served": findings[loaded:], "answers": answers}


def main(folders: list[str]) -> None:
    apps = [load_app(Path(folder).name, Path(folder), Settings()) for folder in folders]
    loaded = [len(app.findings) for app in apps]
    answers = [[ask(app) for app in apps if app.error is None] for _ in range(2)]
    found, place = {}, 0
    for app, count in zip(apps, loaded, strict=True):
        own = [] if app.error is not None else [round_[place] for round_ in answers]
        place += app.error is None
        found[app.name] = told(app, count, own)
    sys.__stdout__.write(json.dumps(found))  # type: ignore[union-attr]


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        main(sys.argv[1:])
    sys.__stdout__.flush()  # type: ignore[union-attr]
    os._exit(0)  # whatever threads the libraries have left
