"""The names by which Django is told of a module in a space: those that the module has for the app itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from hedgerow.hosting.django_names import own_names
from hedgerow.hosting.space import Space, spaces

FULL = "_hedgerow_app_shop.notes.models"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop" / "notes").mkdir(parents=True)
    (tmp_path / "shop" / "notes" / "__init__.py").touch()
    return tmp_path / "shop"


@pytest.mark.parametrize(
    ("init", "packaged", "names"),
    [
        (False, False, {"notes.models"}),
        (True, True, {"shop.notes.models"}),
        (True, False, {"notes.models", "shop.notes.models"}),
    ],
)
def test_a_module_goes_by_the_names_that_the_app_imports_it_by(
    init: bool, packaged: bool, names: set[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if init:
        (folder / "__init__.py").touch()
    monkeypatch.setitem(spaces, "_hedgerow_app_shop", Space("shop", folder, packaged=packaged))
    assert set(own_names(FULL)) == names


def test_what_is_no_apps_has_no_other_name() -> None:
    assert own_names("django.contrib.sessions.models") == own_names("_hedgerow_app_other.notes") == []
