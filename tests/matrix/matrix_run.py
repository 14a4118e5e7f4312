"""Runs cells of the servers table: a server, the folders of some applications, and a whole session at each of them.

The light applications are all side by side in one process of each server, from the servers' own environment. Each other
one is alone in its process, with what its requirements.txt names in an environment of its own beside the servers.
"""

from __future__ import annotations

import http.client
import os
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE), str(HERE.parent / "neighbours")]

import matrix_apache  # noqa: E402 - the paths above lead to them
import matrix_gateways  # noqa: E402
import matrix_record  # noqa: E402
import matrix_servers  # noqa: E402
import servers  # noqa: E402
from applications import APPLICATIONS, Application  # noqa: E402
from matrix_reds import told  # noqa: E402
from matrix_servers import ROOT, MatrixServer  # noqa: E402
from sessions import Wrong, session  # noqa: E402
from uv import find_uv_bin  # noqa: E402

from neighbours import lay  # noqa: E402

SERVERS = (*matrix_servers.SERVERS, *matrix_gateways.GATEWAYS)
EVERY = (*SERVERS, *matrix_apache.MATRIX_APACHE)  # those of Apache are slow, and test_matrix_apache.py's
LIGHT = ("function", "klass", "instance", "flask", "django", "pyramid", "falcon", "bottle")
FEW = ("function", "flask")
ENVIRONMENTS = ROOT / ".venv-apps"
PATIENCE_S = 10.0

Cells = dict[str, str]


@contextmanager
def laid(names: Sequence[str], python: Path = servers.PEERS_PYTHON) -> Iterator[Path]:
    """A folder with these applications, ready to be served: what a deploy would have run before has been run."""
    with tempfile.TemporaryDirectory(prefix="matrix-apps-") as folder:
        lay(Path(folder), names)
        path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
        for app in Path(folder).iterdir():
            manifest = app / "app.toml"
            deploy = tomllib.loads(manifest.read_text("utf-8")).get("deploy", {}) if manifest.exists() else {}
            if before := deploy.get("before"):
                subprocess.run(["env", *shlex.split(before)], cwd=app, env={**os.environ, "PATH": path}, check=True)
        yield Path(folder)


def cells(server: MatrixServer, apps: Path, names: Sequence[str], python: Path = servers.PEERS_PYTHON) -> Cells:
    """A session at each of the applications, all served at once by one start of the server."""
    try:
        with matrix_servers.serving(server, apps, python) as port:
            return {name: cell(server.name, name, port) for name in names}
    except RuntimeError as error:  # it does not answer
        return {name: told(server.name, name, str(error)) for name in names}


def cell(server: str, name: str, port: int) -> str:
    try:
        for _ in session(port, name, name, f"{server} {name}", PATIENCE_S):
            pass
    except (Wrong, OSError, http.client.HTTPException) as error:
        return told(server, name, f"{error!r}")
    return matrix_record.GOOD


def environment(name: str) -> Path:
    """The Python that has the application's requirements, and behind them the servers."""
    folder = ENVIRONMENTS / name
    python, wanted = folder / "bin" / "python", HERE.parent / "neighbours" / "apps" / name / "requirements.txt"
    made_for = folder / "made-for.txt"
    if not made_for.exists() or made_for.read_text("utf-8") != wanted.read_text("utf-8"):
        uv = find_uv_bin()
        subprocess.run([uv, "venv", "-q", "--clear", "--python", servers.PEERS_PYTHON, folder], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", python, "-r", wanted], check=True)
        behind = "import sysconfig; print(sysconfig.get_path('purelib'))"
        here, there = (_said([one, "-c", behind]) for one in (python, servers.PEERS_PYTHON))
        (Path(here) / "servers.pth").write_text(f"{there}\n")
        made_for.write_text(wanted.read_text("utf-8"), "utf-8")
    return python


def _said(command: Sequence[str | Path]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def others() -> list[Application]:
    """The applications that are not light, and that a composite can have."""
    return [one for one in APPLICATIONS if one.composite and one.folder not in LIGHT]


def everything(chosen: Sequence[MatrixServer], names: Sequence[str], tell: Callable[[str], None]) -> None:
    """Runs all cells of these servers and applications, and keeps them with what is known of others."""
    found: dict[str, Cells] = {server.name: {} for server in chosen}
    light = [name for name in LIGHT if name in names]
    with laid(light) as apps:
        for server in chosen if light else ():
            found[server.name] |= _shown(tell, server, cells(server, apps, light))
    for name in [one.folder for one in others() if one.folder in names]:
        python = environment(name)
        with laid([name], python) as apps:
            for server in chosen:
                found[server.name] |= _shown(tell, server, cells(server, apps, [name], python))
    for server in chosen:
        _keep(server, found[server.name])


def _shown(tell: Callable[[str], None], server: MatrixServer, found: Cells) -> Cells:
    for name, text in found.items():
        tell(f"{server.name:28} {name:16} {text}")
    return found


def _keep(server: MatrixServer, found: Mapping[str, str]) -> None:
    before = matrix_record.kept("servers").get(server.name)
    version = server.version(servers.PEERS_PYTHON)
    all_cells = {**(before.cells if before else {}), **found}
    matrix_record.keep("servers", matrix_record.Row(server.name, version, all_cells, server.note))
