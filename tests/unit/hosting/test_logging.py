"""What an app sets of logging is its own, also of a library's loggers; what libraries set is everybody's."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hosting_help import get

from hedgerow.hosting.app import HostedApp

Load = Callable[..., HostedApp]

HEARS = """
import logging, logging.config
heard = []
class Handler(logging.Handler):
    closed = False
    def emit(self, record): heard.append(record.levelname)
    def close(self):
        self.closed = True
        super().close()
handler = Handler()
"""
ANSWERS = """
def application(environ, start_response):
    heard.clear()
    for level in ("debug", "info", "error"):
        getattr(logging.getLogger("library.part"), level)("x")
    start_response("200 OK", [])
    return [" ".join(heard).encode()]
"""
DICT = """
logging.config.dictConfig({"version": 1, "handlers": {"own": {"()": lambda: handler}},
    "loggers": {"library": {"handlers": ["own"], "level": "INFO"}}})
"""
# what an app sets, and what it hears then of the three records of a library
SETS = {
    "a library": ("l = logging.getLogger('library')\nl.setLevel(1)\nl.addHandler(handler)\n", "DEBUG INFO ERROR"),
    "the root": ("logging.root.handlers[:] = [handler]\nlogging.root.setLevel('ERROR')\n", "ERROR"),
    "dictConfig": (DICT, "INFO ERROR"),
    "basicConfig": ("logging.basicConfig(force=True, level='INFO', handlers=[handler])\n", "INFO ERROR"),
    "disable": ("logging.root.addHandler(handler)\nlogging.root.setLevel(1)\nlogging.disable('INFO')\n", "ERROR"),
    "nothing": ("", ""),
}  # fmt: skip


@pytest.fixture(autouse=True)
def quiet_root() -> Iterator[None]:
    """Nobody else's handlers hear what the apps say."""
    level = logging.root.level
    logging.root.setLevel(logging.CRITICAL)
    yield
    logging.root.setLevel(level)


def test_each_app_hears_what_it_has_asked_for(load: Load) -> None:
    before = (list(logging.root.handlers), logging.root.level, logging.root.manager.disable)
    apps = [
        (load(f"app{n}", {"app.py": HEARS + sets + ANSWERS}), heard) for n, (sets, heard) in enumerate(SETS.values())
    ]
    for _ in range(2):
        assert [get(app) for app, _ in apps] == [heard for _, heard in apps]
    assert [app.findings for app, _ in apps] == [[]] * len(apps)
    assert (list(logging.root.handlers), logging.root.level, logging.root.manager.disable) == before
    assert logging.getLogger("library").handlers == []


def test_dict_config_closes_no_handler_of_another_app(load: Load) -> None:
    sets, heard = SETS["a library"]
    first = load("first", {"app.py": HEARS + sets + ANSWERS})
    again = "old = handler\nlogging.root.addHandler(old)\nhandler = Handler()\n" + DICT + "assert old.closed\n"
    second = load("second", {"app.py": HEARS + again + ANSWERS})
    assert second.error is None, second.error
    assert not vars(sys.modules[first.space.package + ".app"])["handler"].closed  # type: ignore[union-attr]
    assert get(first) == heard


def test_what_a_library_sets_at_its_import_is_for_all(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "speaks.py").write_text(
        "import logging\nlog = logging.getLogger('library.part')\nlog.addHandler(logging.NullHandler())\n"
        "log.setLevel('ERROR')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        for name in ("one", "two"):
            seen = "import speaks\nassert len(speaks.log.handlers) == 1 and speaks.log.level == 40\n"
            assert load(name, {"app.py": seen + HEARS + ANSWERS}).error is None
        log = logging.getLogger("library.part")
        assert len(log.handlers) == 1
        assert log.level == logging.ERROR
    finally:
        del sys.modules["speaks"]
        log.handlers.clear()
        log.setLevel(logging.NOTSET)
