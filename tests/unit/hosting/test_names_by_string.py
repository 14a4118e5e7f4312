"""The ways in which code looks a module up by a string, or by what it believes of its path: each of two apps in one
process, with the same module names, finds its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest
from hosting_help import get

from hedgerow.hosting.app import HostedApp

Load = Callable[..., HostedApp]

ANSWER = "\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [answer()]\n"
COMMON = {
    "models.py": "WORD = b'NAME'\nclass Thing:\n    word = WORD\n",
    "config.py": "WORD = b'NAME'\n",
    "texts/__init__.py": "",
    "texts/word.txt": "NAME",
    "texts/templates/word.txt": "NAME",
    "lib/inner.py": "WORD = b'NAME'\n",
    # As an installation for development leaves it beside the code.
    "plugins.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: plugins\nVersion: 1\n",
    "plugins.egg-info/entry_points.txt": "[words]\nword = models:WORD\n",
    "handlers.py": "import logging\nheard = []\nclass Handler(logging.Handler):\n"
    "    def emit(self, record): heard.append(record.getMessage().encode())\n",
}
DICT_CONFIG = """
import logging.config
logging.config.dictConfig({
    "version": 1, "disable_existing_loggers": False,
    "handlers": {"own": {"class": "handlers.Handler"}},
    "loggers": {"logger of NAME": {"handlers": ["own"], "level": "INFO"}},
})
import handlers
def answer():
    logging.getLogger("logger of NAME").info("NAME")
    return handlers.heard[-1]
"""

# way → the entry; NAME is the app's name
WAYS = {
    "import_module": "import importlib\ndef answer(): return importlib.import_module('models').WORD\n",
    "__import__": "def answer(): return __import__('models').WORD\n",
    "from_object": "import flask\nF = flask.Flask(__name__)\nF.config.from_object('config')\n"
    "def answer(): return F.config['WORD']\n",
    "import_string": "from werkzeug.utils import import_string\ndef answer(): return import_string('models:WORD')\n",
    "dictConfig": DICT_CONFIG,
    "mock.patch": "from unittest import mock\nimport models\ndef answer():\n"
    "    with mock.patch('models.WORD', b'NAME patched'):\n        return models.WORD[:-8]\n",
    "PackageLoader": "import jinja2\nE = jinja2.Environment(loader=jinja2.PackageLoader('texts'))\n"
    "def answer(): return E.get_template('word.txt').render().encode()\n",
    "importlib.resources": "import importlib.resources as r\n"
    "def answer(): return r.files('texts').joinpath('word.txt').read_bytes()\n",
    "pkgutil": "import pkgutil\ndef answer(): return pkgutil.get_data('texts', 'word.txt')\n",
    "sys.modules": "import sys, models\ndef answer(): return sys.modules['models'].WORD\n",
    "sys.modules by its own name": "import sys\nWORD = b'NAME'\ndef answer(): return sys.modules[__name__].WORD\n",
    "from sys import modules": "from sys import modules\nimport models\ndef answer(): return modules['models'].WORD\n",
    "pickle": "import pickle, models\ndef answer(): return pickle.loads(pickle.dumps(models.Thing)).word\n",
    "a package by its own name": "from NAME.models import WORD\ndef answer(): return WORD\n",
    "sys.path.insert": "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), 'lib'))\n"
    "import inner\ndef answer(): return inner.WORD\n",
    "chdir": "import os, sys\nos.chdir(os.path.dirname(os.path.abspath(__file__)))\nsys.path.insert(0, os.getcwd())\n"
    "from models import WORD\ndef answer(): return WORD\n",
    "__main__": "def answer(): return b'NAME'\nif __name__ == '__main__':\n    raise SystemExit(3)\n",
    "entry points": "from importlib.metadata import EntryPoint\n"
    "def answer(): return EntryPoint('x', 'models:WORD', 'group').load()\n",
    "entry points beside it": "from importlib.metadata import entry_points\n"
    "def answer():\n    [one] = entry_points(group='words')\n    return one.load()\n",
    "runpy": "import runpy\ndef answer(): return runpy.run_module('models')['WORD']\n",
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_each_of_two_apps_finds_its_own(load: Load, way: str) -> None:
    before, modules = list(sys.path), set(sys.modules)
    folder = os.getcwd()
    try:
        apps = {name: load(name, files(name, way)) for name in ("first", "second")}
        assert [get(apps[name]) for name in ("first", "second", "first")] == ["first", "second", "first"]
    finally:
        os.chdir(folder)
    assert sys.path == before
    assert not {
        name for name in set(sys.modules) - modules if name.partition(".")[0] in ("models", "texts", "handlers")
    }


def files(name: str, way: str) -> dict[str, str]:
    found = COMMON | {"app.py": WAYS[way] + ANSWER}
    if way == "a package by its own name":
        found["__init__.py"] = ""
    return {path: text.replace("NAME", name) for path, text in found.items()}


def test_what_an_app_sets_in_sys_is_pythons_own(load: Load) -> None:
    source = "import sys\nsys.said = 'NAME'\ndef answer():\n    del sys.said\n    return b''\n"
    app = load("says", {"app.py": source + ANSWER})
    assert sys.said == "NAME"  # type: ignore[attr-defined]
    get(app)
    assert not hasattr(sys, "said")


def test_a_module_that_an_app_puts_under_an_own_name_is_nobody_elses(load: Load) -> None:
    source = "import sys, types\nsys.modules['models'] = types.SimpleNamespace(WORD=b'NAME')\nimport models\n"
    files = {"app.py": source + "def answer(): return models.WORD\n" + ANSWER, "models.py": ""}
    apps = [load(name, {path: text.replace("NAME", name) for path, text in files.items()}) for name in ("one", "two")]
    assert [get(app) for app in apps] == ["one", "two"]
    assert "models" not in sys.modules
