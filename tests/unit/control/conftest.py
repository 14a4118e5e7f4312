"""What the tests of releases begin with: an app of one file, and a state folder that is not there yet."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    app = tmp_path / "apps" / "blog"
    app.mkdir(parents=True)
    (app / "app.py").write_text("application = None\n")
    return app
