"""Runs uv: a child process with a time limit that ends when it is called off. What is asked of it is asked elsewhere.

It finds indexes and credentials as uv does anywhere: in the UV_* variables of the installation's environment (which
apps do not get), in uv.toml and in netrc. pip's configuration is not read. Its cache lies in the state, so that
environments can share files by hard links.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from uv import find_uv_bin

from ...config import Settings
from ...errors import HedgerowError, UserError
from .. import process
from ..child import Child, Clock, TimeOver
from .base import MAKING
from .interpreters import Interpreter

LIMIT_S = 600.0
ASKED_S = 10.0
HOME = Path("environments")
CACHE = Path("cache") / "uv"
# Which Python, which place and how: that is ours to say.
OURS = frozenset({
    "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "UV_WORKING_DIR", "UV_FROZEN", "UV_LOCKED",
    "UV_NO_CACHE", "UV_CACHE_DIR", "UV_COMPILE_BYTECODE", "UV_PREVIEW", "UV_NO_EDITABLE", "UV_REQUIRE_HASHES",
})  # fmt: skip
COMPILERS = ("cc", "gcc", "clang")


class Refused(HedgerowError):
    """uv has not done what it was asked. text: all that it said."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Uv:
    """uv for one attempt: to be made and used in one thread. clock: how long all of it may take."""

    def __init__(self, settings: Settings, clock: Clock, environ: Mapping[str, str] = os.environ) -> None:
        self.state = settings.state
        self._clock = clock
        self._environ = _environment(environ, settings)

    @property
    def builds(self) -> list[str]:
        """The option that says whether it may build. Without a compiler nothing is built at all: whether a package
        needs one is known when it has been built, or not."""
        own = self._environ.get("CC", "").split()
        path = self._environ.get("PATH")
        return [] if any(shutil.which(name, path=path) for name in (*own, *COMPILERS)) else ["--no-build"]

    def run(self, *arguments: str | Path, cwd: Path) -> str:
        """What it says. Raises Refused if it fails, UserError if it takes too long, and Cancelled."""
        command = [_binary(), *(str(argument) for argument in arguments), "--cache-dir", str(self.state / CACHE)]
        child = Child(command, self._environ, cwd)
        try:
            while not child.ended:
                self._clock.pause()
        except TimeOver as over:
            raise UserError(f"uv {arguments[0]} has not ended {over.within}") from over
        finally:
            status = child.end()
        text = "\n".join(child.lines)
        if status != 0:
            raise Refused(text)
        return text

    @contextlib.contextmanager
    def workplace(self) -> Iterator[Path]:
        """A folder that is gone afterwards; one that is left by who was killed is pruned."""
        environments = self.state / HOME
        environments.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=MAKING, dir=environments, ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    def interpreters(self) -> list[Interpreter]:
        """What there is on PATH, and what uv itself has put on this machine."""
        text = self.run("python", "list", "--only-installed", "--output-format", "json", cwd=Path("/"))
        found: list[dict[str, str]] = next((json.loads(line) for line in text.splitlines() if line.startswith("[")), [])
        usual = [one for one in found if one["implementation"] == "cpython" and one.get("variant") in (None, "default")]
        there = ((_executable(Path(one["path"]), self._environ), one["version"]) for one in usual)
        return [Interpreter(path, version) for path, version in dict.fromkeys(there) if path is not None]


def _environment(environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    scrubbed = process.scrubbed(environ, settings.pass_env)
    indexes = {key: value for key, value in environ.items() if key.startswith("UV_") and key not in OURS}
    ours = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
    return {key: value for key, value in scrubbed.items() if key != "VIRTUAL_ENV"} | indexes | ours


def _executable(path: Path, environ: Mapping[str, str]) -> Path | None:
    """Where a Python really is: a version manager puts scripts on PATH, which choose one by what is set around them."""
    try:
        with open(path, "rb") as file:
            if file.read(2) != b"#!":
                return path
        command: list[str | Path] = [path, "-I", "-c", "import sys; print(sys.executable)"]
        told = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=ASKED_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return Path(told.stdout.strip())


def _binary() -> str:
    try:
        return str(find_uv_bin())
    except FileNotFoundError as error:
        raise UserError(f"uv is not there, which makes environments: {error}") from error
