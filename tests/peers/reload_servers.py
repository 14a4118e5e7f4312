"""How each server is started with two workers behind the shipped front, and how its users bring new code to it.

What lives here: a record a way, and the stack in which it runs. It must not know what is asked of the servers, nor when
their code changes.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[1:1] = [str(TESTS / name) for name in ("peers", "bench", "live")]

import control_support  # noqa: E402 - the paths above lead to them
import front  # noqa: E402
import servers  # noqa: E402
from servers import Launch, Running, Server  # noqa: E402

NAME = "sample"
WORKERS = 2
TEMPLATE = (TESTS / "peers" / "reload_app.py").read_text(encoding="utf-8")
LOADED_S = 15.0  # for a new master of gunicorn to have loaded the app
POLL_S = 0.05


@dataclass(frozen=True)
class Subject:
    """A stack that answers. port: of its front; reload: what its user does after a change; said: its own words."""

    port: int
    file: Path
    reload: Callable[[], None]
    said: Callable[[], str]

    def change(self, text: str) -> float:
        """Changes the app's file, and reloads; when the change was there."""
        beside = self.file.with_name(f".{self.file.name}~")
        beside.write_text(text, encoding="utf-8")
        beside.replace(self.file)
        changed = time.monotonic()
        self.reload()
        return changed


@dataclass(frozen=True)
class Way:
    """A server and a way to bring new code to it. how: for the page; running: the stack with an app of this text."""

    name: str
    package: str
    how: str
    running: Callable[[str], AbstractContextManager[Subject]]


def app_text(version: str, import_s: float = 0.0, breaks: str = "") -> str:
    """The app's file. breaks: a statement that its import meets before all others."""
    text = TEMPLATE.replace('VERSION = "v0"', f'VERSION = "{version}"').replace(
        "IMPORT_S = 0.0", f"IMPORT_S = {import_s}"
    )
    return text.replace("import hashlib\n", f"{breaks}\nimport hashlib\n", 1)


@contextmanager
def _own(text: str) -> Iterator[Subject]:
    with control_support.stack(workers=WORKERS) as here:
        file = control_support.drop(here.apps, NAME, text)
        here.up()
        yield Subject(here.port, file, lambda: None, lambda: here.run("deploys", NAME).stdout)


@contextmanager
def _peer(server: Server, reload: Callable[[Running], None], text: str) -> Iterator[Subject]:
    with tempfile.TemporaryDirectory(prefix="reloads-") as work:
        file = control_support.drop(Path(work), NAME, text)
        launch = Launch(servers.PEERS_PYTHON, "app:application", file.parent, Path(work) / "run")
        with (
            servers.serving(server, launch) as running,
            front.before(running, Path(work) / "front", server.addresses) as target,
        ):
            yield Subject(target.address[1], file, lambda: reload(running), running.log.read_text)


# --- gunicorn and Granian ---------------------------------------------------------------------------------------------


def _gunicorn(*options: str) -> Callable[[Launch], list[str]]:
    """Its master listens at two addresses, so that the front has another one to turn to.

    The script, not `-m gunicorn`: a second master would be started with gunicorn's own folder first in its path.
    """

    def command(launch: Launch) -> list[str]:
        return [
            str(launch.python.with_name("gunicorn")), *options, "-w", str(WORKERS), "--no-control-socket",
            "--keep-alive", str(servers.KEEPALIVE_S), "-p", str(launch.work / "pid"),
            "-b", launch.bind, "-b", f"127.0.0.1:{launch.port + 1}", launch.app,
        ]  # fmt: skip

    return command


def _granian(*options: str) -> Callable[[Launch], list[str]]:
    def command(launch: Launch) -> list[str]:
        return launch.module(
            "granian", "--interface", "wsgi", "--http", "1", "--no-ws", "--workers", str(WORKERS), *options,
            "--host", "127.0.0.1", "--port", str(launch.port), launch.app,
        )  # fmt: skip

    return command


def _hang_up(running: Running) -> None:
    with suppress(ProcessLookupError):
        os.kill(running.pid, signal.SIGHUP)


def _second_master(running: Running) -> None:
    """USR2: a second master loads the app; when its workers are there the first is asked to end."""
    pid = running.log.with_name("pid")
    newer, first = pid.with_name("pid.2"), int(pid.read_text())
    os.kill(first, signal.SIGUSR2)
    deadline = time.monotonic() + LOADED_S
    while time.monotonic() < deadline:
        with suppress(OSError, ValueError):  # it is not there yet, or not written
            second = int(newer.read_text())
            if len(control_support.descendants(second)) == WORKERS:
                os.kill(first, signal.SIGTERM)
                return
        time.sleep(POLL_S)


def _peers(
    name: str, how: str, command: Callable[[Launch], list[str]], reload: Callable[[Running], None], addresses: int
) -> Way:
    package = name.split(maxsplit=1)[0].lower()
    server = Server(name, package, "off", "its defaults", command, addresses=addresses)
    return Way(name, package, how, partial(_peer, server, reload))


GEVENT = ("-k", "gevent")
GTHREAD = ("-k", "gthread", "--threads", "16")
HEDGEROW = Way("hedgerow", "hedgerow", "the folder changes; nothing else", _own)
WAYS = (
    HEDGEROW,
    _peers("gunicorn gevent", "HUP", _gunicorn(*GEVENT), _hang_up, WORKERS),
    _peers("gunicorn gthread", "HUP", _gunicorn(*GTHREAD), _hang_up, WORKERS),
    _peers(
        "gunicorn gthread", "`--preload`; USR2, then TERM", _gunicorn(*GTHREAD, "--preload"), _second_master, WORKERS
    ),
    _peers("Granian", "HUP", _granian(), _hang_up, 1),
    _peers("Granian", "HUP, `--respawn-interval 6`", _granian("--respawn-interval", "6"), _hang_up, 1),
)
