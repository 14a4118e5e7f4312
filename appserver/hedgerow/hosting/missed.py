"""A look-up by name that failed in a library: of a name that the current app has. Found in the exceptions that are
logged, which is what frameworks do with those of a request.

What is asked for by an import comes by `imports.LastFinder`. This is for who looks into `sys.modules` himself.
"""

from __future__ import annotations

import contextlib
import logging
from types import TracebackType
from typing import Any

from . import watch
from .findings import NAMES
from .space import Space, current_app

_MOST = 10  # exceptions of a chain


def install() -> None:
    """Look at what is logged from now on, with whatever makes its records."""
    make = logging.getLogRecordFactory()
    if hasattr(make, "hedgerow_missed"):
        return

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made = make(*args, **kwargs)
        if made.exc_info and isinstance(made.exc_info, tuple):
            notice(made.exc_info[1])
        return made

    record.hedgerow_missed = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(record)


def notice(error: BaseException | None) -> None:
    """Whether `error`, or what it came from, says that `sys.modules` has no module of the current app's own name."""
    app = current_app.get()
    with contextlib.suppress(BaseException):  # what an exception does when it is looked at is in the app's hands
        _look(app, error)


def _look(app: Space | None, error: BaseException | None) -> None:
    for _ in range(_MOST):
        if app is None or error is None:
            return
        if isinstance(error, KeyError) and error.args and isinstance(name := error.args[0], str):
            last = _last(error.__traceback__)
            asked = last is not None and "modules" in last.tb_frame.f_code.co_names
            if asked and last is not None and watch.app_of(last.tb_frame) is None and app.own(name) is not None:
                app.find(NAMES, f"a library looks for {name} in sys.modules, where only the app itself finds it")
        error = error.__cause__ or error.__context__


def _last(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback
