"""What an environment without the base has beside what its apps ask for: the libraries that workers run on, in the
versions of our own installation, and those that our middleware in front of these apps needs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from . import base, complaints
from .lock import Lock
from .requirements import Requirements

# What a worker imports, beside Hedgerow itself and the standard library.
ENGINE = ("gevent", "httptools")


def versions() -> dict[str, str]:
    """Of the libraries that workers run on."""
    found = base.versions()
    return {name: found[name] for name in ENGINE}


def written(place: Path, asked: Sequence[Requirements] = ()) -> Path:
    """All of it as a list that uv reads."""
    lines = [f"{name}=={version}" for name, version in versions().items()]
    lines += dict.fromkeys(one for app in asked for one in app.libraries.values())
    path = place / "engine.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def conflict(said: str, asked: Requirements, alone: Lock) -> str:
    """Why the middleware's libraries cannot stand beside what the app asks for, if that is so. said: uv's words; alone:
    what fulfils the app's own requirements.
    """
    told = []
    for by, library in asked.libraries.items():
        name = re.split("[<>=]", library)[0].lower()
        others = [spec for spec in complaints.named(said, name) if spec != library.lower()]
        if name in alone.versions and complaints.named(said, name):
            told.append(f"needs {others[0] if others else f'{name} {alone.versions[name]}'}, but {by} needs {library}")
    return "; ".join(told)
