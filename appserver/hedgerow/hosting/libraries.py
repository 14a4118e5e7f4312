"""Which library each of our parts needs that an app asks for by its own files: of its list `middleware`, and of its
entry. Where the app runs in an environment of its own, these are installed with what it requires.

The versions are those of `pyproject.toml`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..errors import LoadError
from .discovery import INI, find_entry
from .manifest import FILE_NAME, Manifest

# httptools, which `remote` needs, is there in any case: workers run on it.
LIBRARIES = {
    "session": "itsdangerous>=2.2",
    "static": "whitenoise>=6.12",
    "websocket": "wsproto>=1.3",
    "xslt": "lxml>=6.1.1",
}
PASTE = "PasteDeploy>=3.1"


def needed(folder: Path, manifest: Manifest) -> dict[str, str]:
    """The requirements of the app in `folder`, by what makes them, in words."""
    uses = [table["use"] for table in manifest.middleware]
    found = {f'use = "{use}" in its {FILE_NAME}': LIBRARIES[use] for use in uses if use in LIBRARIES}
    with suppress(LoadError):  # its load tells
        if manifest.run is None and find_entry(folder, manifest).is_ini:
            found[f"its {INI}"] = PASTE
    return found
