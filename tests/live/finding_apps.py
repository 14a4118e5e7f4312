"""Apps as people write them: ordinary ones, of which nothing may be found, and such as set what all apps share.

Each is the text of `app.py`.
"""

from __future__ import annotations

import textwrap
from typing import NamedTuple

ANSWER = "\ndef application(environ, start_response):\n    work()\n    start_response('200 OK', [])\n    return []\n"


class Told(NamedTuple):
    """An app, the cause that must be found, words of the sentence, and whether that comes with the first request."""

    text: str
    cause: str
    words: str
    served: bool = False


def plain(text: str = "", work: str = "pass") -> str:
    """An app that is a function. work: what each request does."""
    return f"{text}\ndef work():\n{textwrap.indent(work, '    ')}\n{ANSWER}"


# What the project's own environment has.
ORDINARY = {
    "plain": plain(),
    "flask": """
import logging
from flask import Flask, g, jsonify, render_template_string, request, session, url_for
app = Flask(__name__)
app.secret_key = "x"
app.config["X"] = 1
app.logger.setLevel(logging.INFO)
@app.before_request
def before():
    g.user = session["a"] = request.extra = 1
@app.route("/")
def index():
    return render_template_string("{{ x }}", x=url_for("index"))
application = app
""",
    "requests": plain(
        "import requests\ns = requests.Session()\ns.headers['A'] = 'b'\ns.verify = False",
        "requests.Request('GET', 'http://x').prepare()",
    ),
    "jinja": plain(
        "import jinja2, os\ne = jinja2.Environment(loader=jinja2.FileSystemLoader(os.path.dirname(__file__)))\n"
        "e.globals['x'] = 1\ne.filters['y'] = len",
        "e.from_string('a').render()\nassert e.get_template('app.py')",
    ),
    "click": plain("import click\n@click.group()\ndef cli(): pass\n@cli.command()\ndef a(): pass"),
    "itsdangerous": plain("from itsdangerous import URLSafeTimedSerializer as U\nu = U('x')", "u.loads(u.dumps(1))"),
    "attrs": plain("import attrs\n@attrs.define\nclass A:\n    x: int = 1"),
    "yaml": plain("import yaml\nclass Own(yaml.SafeLoader): pass\nOwn.x = 1", "yaml.load('a: 1', Own)"),
    "zope": plain("import zope.interface as z\nclass I(z.Interface): pass\n@z.implementer(I)\nclass A: pass"),
    "logs": plain(
        "import logging.config\nlogging.basicConfig(level='DEBUG')\nlogging.getLogger('werkzeug').setLevel('ERROR')\n"
        "logging.config.dictConfig({'version': 1, 'root': {'level': 'DEBUG', 'handlers': ['h']},\n"
        "    'handlers': {'h': {'class': 'logging.StreamHandler'}}})",
        "logging.getLogger(__name__).info('x')",
    ),
    "asks": plain("import locale, signal", "locale.setlocale(locale.LC_ALL)\nsignal.getsignal(15)"),
    "standard": plain(
        """
import asyncio, concurrent.futures, decimal, json, mimetypes, os, pathlib, pickle, random, sqlite3, subprocess, sys
import tempfile, unittest.mock, warnings
warnings.filterwarnings("ignore")
decimal.getcontext().prec = 5
os.environ["FOO"] = "x"
os.environ.update(BAZ="1")
sys.path.insert(0, os.path.dirname(__file__))
sys.dont_write_bytecode = True
mimetypes.add_type("text/x-own", ".own")
HERE = pathlib.Path(__file__).parent
db = sqlite3.connect(":memory:")
cache = {}
if __name__ == "__main__": json.x = json.JSONEncoder.x = 1
""",
        """
global cache
cache = {"a": 1}
random.random()
asyncio.run(asyncio.sleep(0))
with tempfile.NamedTemporaryFile("w") as f: f.write("x")
assert (HERE / "app.py").read_text() and list(HERE.iterdir()) and os.listdir(HERE)
subprocess.run(["true"], check=True)
with unittest.mock.patch("json.dumps"): pass
with concurrent.futures.ThreadPoolExecutor(1) as pool:
    assert pool.submit(len, "x").result() == 1
assert pickle.loads(pickle.dumps((json, os.stat, open)))[0] is json
""",
    ),
}

# What is installed for the slow test alone.
FRAMEWORKS = {
    "flask_extensions": """
from flask import Flask
from flask_login import LoginManager, UserMixin
from flask_restful import Api, Resource
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect, FlaskForm
from wtforms import StringField
app = application = Flask(__name__)
app.config.update(SECRET_KEY="x", SQLALCHEMY_DATABASE_URI="sqlite://")
db, login, api = SQLAlchemy(app), LoginManager(app), Api(app)
CSRFProtect(app)
class User(UserMixin, db.Model):
    id = db.Column(db.Integer, primary_key=True)
class Form(FlaskForm):
    name = StringField()
class Here(Resource):
    def get(self):
        return {"n": User.query.count()}
api.add_resource(Here, "/")
with app.app_context():
    db.create_all()
""",
    "bottle": """
from bottle import Bottle, request, response, template
app = application = Bottle()
@app.route("/")
def index():
    response.content_type = "text/plain"
    response.headers["X"] = request.extra = "1"
    response.status = 200
    return template("x {{a}}", a=1)
""",
    "falcon": """
import falcon
class Here:
    def on_get(self, req, resp):
        resp.media, resp.status, req.context.x = {"a": 1}, falcon.HTTP_200, 1
application = falcon.App()
application.add_route("/", Here())
""",
    "pyramid": """
from pyramid.config import Configurator
from pyramid.response import Response
config = Configurator(settings={})
config.add_route("i", "/")
config.add_view(lambda request: Response("x"), route_name="i")
application = config.make_wsgi_app()
""",
    "cherrypy": """
import cherrypy
class Root:
    @cherrypy.expose
    def index(self):
        cherrypy.response.headers["X"] = "1"
        cherrypy.request.x = 1
        return "x"
application = cherrypy.Application(Root(), None)
""",
    "webpy": """
import web
class Index:
    def GET(self):
        web.header("Content-Type", "text/plain")
        web.ctx.x = 1
        return "x"
application = web.application(("/", Index), {}).wsgifunc()
""",
    "sqlalchemy": plain(
        """
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker
engine = sa.create_engine("sqlite://")
class Base(DeclarativeBase): pass
class A(Base):
    __tablename__ = "a"
    id: Mapped[int] = mapped_column(primary_key=True)
@event.listens_for(engine, "connect")
def connected(connection, record): connection.execute("pragma foreign_keys=on")
Base.metadata.create_all(engine)
make = sessionmaker(engine)
A.x = 1
""",
        "with make() as session: session.query(A).all()",
    ),
    "pydantic": plain(
        "from pydantic import BaseModel\nclass M(BaseModel):\n    a: int = 1", "M(a=2).model_dump_json()"
    ),
    "lxml": plain("from lxml import etree", "etree.tostring(etree.fromstring('<a/>'))"),
    "redis": plain("import redis\nr = redis.Redis()"),
    "celery": plain(
        "from celery import Celery\nc = Celery('x', broker='memory://')\nc.conf.update(task_always_eager=True)\n"
        "c.conf.timezone = 'UTC'\n@c.task\ndef t(): return 1",
        "t.delay().get()",
    ),
    "numpy": plain("import numpy as np\na = np.zeros(3)\na[0] = 1", "np.random.default_rng(3).random()"),
    "marshmallow": plain(
        "from marshmallow import Schema, fields\nclass S(Schema):\n    a = fields.Int()", "S().load({})"
    ),
    "peewee": plain(
        "import peewee\ndb = peewee.SqliteDatabase(':memory:')\nclass A(peewee.Model):\n    class Meta: database = db\n"
        "db.connect()\ndb.create_tables([A])",
        "A.select().count()",
    ),
    "pony": plain(
        "from pony.orm import *\ndb = Database()\nclass A(db.Entity):\n    a = Required(int)\n"
        "db.bind('sqlite', ':memory:')\ndb.generate_mapping(create_tables=True)",
        "with db_session: select(a for a in A)[:]",
    ),
    "boto3": plain("import boto3\ns = boto3.Session(region_name='y')"),
    "stripe": plain("import stripe\nc = stripe.StripeClient('sk_x')"),
    "openai": plain("import openai\nc = openai.OpenAI(api_key='x')"),
    "httpx": plain("import httpx\nc = httpx.Client()\nc.headers['a'] = 'b'"),
    "structlog": plain("import structlog\nlog = structlog.get_logger()", "log.info('x')"),
    "loguru": plain("from loguru import logger", "logger.info('x')"),
    "prometheus": plain(
        "from prometheus_client import CollectorRegistry, Counter, generate_latest\nr = CollectorRegistry()\n"
        "c = Counter('c', 'c', registry=r)",
        "c.inc()\ngenerate_latest(r)",
    ),
}
FRAMEWORK_PACKAGES = (
    "flask", "flask-sqlalchemy", "flask-login", "flask-wtf", "flask-restful", "bottle", "falcon", "pyramid",
    "setuptools<82", "cherrypy", "web.py", "sqlalchemy", "pydantic", "lxml", "redis", "celery", "numpy", "marshmallow",
    "peewee", "pony", "boto3", "stripe", "openai", "httpx", "structlog", "loguru", "prometheus_client", "sentry-sdk",
    "mongoengine", "django", "quixote", "cloudinary", "rollbar", "sqlobject",
)  # fmt: skip

STATE, GLOBAL, PROCESS, NAMES = "shared-state", "global", "process-state", "names"
TOLD = {
    "attribute": Told(plain("import ssl\nssl.own = 1"), STATE, "app.py line 2 sets ssl.own"),
    "deleted": Told(plain("import json\njson.own = 1\ndel json.own"), STATE, "app.py line 3 sets json.own"),
    "setattr": Told(plain("import json\nsetattr(json, 'own', 1)"), STATE, "app.py line 2 sets json.own"),
    "by_argument": Told(plain("import json\ndef f(m): m.other = 1", "f(json)"), STATE, "sets json.other", served=True),
    "in_function": Told(plain("import json\ndef f():\n    json.own = 1"), STATE, "app.py line 3 sets json.own"),
    "late_import": Told(plain("", "import json.tool as t\nt.own = 1"), STATE, "sets json.tool.own", served=True),
    "builtin": Told(plain("import builtins\nbuiltins.own = 1"), STATE, "sets builtins.own"),
    "sys": Told(plain("import sys\nsys.own = 1"), STATE, "sets sys.own"),
    "sys_modules": Told(plain("import sys\nsys.modules['own'] = sys"), STATE, "sets sys.modules['own']"),
    "class": Told(plain("import requests\nrequests.Session.own = 1"), STATE, "sets requests.Session.own"),
    "class_later": Told(plain("from requests import Session as S", "S.own = 1"), STATE, "sets requests.Session.own"),
    "entry": Told(plain("import json.encoder as e\ne.ESCAPE_DCT['x'] = 'x'"), STATE, "an entry of json.encoder.ESCAPE"),
    "list": Told(plain("import json\njson.__all__.append('x')"), STATE, "changes json.__all__"),
    "added": Told(plain("from json import __all__ as names\nnames += ['x']"), STATE, "changes json.__all__"),
    "seed": Told(plain("import random\nrandom.seed(1)"), STATE, "uses random.seed"),
    "gettext": Told(plain("import gettext\ngettext.install('x')"), STATE, "uses gettext.install"),
    "adapter": Told(plain("import sqlite3 as s\ns.register_adapter(dict, str)"), STATE, "sqlite3.register_adapter"),
    "warnings": Told(plain("import warnings\nwarnings.simplefilter('error', ImportWarning)"), STATE, "into errors"),
    "signal": Told(plain("import flask\nflask.request_started.connect(print)"), STATE, "whatever app sends it"),
    "chdir": Told(plain("import os", "os.chdir(os.getcwd())"), PROCESS, "uses os.chdir", served=True),
    "locale": Told(
        plain("import locale", "locale.setlocale(locale.LC_ALL, 'C')"), PROCESS, "uses locale.setlocale", served=True
    ),
    "handler": Told(plain("import signal", "signal.signal(10, signal.SIG_IGN)"), PROCESS, "signal.signal", served=True),
    "umask": Told(plain("import os\nos.umask(0o007)"), PROCESS, "the umask (0o007"),
    "opens": Told(plain("", "try: open('data.txt')\nexcept OSError: pass"), NAMES, "looks for data.txt", served=True),
    "opens_at_load": Told(plain("try: open('data.txt')\nexcept OSError: pass"), NAMES, "looks for data.txt"),
    "path": Told(plain("import pathlib\npathlib.Path('data.txt').exists()"), NAMES, "looks for data.txt"),
    "absolute": Told(plain("import os\nos.path.isfile(os.path.abspath('data.txt'))"), NAMES, "looks for data.txt"),
    "template": Told(
        plain("import jinja2\ne = jinja2.Environment(loader=jinja2.FileSystemLoader('.'))\ne.list_templates()\n"
              "try: e.get_template('data.txt')\nexcept jinja2.TemplateNotFound: pass"),
        NAMES, "looks for ./data.txt",
    ),
    "database": Told(plain("import sqlite3\nsqlite3.connect('own.db').close()"), NAMES, "makes own.db"),
    "log_file": Told(plain("import logging\nlogging.FileHandler('own.log')"), NAMES, "makes own.log"),
    "writes": Told(plain("", "open('new.txt', 'w').close()"), NAMES, "makes new.txt", served=True),
    "statement": Told(
        plain("import looks", "try: looks.bring()\nexcept ImportError: pass"), NAMES, "imports models", served=True
    ),
    "modules": Told(
        plain("import logging, looks, models", "try: looks.take('models')\nexcept KeyError: logging.exception('x')"),
        NAMES, "looks for models in sys.modules", served=True,
    ),
}  # fmt: skip
TOLD_FRAMEWORKS = {
    "stripe": Told(plain("import stripe\nstripe.api_key = 'x'"), STATE, "sets stripe.api_key"),
    "openai": Told(plain("import openai\nopenai.api_key = 'x'"), STATE, "sets openai.api_key"),
    "template_path": Told(plain("import bottle\nbottle.TEMPLATE_PATH.insert(0, 'x')"), STATE, "bottle.TEMPLATE_PATH"),
    "bottle": Told(
        "from bottle import default_app, route\n@route('/')\ndef i(): return 'x'\napplication = default_app()\n",
        GLOBAL, "uses Bottle's default app",
    ),
    "cherrypy": Told(
        "import cherrypy\nclass R: pass\napplication = cherrypy.tree.mount(R(), '')\n", GLOBAL, "cherrypy.tree.mount"
    ),
    "quixote": Told(
        "import quixote.wsgi\nfrom quixote.directory import Directory\nfrom quixote.publish import Publisher\n"
        "application = quixote.wsgi.QWIP(Publisher(Directory()))\n",
        GLOBAL, "uses quixote.publish.Publisher",
    ),
    "webpy": Told(plain("import web\nweb.config.debug = False"), STATE, "sets web.config.debug"),
    "cloudinary": Told(plain("import cloudinary\ncloudinary.config(cloud_name='x')"), STATE, "uses cloudinary.config"),
    "rollbar": Told(plain("import rollbar\nrollbar.init('x', 'y')"), STATE, "uses rollbar.init"),
    "boto3": Told(plain("import boto3\nboto3.client('s3', region_name='x')"), STATE, "boto3's default session"),
    "sqlobject": Told(plain("from sqlobject import sqlhub as s\ns.processConnection = 0"), STATE, "processConnection"),
    "engines": Told(
        plain("from sqlalchemy import event\nfrom sqlalchemy.engine import Engine\n"
              "@event.listens_for(Engine, 'connect')\ndef f(a, b): pass"),
        STATE, "uses sqlalchemy.event.listens_for",
    ),
    "structlog": Told(plain("import structlog\nstructlog.configure()"), STATE, "uses structlog.configure"),
    "loguru": Told(plain("from loguru import logger\nlogger.add(print)"), STATE, "uses loguru.logger.add"),
}  # fmt: skip
LIBRARY = "import sys\ndef bring():\n    import models\ndef take(name): return sys.modules[name]\n"
