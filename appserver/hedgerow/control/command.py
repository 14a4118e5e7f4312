"""Commands of an app: in its release, with its data and variables. `hedgerow exec` and the steps of a deploy run them.

The release hook is such a command and nothing more, so it is here; a check is a part of a trial.
"""

from __future__ import annotations

import os
import shlex
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

from ..config import Settings
from ..errors import LoadError, UserError
from ..hosting.discovery import NAMES, Entry, find_entry
from ..hosting.manifest import read_manifest
from ..hosting.secret_file import read_secrets
from . import process
from .child import Cancelled, Child, Clock, TimeOver, told
from .step import LIMITS_S, Outcome, StepFailed, Steps, clip


def environment(
    app: str, code: Path, settings: Settings, base: Mapping[str, str], environment: str = ""
) -> dict[str, str]:
    """The variables of a command, secret ones too. environment: whose Python and commands come first. PWD is where it
    runs: beside a package, or inside a folder of plain files.
    """
    manifest = read_manifest(code)
    python = process.interpreter(settings.state, environment)
    base = {**base, **manifest.env, **read_secrets(settings.secrets, app)}
    try:
        entry = find_entry(code, manifest)
    except LoadError:
        entry = Entry("", (), "")  # a command may be what puts it right
    place, module = entry.place(code)
    named = "" if entry.names == NAMES or not entry.names else f":{entry.names[0]}"
    added = {
        "PWD": str(place),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(place), base.get("PYTHONPATH", "")))),
        "PYTHONDONTWRITEBYTECODE": "1",  # a release is read-only
        "PATH": os.pathsep.join((str(Path(python).parent), base.get("PATH", os.defpath))),
        "HEDGEROW_APP": app,
        "HEDGEROW_APP_DATA": str(settings.state / "data" / app),
    }
    if module:
        added["FLASK_APP"] = base.get("FLASK_APP") or module + named
    return dict(base) | added


def base_environment(settings: Settings) -> dict[str, str]:
    """The variables that what we start of an app has in common: its trial's worker, its hook."""
    return process.scrubbed(os.environ, settings.pass_env) | settings.to_env()


def run_step(app: str, key: str, line: str, environ: Mapping[str, str], clock: Clock) -> list[str]:
    """Runs the command line that the manifest has under `key`: the last lines that it wrote.

    Raises StepFailed unless it ends with exit status 0, and Cancelled. In each case nothing of it is left.
    """
    which = f"{app}: {key} = {line!r}"
    child = _start(which, shlex.split(line), environ)
    try:
        while not child.ended:
            clock.pause()
    except TimeOver as over:
        child.end()
        raise StepFailed(f"{which} does not end {over.within}", "\n".join(child.lines)) from over
    finally:
        status = child.end()
    if status != 0:
        raise StepFailed(f"{which} ends with {told(status)}", "\n".join(child.lines))
    return child.lines


def _start(which: str, words: list[str], environ: Mapping[str, str]) -> Child:
    """There is no shell, but a `NAME=value` before the command is a variable, as there."""
    place = Path(environ["PWD"])
    name = next((word for word in words if "=" not in word), words[0])
    if shutil.which(str(place / name) if "/" in name else name, path=environ["PATH"]) is None:
        raise StepFailed(f"{which}: there is no command {name!r}")
    return Child(*apart(words, environ), place)


def apart(words: list[str], environ: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The command and the environment for what ties it to us. The app's modules are for the command alone: an app with
    a signal.py must not be what ties it.
    """
    ours = {key: value for key, value in environ.items() if key != "PYTHONPATH"}
    if path := os.environ.get("PYTHONPATH"):
        ours["PYTHONPATH"] = path
    return ["env", f"PYTHONPATH={environ['PYTHONPATH']}", *words], ours


def run_hook(
    app: str,
    code: Path,
    settings: Settings,
    cancel: threading.Event | None = None,
    limits_s: Mapping[str, float] = LIMITS_S,
    python: str = "",
) -> Outcome:
    """Runs the release hook `deploy.before`, if the app has one. cancel: set from outside, it ends it within a second;
    python: the environment that it runs in.

    Raises UserError when it is not the release that keeps the hook from being run.
    """
    try:
        deploy = read_manifest(code).deploy
    except UserError as mistake:
        return Outcome("hook", str(mistake))
    if deploy.before is None:
        return Outcome("hook")
    steps = Steps("hook", cancel, limits_s, deploy.timeout_s)
    reason, traceback, lines = "", "", list[str]()
    try:
        with steps.step("hook") as clock:
            environ = environment(app, code, settings, base_environment(settings), python)
            lines = run_step(app, "deploy.before", deploy.before, environ, clock)
    except StepFailed as failed:
        reason, traceback = failed.reason, failed.traceback
    except Cancelled:
        reason = f"{app}: the hook was called off"
    except OSError as error:
        raise UserError(f"{app}: its hook cannot be run: {error}") from error
    return Outcome("hook", reason, traceback, tuple(map(clip, lines)), steps.seconds)
