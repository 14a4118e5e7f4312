"""Apps as real folders, loaded for real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hedgerow.config import Settings
from hedgerow.hosting.app import HostedApp, load_app


@pytest.fixture
def make_app(tmp_path: Path) -> Callable[..., Path]:
    """Writes an app's folder: `make_app("blog", {"app.py": "…"})`."""

    def make(name: str, files: dict[str, str]) -> Path:
        folder = tmp_path / "apps" / name
        folder.mkdir(parents=True)
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return folder

    return make


@pytest.fixture
def load(make_app: Callable[..., Path]) -> Callable[..., HostedApp]:
    def load(name: str, files: dict[str, str]) -> HostedApp:
        return load_app(name, make_app(name, files), Settings())

    return load
