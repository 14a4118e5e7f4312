"""Django in an app space: it asks the name of a model's module to which of INSTALLED_APPS the model belongs, and in a
space that name has the space's package in front. It is told the names that the module has for the app itself.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from . import watch
from .space import spaces

_MODULE = "django.apps.registry"


def install() -> None:
    """Hook it when an app's import has brought it."""
    if _hook not in watch.arrived:
        watch.arrived.append(_hook)


def _hook(module: str) -> None:
    if module != _MODULE:
        return
    registry: Any = sys.modules[_MODULE].Apps
    found_by_name = registry.get_containing_app_config
    if hasattr(found_by_name, "__wrapped__"):
        return

    @functools.wraps(found_by_name)
    def get_containing_app_config(self: Any, object_name: str) -> Any:
        found = (found_by_name(self, name) for name in (*own_names(object_name), object_name))
        return next((config for config in found if config is not None), None)

    registry.get_containing_app_config = get_containing_app_config


def own_names(full: str) -> list[str]:
    """`_hedgerow_app_shop.notes.models` is `notes.models` to the app, or `shop.notes.models` where its folder is itself
    a package, or both. What is no app's has none.
    """
    space = spaces.get(full.partition(".")[0])
    known = {} if space is None else space.modules
    return [name + full[len(means) :] for name, means in known.items() if f"{full}.".startswith(f"{means}.")]
