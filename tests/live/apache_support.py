"""A real Apache httpd out of Debian's packages, which are unpacked and never installed, with a folder of its own.

What lives here: getting the packages, and starting and ending one server. It must not know what the server serves: a
test says so in the lines of configuration that it gives.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "apache"
PATIENCE_S = 15.0
# What the shipped front needs, and an MPM; Debian has core, http, log_config, logio, so, unixd and watchdog built in.
FRONT_MODULES = (
    "mpm_event", "alias", "authz_core", "headers", "lbmethod_bybusyness", "proxy", "proxy_balancer", "proxy_http",
    "reqtimeout", "setenvif", "slotmem_shm", "unique_id",
)  # fmt: skip

# What options.conf asks for beside them.
OPTION_MODULES = {
    "HTTPS": ("macro", "rewrite", "socache_shmcb", "ssl"),
    "HTTP2": ("http2",),
    "TRUSTED_PROXIES": ("remoteip",),
    "PROXY_PROTOCOL": ("remoteip",),
}


# --- Debian's packages ------------------------------------------------------------------------------------------------


def kept_folder(name: str) -> Path:
    """A folder that outlives a run; as root one that all may read."""
    caches = "/var/cache" if os.getuid() == 0 else str(Path.home() / ".cache")
    folder = Path(os.environ.get("XDG_CACHE_HOME") or caches) / "hedgerow-test" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def unpacked(*packages: str) -> Path:
    """A folder with these packages, and what they need that this machine has not got; kept for the next run.

    Raises CalledProcessError where there is no apt-get, or it cannot have them.
    """
    folder = kept_folder("debian")
    wanted = folder / "-".join(packages)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not wanted.exists():
            with tempfile.TemporaryDirectory(dir=folder) as making:
                _download(Path(making), packages)
                names = sorted(package.name for package in Path(making).glob("*.deb"))
                for name in names:
                    _run("dpkg", "-x", f"{making}/{name}", f"{making}/root")
                (Path(making) / "root" / "packages").write_text("\n".join(names))
                (Path(making) / "root").chmod(0o755)
                (Path(making) / "root").rename(wanted)
    return wanted


def version(folder: Path, package: str) -> str:
    """Of what is unpacked there, Debian's revision left out."""
    [name] = [line for line in (folder / "packages").read_text().split() if line.startswith(f"{package}_")]
    return name.split("_")[1].split("-")[0].split("+")[0]


def _download(folder: Path, packages: Sequence[str]) -> None:
    """The packages' files. --reinstall has them come although they are installed, if somebody has done that."""
    (folder / "partial").mkdir()
    if os.getuid() == 0:
        _run("apt-get", "update", "-qq")
    own = ["-o", f"Dir::Cache::archives={folder}", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]
    quiet = ["-y", "-qq", "--no-install-recommends", "--download-only", "--reinstall"]
    _run("apt-get", "install", *quiet, *own, *packages)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


# --- the server -------------------------------------------------------------------------------------------------------


@dataclass
class Httpd:
    """One Apache. folder: its ServerRoot."""

    unpacked: Path
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def binary(self) -> Path:
        return self.unpacked / "usr/sbin/apache2"

    @property
    def environ(self) -> dict[str, str]:
        libraries = [str(folder) for folder in self.unpacked.glob("usr/lib/*-linux-gnu*")]
        return os.environ | {"LD_LIBRARY_PATH": ":".join(libraries), "APACHE_LOG_DIR": str(self.folder)}

    @property
    def errors(self) -> str:
        log = self.folder / "error.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def configure(self, modules: Sequence[str], lines: str) -> None:
        loaded = [f"LoadModule {name}_module {self.unpacked}/usr/lib/apache2/modules/mod_{name}.so" for name in modules]
        head = [
            f'ServerRoot "{self.folder}"', f"Listen 127.0.0.1:{self.port}", "ServerName localhost", "PidFile httpd.pid",
            "ErrorLog error.log", "LogLevel warn", "DefaultRuntimeDir .", "Mutex posixsem", "User nobody",
            "Group nogroup", "<IfModule mpm_event_module>", "StartServers 1", "MinSpareThreads 1", "</IfModule>",
        ]  # fmt: skip
        (self.folder / "httpd.conf").write_text("\n".join([*loaded, *head, lines, ""]))

    def test(self) -> subprocess.CompletedProcess[str]:
        """`httpd -t`: whether it can be started with these files."""
        return subprocess.run(
            [self.binary, "-f", self.folder / "httpd.conf", "-t"],
            env=self.environ, capture_output=True, text=True, check=False,
        )  # fmt: skip

    @contextmanager
    def running(self) -> Iterator[Httpd]:
        command = [str(self.binary), "-f", str(self.folder / "httpd.conf"), "-D", "FOREGROUND"]
        with (self.folder / "said.log").open("wb") as said:
            self.process = subprocess.Popen(command, env=self.environ, stdout=said, stderr=said, cwd=self.folder)
        try:
            end = time.monotonic() + PATIENCE_S
            while not listens(self.port):
                assert self.process.poll() is None, (self.folder / "said.log").read_text() + self.errors
                assert time.monotonic() < end, self.errors
                time.sleep(0.02)
            yield self
        finally:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def choose(file: Path, options: Mapping[str, str]) -> None:
    """Takes away the # before the lines of these options, and gives them their values."""
    lines = file.read_text().splitlines()
    for name, value in options.items():
        [at] = [number for number, line in enumerate(lines) if line.split()[:3] == ["#", "Define", f"HEDGEROW_{name}"]]
        lines[at] = f'Define HEDGEROW_{name} "{value}"' if value else f"Define HEDGEROW_{name}"
    file.write_text("\n".join(lines) + "\n")


def httpd(folder: Path, port: int, *more_packages: str) -> Httpd:
    folder.mkdir(exist_ok=True)
    return Httpd(unpacked("apache2-bin", *more_packages), folder, port)


def front(folder: Path, port: int, addresses: Sequence[int], **options: str) -> Httpd:
    """The shipped front before these addresses. What differs from the shipped files is what its user edits: port,
    addresses and options. options: those of options.conf by their name without HEDGEROW_.
    """
    made = httpd(folder, port)
    shutil.copytree(FILES, folder / "hedgerow")
    site = folder / "hedgerow" / "site.conf"
    site.write_text(site.read_text().replace("<VirtualHost *:80>", f"<VirtualHost *:{port}>"))
    file = folder / "hedgerow" / "addresses.conf"
    lines = file.read_text().splitlines()
    [first, *rest] = [line for line in lines if line.lstrip().startswith("BalancerMember")]
    at = lines.index(first)
    lines[at : at + 1 + len(rest)] = [first.replace(":8001", f":{address}") for address in addresses]
    file.write_text("\n".join(lines) + "\n")
    choose(folder / "hedgerow" / "options.conf", options)
    modules = [module for option in options for module in OPTION_MODULES.get(option, ())]
    listen = f"Listen 127.0.0.1:{options['HTTPS']}\n" if "HTTPS" in options else ""
    made.configure([*FRONT_MODULES, *dict.fromkeys(modules)], f"{listen}Include hedgerow/site.conf")
    return made
