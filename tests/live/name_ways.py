"""Apps that look their own modules and files up by a string, by way: what a folder of each holds.

All have the same names in them, so that each mix-up shows. NAME is the name of the app, which is what it is to answer.
"""

from __future__ import annotations

from collections.abc import Mapping

ANSWER = """
def application(environ, start_response):
    body = answer()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""
COMMON = {
    "models.py": "WORD = b'NAME'\nclass Thing:\n    word = WORD\n",
    "config.py": "WORD = b'NAME'\nclass Production:\n    WORD = b'NAME'\n",
    "texts/__init__.py": "",
    "texts/word.txt": "NAME",
    "texts/templates/word.txt": "NAME",
    "lib/inner.py": "WORD = b'NAME'\n",
    "word.txt": "NAME",
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
PASSENGER = """
import os, sys
os.chdir(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.getcwd())
from models import WORD
def answer():
    return WORD if open("word.txt", "rb").read() == WORD else b"not mine"
"""
MAIN = """
import sys
def answer():
    return b"NAME"
if __name__ == "__main__":
    from wsgiref.simple_server import make_server
    make_server("", 8000, application).serve_forever()
"""
# As a command's `pip install -e .` leaves it beside the code.
EGG_INFO = {
    "plugins.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: plugins\nVersion: 1\n",
    "plugins.egg-info/entry_points.txt": "[words]\nword = models:WORD\n",
}

# way → the entry's text, or all files
WAYS: Mapping[str, str | Mapping[str, str]] = {
    "import_module": "import importlib\ndef answer(): return importlib.import_module('models').WORD\n",
    "from_object": "import flask\nF = flask.Flask(__name__)\nF.config.from_object('config.Production')\n"
    "def answer(): return F.config['WORD']\n",
    "Flask by name": "import flask\nF = flask.Flask('texts')\n"
    "def answer():\n    with F.app_context(): return flask.render_template('word.txt').encode()\n",
    "dictConfig": DICT_CONFIG,
    "mock.patch": "from unittest import mock\nimport models\ndef answer():\n"
    "    with mock.patch('models.WORD', b'NAME patched'):\n        return models.WORD[:-8]\n",
    "PackageLoader": "import jinja2\nE = jinja2.Environment(loader=jinja2.PackageLoader('texts'))\n"
    "def answer(): return E.get_template('word.txt').render().encode()\n",
    "importlib.resources": "import importlib.resources as r\n"
    "def answer(): return r.files('texts').joinpath('word.txt').read_bytes()\n",
    "sys.modules": "import sys, models\ndef answer(): return sys.modules['models'].WORD\n",
    "sys.modules in a library": "import models, looks_up\ndef answer(): return looks_up.module('models').WORD\n",
    "pickle": "import pickle, models\ndef answer(): return pickle.loads(pickle.dumps(models.Thing)).word\n",
    "pickle made elsewhere": "import pickle\ndef answer(): return pickle.loads(b'cmodels\\nThing\\n.').word\n",
    "a package by its own name": {
        "__init__.py": "import importlib\nfrom NAME.models import WORD\nfrom NAME import config\n"
        "def answer(): return importlib.import_module('NAME.config').WORD if config.WORD == WORD else b''\n" + ANSWER
    },
    "sys.path.insert": "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), 'lib'))\n"
    "import inner\ndef answer(): return inner.WORD\n",
    "chdir in passenger_wsgi.py": {"passenger_wsgi.py": PASSENGER + ANSWER},
    "relative open": "def answer():\n    with open('word.txt', 'rb') as file: return file.read()\n",
    "__main__ guard": MAIN,
    "entry point": "from importlib.metadata import EntryPoint\n"
    "def answer(): return EntryPoint('word', 'models:WORD', 'words').load()\n",
    "entry points beside it": {
        **EGG_INFO,
        "app.py": "from importlib.metadata import entry_points\n"
        "def answer():\n    [one] = entry_points(group='words')\n    return one.load()\n" + ANSWER,
    },
}  # fmt: skip

# A library of everybody: it asks for a module as it was told.
LIBRARY = "import sys\ndef module(name): return sys.modules[name]\n"


def files(way: str, name: str) -> dict[str, str]:
    """What the folder of an app that goes this way holds."""
    entry = WAYS[way]
    own = {"app.py": entry + ANSWER} if isinstance(entry, str) else entry
    return {path: text.replace("NAME", name) for path, text in {**COMMON, **own}.items()}
