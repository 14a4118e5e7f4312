"""The rows of the matrix in which Apache httpd starts the apps: mod_wsgi, CGI, FastCGI, and Passenger.

All of it is Debian's, unpacked and never installed, and runs on Debian's Python 3.11: mod_wsgi is made for that one. As
root, Apache's children are nobody, who must be able to read what they serve: Hedgerow and the apps lie in a folder that
all may read, and write.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE), str(HERE.parent / "live"), str(HERE.parent / "peers")]

import servers  # noqa: E402 - the paths above lead to them
from apache_support import PATIENCE_S, Httpd, kept_folder, listens, unpacked, version  # noqa: E402
from control_support import free_port, until  # noqa: E402
from matrix_servers import ROOT, MatrixServer, Place  # noqa: E402
from uv import find_uv_bin  # noqa: E402

PYTHON = Path("/usr/bin/python3")
WSGI, PASSENGER = "libapache2-mod-wsgi-py3", "libapache2-mod-passenger"
APPLICATION = "from hedgerow.wsgi import application\n"
MODULES = ("mpm_event", "alias", "authz_core", "env", "setenvif")
HEAD = """\
<Directory "{work}">
    Require all granted
</Directory>
<Location "/">
    CGIPassAuth On
</Location>
AllowEncodedSlashes NoDecode
MergeSlashes Off
"""
MOD_WSGI = """\
WSGISocketPrefix {work}/wsgi
WSGIDaemonProcess hedgerow threads=8 python-home={home} python-path={work}/appserver
WSGIProcessGroup hedgerow
WSGIApplicationGroup %{{GLOBAL}}
WSGIPassAuthorization On
WSGIChunkedRequest On
WSGIScriptAlias / {work}/hedgerow.wsgi
"""
CGI = """\
ScriptSock {work}/cgi.sock
SetEnv PYTHONPATH {work}/appserver
RedirectRelative On
RedirectMatch 308 "^(/[^/]+)$" "$1/"
ScriptAliasMatch "^/([^/]+)(/.*)$" "{work}/$1.cgi$2"
"""
FASTCGI = """\
ProxyPass "/" "fcgi://127.0.0.1:{behind}/"
ProxyFCGISetEnvIf true PATH_INFO "%{{reqenv:SCRIPT_NAME}}"
ProxyFCGISetEnvIf true SCRIPT_NAME ""
"""
PASSENGER_LINES = """\
PassengerRoot {work}/locations.ini
PassengerPython {python}
PassengerInstanceRegistryDir {work}
PassengerLogFile {work}/passenger.log
PassengerUserSwitching off
PassengerDisableSecurityUpdateCheck on
PassengerDisableAnonymousTelemetry on
PassengerAllowEncodedSlashes on
PassengerAppRoot {work}
PassengerAppType wsgi
PassengerStartupFile passenger_wsgi.py
PassengerMaxPoolSize 1
PassengerAppEnv production
SetEnv HEDGEROW_APPS {apps}
SetEnv PYTHONPATH {work}/appserver
DocumentRoot {work}/public
"""


def environment(requirements: list[Path]) -> Path:
    """Debian's Python with what these files and Hedgerow name, though not Hedgerow; kept for the next run."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    folder = kept_folder("matrix") / "venv"
    python, made_for = folder / "bin" / "python", folder / "made-for.txt"
    wanted = "\n".join(
        [
            *project["dependencies"],
            *project["optional-dependencies"]["fastcgi"],
            *(file.read_text("utf-8").strip() for file in requirements),
        ]
    )
    if not made_for.exists() or made_for.read_text("utf-8") != wanted:
        uv = find_uv_bin()
        subprocess.run([uv, "venv", "-q", "--clear", "--python", PYTHON, folder], check=True)
        (folder / "requirements.txt").write_text(wanted, "utf-8")
        install = [uv, "pip", "install", "-q", "--python", python, "-r", folder / "requirements.txt"]
        subprocess.run(install, check=True)
        made_for.write_text(wanted, "utf-8")
    return python


# --- the server with its folder ---------------------------------------------------------------------------------------


@contextmanager
def _apache(place: Place, modules: tuple[str, ...], lines: str, *packages: str, **values: object) -> Iterator[int]:
    """An Apache with these lines, after all that it reads has been laid where it may."""
    here = place.work
    shutil.copytree(ROOT / "appserver", here / "appserver", ignore=shutil.ignore_patterns("__pycache__"))
    (here / "hedgerow.wsgi").write_text(f'import os\nos.environ["HEDGEROW_APPS"] = "{place.apps}"\n{APPLICATION}')
    (here / "passenger_wsgi.py").write_text(APPLICATION)
    (here / "public").mkdir()
    for folder in (here, place.apps):
        subprocess.run(["chmod", "-R", "a+rwX", folder], check=True)
    given = {"work": here, "apps": place.apps, "python": place.python, "home": place.python.parent.parent, **values}
    apache = Httpd(unpacked("apache2-bin", *packages), here, free_port())
    apache.configure((*MODULES, *modules), (HEAD + lines).format(**given))
    try:
        with apache.running():
            yield apache.port
    finally:
        (here / "log").write_text(apache.errors)


def _mod_wsgi(place: Place) -> AbstractContextManager[int]:
    return _apache(place, ("wsgi",), MOD_WSGI, WSGI)


def _cgi(place: Place) -> AbstractContextManager[int]:
    for app in place.apps.iterdir():
        script = place.work / f"{app.name}.cgi"
        script.write_text(f"#!/usr/bin/env -S {place.python} -m hedgerow.cli cgi {app}\n")
        script.chmod(0o755)
    return _apache(place, ("cgid",), CGI)


@contextmanager
def _fastcgi(place: Place) -> Iterator[int]:
    gateway = place.work / "gateway"
    gateway.mkdir()
    launch = servers.Launch(place.python, "", gateway, gateway, place.environ)

    def command(at: servers.Launch) -> list[str]:
        return at.module("hedgerow.cli", "fastcgi", str(place.apps), "--bind", at.bind)

    behind = servers.start(servers.Server("gateway", "", "", "", command), launch)
    try:
        until(lambda: listens(behind.address[1]), PATIENCE_S, "the gateway listens")
        with _apache(place, ("proxy", "proxy_fcgi"), FASTCGI, behind=behind.address[1]) as port:
            yield port
    finally:
        servers.stop(behind)


@contextmanager
def _passenger(place: Place) -> Iterator[int]:
    """Its files know where Debian's package has them; here they are elsewhere."""
    root = unpacked("apache2-bin", PASSENGER)
    shipped = (root / "usr/lib/ruby/vendor_ruby/phusion_passenger/locations.ini").read_text()
    (place.work / "locations.ini").write_text(shipped.replace("=/usr", f"={root}/usr"))
    (place.work / "passenger.log").touch()
    with _apache(place, ("passenger",), PASSENGER_LINES, PASSENGER) as port:
        yield port


# --- the rows ---------------------------------------------------------------------------------------------------------


def _versions(named: str = "", *packages: str) -> Callable[[Path], str]:
    """Apache's, and that of the last package under this name."""

    def told(python: Path) -> str:
        folder = unpacked("apache2-bin", *packages)
        apache = f"Apache {version(folder, 'apache2-bin')}"
        return f"{apache}, {named} {version(folder, packages[-1])}" if packages else f"{apache}{named}"

    return told


MATRIX_APACHE = (
    MatrixServer(
        "Apache, mod_wsgi",
        _versions("mod_wsgi", WSGI),
        _mod_wsgi,
        "WSGIScriptAlias / /srv/hedgerow.wsgi",
        "A daemon process with `WSGIApplicationGroup %{GLOBAL}`; `AllowEncodedSlashes NoDecode` and `MergeSlashes Off`,"
        " or Apache answers 404 for `%2F`; `WSGIChunkedRequest On`, or 411; `WSGIPassAuthorization On`.",
        slow=True,
    ),
    MatrixServer(
        "Apache, CGI",
        _versions(", mod_cgid"),
        _cgi,
        "ScriptAliasMatch ^/([^/]+)(/.*)$ /srv/cgi/$1.cgi$2",
        "A script for each app; `RedirectMatch` sends `/blog` to `/blog/`. A process a request, which loads the app.",
        slow=True,
    ),
    MatrixServer(
        "Apache, FastCGI",
        _versions(", mod_proxy_fcgi"),
        _fastcgi,
        "ProxyPass / fcgi://127.0.0.1:9000/",
        'For Apache the whole path is a script: `ProxyFCGISetEnvIf true PATH_INFO "%{reqenv:SCRIPT_NAME}"` and behind'
        ' it `ProxyFCGISetEnvIf true SCRIPT_NAME ""`; `CGIPassAuth On`.',
        slow=True,
    ),
    MatrixServer(
        "Passenger",
        _versions("Passenger", PASSENGER),
        _passenger,
        "PassengerAppType wsgi, PassengerStartupFile passenger_wsgi.py",
        "A request at a time in each process; `PassengerAllowEncodedSlashes on`, or 404 for `%2F`. It leaves the path"
        " encoded, which the composite sets right; an app that it serves without one gets it so. Its loader needs a"
        " Python below 3.12.",
        slow=True,
    ),
)
