"""The watch on what apps share: what it tells, whom it tells, and that it changes nothing else."""

from __future__ import annotations

import _thread
import copy
import importlib
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hosting_help import get

from hedgerow.hosting import findings, kept
from hedgerow.hosting.app import HostedApp
from hedgerow.hosting.findings import MOST, Finding
from hedgerow.hosting.host import Host

Load = Callable[..., HostedApp]

ANSWERS = "\ndef application(e, s):\n  work()\n  s('200 OK', [])\n  return [b'here']\n"
QUIET = "\ndef work(): pass\n" + ANSWERS
GIVES = "\ndef give(module, value):\n    module.given = value\n"


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Finding]]]:
    told: list[tuple[str, Finding]] = []

    def listen(app: str, finding: Finding) -> None:
        told.append((app, finding))

    findings.listeners.append(listen)
    yield told
    findings.listeners.remove(listen)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Installs a module of one file."""
    monkeypatch.syspath_prepend(str(tmp_path / "libraries"))
    before = set(sys.modules)

    def install(name: str, text: str) -> None:
        (tmp_path / "libraries").mkdir(exist_ok=True)
        (tmp_path / "libraries" / f"{name}.py").write_text(text)
        importlib.invalidate_caches()

    yield install
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def sentences(app: HostedApp) -> list[str]:
    return [finding.sentence for finding in app.findings]


def test_a_write_while_serving_is_told_once_and_at_once(
    load: Load, library: Callable[[str, str], None], heard: list[tuple[str, Finding]]
) -> None:
    library("payments", "key = None\n")
    app = load("shop", {"app.py": f"import payments{GIVES}\ndef work(): give(payments, object()){ANSWERS}"})
    assert heard == []
    get(app)
    get(app)
    sentence = "shop: shop/app.py line 3 sets payments.given, which other apps use too"
    assert app.findings == [Finding("shared-state", sentence)]
    assert heard == [("shop", app.findings[0])]


def test_a_thread_of_the_app_is_the_app(load: Load, library: Callable[[str, str], None]) -> None:
    library("payments", "")
    work = "def work():\n    t = threading.Thread(target=give, args=(payments, 1))\n    t.start()\n    t.join()\n"
    app = load("shop", {"app.py": f"import threading, payments{GIVES}\n{work}{ANSWERS}"})
    get(app)
    assert sentences(app) == ["shop: shop/app.py line 3 sets payments.given, which other apps use too"]
    assert threading.active_count() >= 1


def test_what_a_library_sets_is_its_own_business(load: Load, library: Callable[[str, str], None]) -> None:
    library("other", "")
    library(
        "settles",
        "import other, signal, sys\nother.found = 1\ncount = 0\nsignal.signal(10, signal.getsignal(10))\n"
        "def more():\n    global count\n    count += 1\n    other.found = count\n    sys.modules[__name__].seen = 1\n",
    )
    app = load("calls", {"app.py": f"import settles\ndef work(): settles.more(){ANSWERS}"})
    assert get(app) == "here"
    assert app.findings == []


def test_what_changes_nothing_is_none(load: Load) -> None:
    assert load("same", {"app.py": f"import json\njson.dumps = json.dumps{QUIET}"}).findings == []


def test_a_module_with_a_class_of_its_own_keeps_it(load: Load, library: Callable[[str, str], None]) -> None:
    library(
        "counts",
        "import sys, types\nclass Counting(types.ModuleType):\n    def __setattr__(self, name, value):\n"
        "        super().__setattr__(name, value * 2)\n    def __getattr__(self, name): return name\n"
        "sys.modules[__name__].__class__ = Counting\n",
    )
    app = load(
        "twice", {"app.py": f"import counts\nassert counts.any == 'any'\ncounts.n = 2\nassert counts.n == 4{QUIET}"}
    )
    assert app.error is None
    assert sentences(app) == ["twice: twice/app.py line 3 sets counts.n, which other apps use too"]
    assert type(sys.modules["counts"]).__name__ == "Counting"


def test_what_only_says_that_it_is_a_module_is_left_alone(load: Load, library: Callable[[str, str], None]) -> None:
    """As `lib` of cffi does, from whose class nobody may inherit."""
    library(
        "bound",
        "import sys, types\nclass Lib:\n    __class__ = property(lambda self: types.ModuleType)\n"
        "    def __init_subclass__(cls): raise TypeError('not an acceptable base type')\n"
        "sys.modules['bound.lib'] = Lib()\n",
    )
    try:
        app = load("binds", {"app.py": f"import bound{QUIET}"})
        assert (app.error, get(app), app.findings) == (None, "here", [])
    finally:
        sys.modules.pop("bound.lib", None)


def test_a_watched_module_is_a_module_to_all_who_ask(load: Load) -> None:
    load("any", {"app.py": f"import json{QUIET}"})
    assert isinstance(json, ModuleType)
    assert repr(type(json)) == "<class 'module'>"
    assert repr(json).startswith("<module 'json' from ")
    assert pickle.loads(pickle.dumps([json]))[0] is json  # our own
    assert copy.copy(json) is json
    with pytest.raises(AttributeError, match="module 'json' has no attribute 'nothing'"):
        json.nothing  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError):
        del json.nothing  # type: ignore[attr-defined]
    assert importlib.reload(json) is json


def test_what_is_hooked_is_as_before_to_all_who_ask(load: Load, tmp_path: Path) -> None:
    load("any", {"app.py": f"import sqlite3, signal{QUIET}"})
    assert pickle.loads(pickle.dumps((open, os.stat)))[1] is os.stat  # our own
    assert os.stat in os.supports_fd
    assert os.stat in os.supports_follow_symlinks

    class Has:
        look = os.stat

    assert Has().look(tmp_path).st_ino == tmp_path.stat().st_ino  # it has not become a method


def test_an_app_keeps_a_few_findings_only(load: Load) -> None:
    many = "import json\nfor n in range(100): setattr(json, f'many{n}', n)" + QUIET
    assert len(load("many", {"app.py": many}).findings) == MOST


def test_an_ended_process_of_its_own_has_no_watch(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text("import json, sys\njson.own = sys.own = 1\nopen('data.txt')" + QUIET)
    (tmp_path / "data.txt").write_text("")
    look = (
        "import json, os, sys, logging\nfrom pathlib import Path\nfrom types import BuiltinFunctionType, ModuleType\n"
        "from hedgerow.config import Settings\nfrom hedgerow.hosting.host import host_callable\n"
        "host = host_callable('alone', Path(sys.argv[1]), Settings())\n[told] = host.status()\n"
        "assert told['state'] == 'up' and told['findings'] == [], told\n"
        "assert type(json) is ModuleType and type(os.stat) is type(open) is BuiltinFunctionType\n"
        "assert 'level' not in vars(logging.Logger)\n"
    )
    path = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", look, str(tmp_path)], cwd=tmp_path, env=path, check=True, timeout=20)


def test_what_an_app_finds_of_itself_is_in_the_hosts_status(load: Load) -> None:
    app = load("tells", {"app.py": f"import json\njson.told = 1{QUIET}"})
    [told] = Host([app]).status()
    assert told["findings"] == [
        {"cause": "shared-state", "sentence": "tells: tells/app.py line 2 sets json.told, which other apps use too"}
    ]


def test_a_kept_call_from_c_with_no_python_behind_it_is_done() -> None:
    """A server in C makes such calls: uWSGI seeds `random` in each process that it forks."""
    done: list[int] = []
    hooked = kept._telling(done.append, "library", "library.seed", kept.DIRECT)
    _thread.start_new_thread(hooked, (1,))
    deadline = time.monotonic() + 10
    while not done and time.monotonic() < deadline:
        time.sleep(0.001)
    assert done == [1]
