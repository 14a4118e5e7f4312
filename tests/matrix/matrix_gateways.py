"""The two rows of the matrix behind a web server that speaks no HTTP to the application: CGI and FastCGI, with nginx.

fcgiwrap is what runs CGI scripts for nginx; it is a package of Debian's, which a test installs if it is missing.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import matrix_servers
import servers
from gateway_support import FASTCGI_PARAMS
from matrix_servers import ROOT, MatrixServer, Place

import hedgerow
from hedgerow.control import front

NGINX = """\
daemon off; worker_processes 1; pid {work}/nginx.pid; error_log stderr;
events {{}}
http {{
    access_log off; absolute_redirect off; client_max_body_size 10m;
    client_body_temp_path {work}/t1; proxy_temp_path {work}/t2; fastcgi_temp_path {work}/t3;
    uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;
    {params}
    {path}
    server {{
        listen 127.0.0.1:{port};
        {locations}
    }}
}}
"""
FASTCGI_PATH = "fastcgi_param PATH_INFO $uri;"
FASTCGI_LOCATIONS = "location / {{ fastcgi_pass 127.0.0.1:{behind}; }}"
CGI_PATH = """\
fastcgi_param SCRIPT_FILENAME {work}/gateway/$app.cgi;
    fastcgi_param SCRIPT_NAME /$app;
    fastcgi_param PATH_INFO $path;
    fastcgi_param GATEWAY_INTERFACE CGI/1.1;"""
CGI_LOCATIONS = """\
location ~ ^/[^/]+$ {{ return 308 $uri/; }}
        location ~ ^/(?<app>[^/]+)(?<path>/.*)$ {{ fastcgi_pass 127.0.0.1:{behind}; }}"""
PACKAGES = ("spawn-fcgi:spawn-fcgi", "fcgiwrap:fcgiwrap")  # without the first, fcgiwrap would bring systemd


def nginx() -> front.NginxBinary:
    found = front.find_nginx()
    assert found is not None, "the packaged nginx is a dependency and must be there"
    return found


def _fastcgi(place: Place, launch: servers.Launch) -> list[str]:
    return launch.module("hedgerow.cli", "fastcgi", str(place.apps), "--bind", launch.bind)


def _cgi(place: Place, launch: servers.Launch) -> list[str]:
    subprocess.run([ROOT / ".ci" / "packages.sh", *PACKAGES], check=True)
    for app in place.apps.iterdir():
        script = launch.work / f"{app.name}.cgi"
        script.write_text(f"#!/usr/bin/env -S {place.python} -m hedgerow.cli cgi {app}\n")
        script.chmod(0o755)
    return ["fcgiwrap", "-c", "4", "-s", f"tcp:{launch.bind}"]


@contextmanager
def _behind_nginx(
    command: Callable[[Place, servers.Launch], list[str]], path: str, locations: str, place: Place
) -> Iterator[int]:
    """nginx, and behind it the process that speaks FastCGI."""
    gateway = place.work / "gateway"
    launch = servers.Launch(place.python, "", gateway, gateway, place.environ)
    gateway.mkdir()
    behind = servers.start(servers.Server("gateway", "", "", "", lambda at: command(place, at)), launch)
    try:
        _wait_for(behind)
        with matrix_servers.process("nginx", place, lambda at: _nginx(at, behind.address[1], path, locations)) as port:
            yield port
    finally:
        servers.stop(behind)


def _nginx(launch: servers.Launch, behind: int, path: str, locations: str) -> list[str]:
    where = {"work": launch.work, "behind": behind}
    parts = {"path": path.format(**where), "locations": locations.format(**where), "params": FASTCGI_PARAMS}
    filled = NGINX.format(port=launch.port, **parts, **where)
    conf = launch.work / "nginx.conf"
    conf.write_text(filled)
    launch.work.chmod(0o711)  # started as root, nginx works as another user
    return [str(nginx().path), "-e", "stderr", "-c", str(conf), "-p", str(launch.work)]


def _wait_for(running: servers.Running) -> None:
    deadline = time.monotonic() + servers.PATIENCE_S
    while True:
        with suppress(OSError), socket.create_connection(running.address, servers.PATIENCE_S):
            return
        if running.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{running.server.name} does not listen: {running.log.read_text(errors='replace')}")
        time.sleep(0.01)


def _nginx_version() -> str:
    return "nginx " + ".".join(map(str, nginx().version))


def _fcgiwrap_version(_: Path) -> str:
    told = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "fcgiwrap"], check=True, capture_output=True, text=True
    )
    return f"{_nginx_version()}, fcgiwrap {told.stdout}, Hedgerow {hedgerow.__version__}"


def _fastcgi_version(python: Path) -> str:
    return f"{_nginx_version()}, fcgisgi {matrix_servers.distributions('fcgisgi')(python)}"


FASTCGI = MatrixServer(
    "FastCGI, nginx",
    _fastcgi_version,
    lambda place: _behind_nginx(_fastcgi, FASTCGI_PATH, FASTCGI_LOCATIONS, place),
    "hedgerow fastcgi /srv/apps --bind 127.0.0.1:9000 --threads 8",
    "What nginx needs stands in [gateways](gateways.md#fastcgi).",
)
CGI = MatrixServer(
    "CGI, nginx and fcgiwrap",
    _fcgiwrap_version,
    lambda place: _behind_nginx(_cgi, CGI_PATH, CGI_LOCATIONS, place),
    "#!/usr/bin/env -S hedgerow cgi /srv/apps/blog",
    "A script for each app; nginx or Apache sends `/blog` to `/blog/`. Each request starts a process that loads the"
    " app.",
    few=True,
)
GATEWAYS = (FASTCGI, CGI)
