"""How each server of the portability matrix is started with the apps of a folder, by the line that its users type.

What lives here: a record a server, and the process in which it runs. It must not know which apps there are, nor what is
asked of them. Records that need more than one process are in modules of their own, with the same two names from here:
`MatrixServer` and `Place`.
"""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT / "tests" / "peers"))

import servers  # noqa: E402 - the path above leads to it

import hedgerow  # noqa: E402


@dataclass(frozen=True)
class Place:
    """Where a server runs. apps: the folder of apps; work: an empty folder for its files, its log is work/log; python:
    of an environment with the servers, what Hedgerow needs under them, and what the apps require.
    """

    apps: Path
    work: Path
    python: Path

    @property
    def environ(self) -> Mapping[str, str]:
        return {
            "HEDGEROW_APPS": str(self.apps),
            "PYTHONPATH": str(ROOT / "appserver"),
            "GUNICORN_CMD_ARGS": "--no-control-socket",  # it would be written into the home directory
        }


@dataclass(frozen=True)
class MatrixServer:
    """One row. version: what runs in that Python's environment; serves: answers at the port that it yields.

    start: the line, or the lines of Python, that the page shows; note: what who uses it has to know. few: sessions take
    so long that CI has them with few apps only. slow: not in CI at all.
    """

    name: str
    version: Callable[[Path], str] = field(repr=False)
    serves: Callable[[Place], AbstractContextManager[int]] = field(repr=False)
    start: str = field(repr=False)
    note: str = field(default="", repr=False)
    few: bool = False
    slow: bool = False


@contextmanager
def serving(server: MatrixServer, apps: Path, python: Path = servers.PEERS_PYTHON) -> Iterator[int]:
    """The port where the server answers with these apps; RuntimeError with its own words if it never does."""
    with tempfile.TemporaryDirectory(prefix="matrix-") as work, server.serves(Place(apps, Path(work), python)) as port:
        yield port


def distributions(*names: str) -> Callable[[Path], str]:
    """Their versions, for a server that is made of these."""

    def version(python: Path) -> str:
        script = "import importlib.metadata, sys; print(*map(importlib.metadata.version, sys.argv[1:]), sep=', ')"
        told = subprocess.run([python, "-c", script, *names], check=True, capture_output=True, text=True)
        return told.stdout.strip()

    return version


def process(name: str, place: Place, command: Callable[[servers.Launch], list[str]]) -> AbstractContextManager[int]:
    """One process that answers HTTP at a port that is chosen for it, ended afterwards."""
    launch = servers.Launch(place.python, "", place.work, place.work, place.environ)
    return _port_of(servers.Server(name, "", "", "", command), launch)


@contextmanager
def _port_of(server: servers.Server, launch: servers.Launch) -> Iterator[int]:
    with servers.serving(server, launch) as running:
        yield running.address[1]


# --- the two kinds ----------------------------------------------------------------------------------------------------


def _line(name: str, version: Callable[[Path], str], line: str, note: str = "") -> MatrixServer:
    """Started by a line. A script of the servers' environment is run by the Python of the place."""

    def command(launch: servers.Launch) -> list[str]:
        apps = launch.environ["HEDGEROW_APPS"]
        first, *words = shlex.split(line.format(bind=launch.bind, port=launch.port, apps=apps))
        script = str(servers.PEERS_PYTHON.parent / first)
        match first:
            case "hedgerow":
                return launch.module("hedgerow.cli", *words)
            case "uwsgi":
                return [script, "--virtualenv", str(launch.python.parent.parent), *words]
        return [str(launch.python), script, *words]

    shown = line.format(bind="127.0.0.1:8000", port=8000, apps="/srv/apps")
    return MatrixServer(name, version, lambda place: process(name, place, command), shown, note)


def _lines(name: str, version: Callable[[Path], str], text: str, note: str = "") -> MatrixServer:
    """Started by lines of Python."""

    def command(launch: servers.Launch) -> list[str]:
        return [str(launch.python), "-c", text.format(port=launch.port)]

    shown = text.format(port=8000).strip()
    return MatrixServer(name, version, lambda place: process(name, place, command), shown, note)


HEDGEROW = _line("Hedgerow", lambda python: hedgerow.__version__, "hedgerow serve {apps} --bind {bind}")
GUNICORN_SYNC = _line(
    "gunicorn sync",
    distributions("gunicorn"),
    "gunicorn -b {bind} hedgerow.wsgi:application",
    "One request at a time in each of its `-w` workers.",
)
GUNICORN_GTHREAD = _line(
    "gunicorn gthread",
    distributions("gunicorn"),
    "gunicorn -b {bind} --threads 8 hedgerow.wsgi:application",
    "gunicorn writes a socket into the home directory, unless `--no-control-socket` says not to.",
)
GUNICORN_OURS = _line(
    "gunicorn, Hedgerow's worker",
    distributions("gunicorn"),
    "gunicorn -k hedgerow.gunicorn.Worker -b {bind} hedgerow.wsgi:application",
    "A greenlet for each request; see [gateways](gateways.md#gunicorns-processes-hedgerows-engine).",
)
UWSGI = _line(
    "uWSGI",
    distributions("uwsgi"),
    "uwsgi --master --need-app --die-on-term --threads 8 --http {bind} --http-keepalive --http-auto-chunked"
    " --module hedgerow.wsgi:application",
    "Its `--http-socket` closes each connection without saying so, and `--http11-socket` ends an answer without length"
    " only after its time-out: both are meant for a proxy in front.",
)
WAITRESS = _line(
    "Waitress", distributions("waitress"), "waitress-serve --listen={bind} --threads=8 hedgerow.wsgi:application"
)
CHEROOT = _line(
    "cheroot",
    distributions("cheroot"),
    "cheroot --bind {bind} --threads 8 hedgerow.wsgi:application",
    "An encoded slash stays `%2F` in the path that the app sees.",
)
TWISTED = _line(
    "Twisted",
    distributions("twisted"),
    "twist web --listen=tcp:{port}:interface=127.0.0.1 --wsgi hedgerow.wsgi.application",
)
GRANIAN = _line(
    "Granian",
    distributions("granian"),
    "granian --interface wsgi --blocking-threads 8 --host 127.0.0.1 --port {port} hedgerow.wsgi:application",
    "An application has to call `start_response` before it returns. It is not told the path as the client sent it.",
)
TORNADO = _lines(
    "Tornado",
    distributions("tornado"),
    """\
import asyncio
from concurrent.futures import ThreadPoolExecutor
from tornado.httpserver import HTTPServer
from tornado.wsgi import WSGIContainer
from hedgerow.wsgi import application

async def main():
    HTTPServer(WSGIContainer(application, ThreadPoolExecutor(1))).listen({port}, "127.0.0.1")
    await asyncio.Event().wait()

asyncio.run(main())
""",
    "With more than one thread the parts of an answer are made in several, and what keeps things by thread breaks;"
    " without the executor the application stops the event loop.",
)
PASTE = _lines(
    "Paste",
    distributions("paste"),
    """\
from paste.httpserver import serve
from hedgerow.wsgi import application

serve(application, "127.0.0.1", {port})
""",
    "The path comes as decoded text: of what is not ASCII in it, applications see something else than elsewhere.",
)
BJOERN = _lines(
    "bjoern",
    distributions("bjoern"),
    """\
import bjoern
from hedgerow.wsgi import application

bjoern.run(application, "127.0.0.1", {port})
""",
    "One request at a time. No QUERY_STRING in `environ` if it is empty, and not the path as the client sent it.",
)
PYWSGI = _lines(
    "gevent.pywsgi",
    distributions("gevent"),
    """\
from gevent import monkey; monkey.patch_all()
from gevent.pywsgi import WSGIServer
from hedgerow.wsgi import application

WSGIServer(("127.0.0.1", {port}), application).serve_forever()
""",
)
WSGIREF = _lines(
    "wsgiref",
    lambda python: f"Python {platform.python_version()}",
    """\
from wsgiref.simple_server import make_server
from hedgerow.wsgi import application

make_server("127.0.0.1", {port}, application).serve_forever()
""",
    "One request at a time: for development.",
)

SERVERS = (
    HEDGEROW, GUNICORN_SYNC, GUNICORN_GTHREAD, GUNICORN_OURS, UWSGI, WAITRESS, CHEROOT, TWISTED, TORNADO, PASTE,
    GRANIAN, BJOERN, PYWSGI, WSGIREF,
)  # fmt: skip
