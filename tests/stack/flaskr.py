"""Flask's own tutorial application, unchanged, out of Flask's source distribution. Nothing of it is kept here."""

from __future__ import annotations

import re
import sys
import tarfile
from pathlib import Path

from .engine import ROOT, run

LOCK = ROOT / "requirements-dev.lock"


def folder() -> Path:
    """The package `flaskr` of the locked Flask: fetched by pip, checked by the lock's hashes, kept in a cache."""
    requirement = locked("flask")
    version = requirement.partition("==")[2].split()[0]
    place = cache() / f"flask-{version}"
    found = place / "examples" / "tutorial" / "flaskr"
    if not found.is_dir():
        fetch(requirement, version)
    return found


def locked(name: str) -> str:
    """The requirement with its hashes, as it stands in the lock."""
    found = re.search(rf"^{name}==.*\n(?: +--hash=.*\n)+", LOCK.read_text(), re.M)
    if found is None:
        raise AssertionError(f"{LOCK}: has no {name}")
    return found.group()


def cache() -> Path:
    """Outside the project, beside what the engine's script keeps."""
    return Path(run([str(ROOT / ".ci" / "engine.sh"), "users"]).strip()).parent


def fetch(requirement: str, version: str) -> None:
    place = cache()
    place.mkdir(parents=True, exist_ok=True)
    wanted = place / "flask.txt"
    wanted.write_text(requirement)
    options = ["--quiet", "--no-deps", "--no-binary", "flask", "--require-hashes", "--requirement", str(wanted)]
    run([sys.executable, "-m", "pip", "download", *options, "--dest", str(place)], timeout_s=300)
    with tarfile.open(place / f"flask-{version}.tar.gz") as archive:
        archive.extractall(place, filter="data")
