"""What libraries look up by string, and what is done with an app's classes. Real libraries do the looking up."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable

import pytest
from hosting_help import get

from hedgerow.hosting.app import HostedApp

Load = Callable[..., HostedApp]

HEAD = "from flask import Flask\nfrom werkzeug.utils import import_string\napp = Flask(__name__)\n"
FILES = {
    "config.py": "KEY = 'own'\nclass Dev:\n  KEY = 'own Dev'\n",
    "models.py": "import dataclasses\n@dataclasses.dataclass\nclass X:\n  n: 'Number'\n  kind = 'real'\nNumber = int\n",
    "handlers.py": """
import logging
class Kept(logging.Handler):
    lines = []
    def emit(self, record):
        self.lines.append(record.msg)
""",
    "calendar.py": "WHOSE = 'own'\n",
    "redis.py": "WHOSE = 'own'\n",
    "pkg/__init__.py": "",
    "pkg/inner.py": "VALUE = 'inner'\n",
}

CASES = {
    "from_object, a module": "app.config.from_object('config')\nRESULT = app.config['KEY']",
    "from_object, a class": "app.config.from_object('config.Dev')\nRESULT = app.config['KEY']",
    "from_object, with a colon": "app.config.from_object('config:Dev')\nRESULT = app.config['KEY']",
    "import_string": "RESULT = import_string('pkg.inner').VALUE",
    "import_string, an attribute": "RESULT = import_string('pkg.inner.VALUE')",
    "import_string, silent": "RESULT = import_string('pkg.none', silent=True)",
    "import_module": "import importlib\nRESULT = importlib.import_module('config').KEY",
    "import_module, dotted": "import importlib\nRESULT = importlib.import_module('pkg.inner').VALUE",
    "import_module, relative": "import importlib\nRESULT = importlib.import_module('.inner', 'pkg').VALUE",
    "import_module, own standard name": "import importlib\nRESULT = importlib.import_module('calendar').WHOSE",
    "find_spec": "import importlib.util, os\nRESULT = os.path.basename(importlib.util.find_spec('config').origin)",
    "Flask by a literal name": "import os\nRESULT = os.path.basename(Flask('config').root_path)",
    "dictConfig": """
import logging, logging.config
logging.config.dictConfig({'version': 1, 'disable_existing_loggers': False,
    'handlers': {'kept': {'class': 'handlers.Kept'}}, 'loggers': {'case': {'handlers': ['kept']}}})
logging.getLogger('case').warning('told')
import handlers
RESULT = handlers.Kept.lines""",
    "mock.patch": """
from unittest import mock
import models
with mock.patch('models.X', 'mocked'):
    RESULT = [models.X]
RESULT.append(models.X.kind)""",
    "pickle": "import pickle, models\nRESULT = pickle.loads(pickle.dumps(models.X(3))) == models.X(3)",
    "get_type_hints": "import typing, models\nRESULT = typing.get_type_hints(models.X)",
    "dataclass": "import dataclasses, models\nRESULT = dataclasses.asdict(models.X(3))",
    "reload": "import importlib, config\nconfig.KEY = 'changed'\nRESULT = importlib.reload(config).KEY",
    "exec": "exec('import config')\nRESULT = config.KEY",
    "a C function's import": "import time, calendar\nRESULT = [time.strptime('2026', '%Y').tm_year, calendar.WHOSE]",
    "a library's own standard name": "import email.utils\nRESULT = email.utils.formatdate(0)[:3]",
}
WANTED = {
    "from_object, a module": "own",
    "from_object, a class": "own Dev",
    "from_object, with a colon": "own Dev",
    "import_string": "inner",
    "import_string, an attribute": "inner",
    "import_string, silent": None,
    "import_module": "own",
    "import_module, dotted": "inner",
    "import_module, relative": "inner",
    "import_module, own standard name": "own",
    "find_spec": "config.py",
    "Flask by a literal name": "app0",
    "dictConfig": ["told"],
    "mock.patch": ["mocked", "real"],
    "pickle": True,
    "get_type_hints": {"n": int},
    "dataclass": {"n": 3},
    "reload": "own",
    "exec": "own",
    "a C function's import": [2026, "own"],
    "a library's own standard name": "Thu",
}


@pytest.mark.parametrize("when", ["at load", "in a request"])
@pytest.mark.parametrize("case", CASES)
def test_by_string(load: Load, case: str, when: str) -> None:
    source = CASES[case].strip()
    if when == "at load":
        body = f"{source}\n@app.get('/')\ndef root(): return repr(RESULT)\n"
    else:
        lines = source.replace("exec('import config')", "import config").replace("\n", "\n  ")
        body = f"@app.get('/')\ndef root():\n  {lines}\n  return repr(RESULT)\n"
    app = load("app0", FILES | {"app.py": HEAD + body})
    assert get(app) == repr(WANTED[case])
    assert not {"config", "models", "handlers", "pkg"} & sys.modules.keys()
    logging.getLogger("case").handlers.clear()


def test_two_apps_look_up_the_same_string(load: Load) -> None:
    source = HEAD + "@app.get('/')\ndef root():\n  app.config.from_object('config')\n  return app.config['KEY']\n"
    apps = [load(name, {"app.py": source, "config.py": f"KEY = '{name}'"}) for name in ("first", "second")]
    assert [get(app) for app in apps * 2] == ["first", "second"] * 2


def test_a_librarys_statement_never_gets_an_own_module(load: Load) -> None:
    """`import this_is_lib` of a library inside a request of an app that has such a file too."""
    source = "import stat_lib\ndef application(e, s):\n  s('200 OK', [])\n  return [stat_lib.ask()]\n"
    app = load("statement", {"app.py": source, "colorsys.py": "WHOSE = 'own'", "click.py": "WHOSE = 'own'"})
    assert app.error is not None
    assert app.error.sentence == "statement/app.py line 1: ModuleNotFoundError: No module named 'stat_lib'"
    assert app.space is not None

    def statements() -> tuple[object, object]:
        import colorsys  # noqa: PLC0415

        import click  # noqa: PLC0415

        return getattr(click, "WHOSE", "installed"), getattr(colorsys, "WHOSE", "standard")

    assert app.space.context.copy().run(statements) == ("installed", "standard")


def test_a_call_of_import_by_a_library_gets_own_names_but_no_standard_ones(load: Load) -> None:
    app = load("called", FILES | {"app.py": "application = print"})

    def calls() -> list[object]:
        own = __import__("config")
        with_globals = __import__("pkg.inner", globals(), locals(), ["VALUE"])
        top = __import__("pkg.inner")
        standard = importlib.import_module("calendar")
        return [own.KEY, with_globals.VALUE, top.inner.VALUE, hasattr(standard, "WHOSE")]

    assert app.space is not None
    assert app.space.context.copy().run(calls) == ["own", "inner", "inner", False]


def test_an_installed_submodule_is_found_beside_an_own_file_of_that_name(load: Load) -> None:
    app = load("beside", {"app.py": "application = print", "flask.py": "", "werkzeug.py": "import no_such_thing"})
    assert app.space is not None
    run = app.space.context.copy().run
    assert run(importlib.import_module, "flask.json.tag").__name__ == "flask.json.tag"
    with pytest.raises(ModuleNotFoundError, match="no_such_thing"):  # a mistake in an own file is not hidden
        run(importlib.import_module, "werkzeug")


def test_outside_an_app_nothing_is_changed(load: Load) -> None:
    load("inside", FILES | {"app.py": "application = print"})
    for look_up in (importlib.import_module, __import__):
        with pytest.raises(ModuleNotFoundError, match="'handlers'"):
            look_up("handlers")
    assert importlib.util.find_spec("handlers") is None
