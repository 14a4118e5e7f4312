"""Each app's own configuration of `logging` in a shared process: levels, handlers, filters, what is disabled.

The loggers are the process's, since libraries keep them. What is set of them follows the current app: until an app sets
something it has what the process has, and what it sets (`dictConfig`, `basicConfig`, `logger.setLevel`) it alone sees,
also of a library's logger. What a library sets while it is imported is for all, as it would have been before any app.
"""

from __future__ import annotations

import copy
import logging
import logging.config
import sys
from typing import Any

from . import watch
from .space import current_app

_python_clear = logging.config._clearExistingHandlers  # type: ignore[attr-defined]


class OfApp:
    """An attribute of a logger, or of the manager of all, that follows the current app. A list that is changed in place
    is copied when an app first looks at it.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, logger: Any, owner: type | None = None) -> Any:
        if logger is None:
            return self
        app = current_app.get()
        common = logger.__dict__.get(self._name)
        if app is None:
            return common
        key = (logger, self._name)
        own = app.logs.get(key, key)
        if own is not key:
            return own
        if isinstance(common, dict):  # what it has worked out from the levels
            app.logs[key] = own = {}
        elif isinstance(common, list) and not watch.is_library_import(sys._getframe(1)):
            app.logs[key] = own = copy.copy(common)
        else:
            return common
        return own

    def __set__(self, logger: Any, value: Any) -> None:
        app = current_app.get()
        # The first value is that of a new logger, which others may ask for by its name.
        if app is None or self._name not in logger.__dict__ or watch.is_library_import(sys._getframe(1)):
            logger.__dict__[self._name] = value
        else:
            app.logs[logger, self._name] = value


def install() -> None:
    """From now on. What loggers have now is the process's."""
    if isinstance(vars(logging.Logger).get("level"), OfApp):
        return
    for name in ("level", "handlers", "filters", "propagate", "disabled", "_cache"):
        setattr(logging.Logger, name, OfApp(name))
    logging.Manager._disable = OfApp("_disable")  # type: ignore[attr-defined]
    logging.config._clearExistingHandlers = clear_handlers  # type: ignore[attr-defined]


def clear_handlers() -> None:
    """What `dictConfig` and `fileConfig` begin with: close all handlers there are. An app's close the app's."""
    app = current_app.get()
    if app is None:
        _python_clear()
        return
    for (logger, name), own in app.logs.items():
        if name == "handlers":
            for handler in own:
                if handler not in logger.__dict__[name]:
                    handler.flush()
                    handler.close()
