"""`hedgerow.wsgi:application` under servers of other makers, with threads and without: two apps in one process, each
with modules, variables and log settings of its own, asked at once.
"""

from __future__ import annotations

import json
import threading
from http.client import HTTPConnection
from pathlib import Path

import pytest
from gateway_support import PATIENCE_S, Served, served

APP = """
import contextvars, importlib, json, logging, os, threading, time
from models import NAME

asked = contextvars.ContextVar("asked")
here = threading.local()

def application(environ, start_response):
    import late
    number = int(environ["PATH_INFO"][1:] or 0)
    before = asked.get(None)
    asked.set(number)
    os.environ["NUMBER_OF_" + NAME] = "set"
    logging.getLogger("shared.library").setLevel(late.LEVEL)
    start_response("200 OK", [("Content-Type", "application/json")])
    return answer(number, before)

def answer(number, before):
    yield b'{"models": '
    time.sleep(0.001 * (number % 3))
    heard = []
    if number % 10 == 0:
        thread = threading.Thread(target=lambda: heard.append(importlib.import_module("late").NAME))
        thread.start()
        thread.join()
    from late import LEVEL
    yield json.dumps([NAME, heard, os.environ["OWN"], sorted(key for key in os.environ if key.startswith("NUMBER_OF_")),
        logging.getLogger("shared.library").level == LEVEL, before, asked.get()]).encode() + b"}"
"""
THREADED = """
import socketserver, sys, warnings
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from hedgerow.wsgi import application
assert "gevent" not in sys.modules
class Threads(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
class Quiet(WSGIRequestHandler):
    def log_message(self, *given):
        pass
make_server("127.0.0.1", PORT, application, Threads, Quiet).serve_forever()
"""
GUNICORN = ("-m", "gunicorn", "--no-control-socket", "-b", "127.0.0.1:PORT", "hedgerow.wsgi:application")
SERVERS = {
    "waitress": ("-m", "waitress", "--listen=127.0.0.1:PORT", "--threads=8", "hedgerow.wsgi:application"),
    "gunicorn-threads": (*GUNICORN, "-k", "gthread", "--threads", "8"),
    "gunicorn-preload": (*GUNICORN, "-k", "gthread", "--threads", "4", "--workers", "2", "--preload"),
    "gunicorn-gevent": (*GUNICORN, "-k", "gevent"),
    "wsgiref": ("-c", THREADED),
}
REQUESTS, CLIENTS = 1000, 8


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    for name, level in [("blog", 10), ("shop", 40)]:
        folder = tmp_path / "apps" / name
        folder.mkdir(parents=True)
        (folder / "app.py").write_text(APP)
        (folder / "models.py").write_text(f"NAME = {name!r}\n")
        (folder / "late.py").write_text(f"NAME, LEVEL = {name!r}, {level}\n")
        (folder / "app.toml").write_text(f"env = {{OWN = '{name}'}}\n")
    return tmp_path / "apps"


@pytest.mark.parametrize("server", SERVERS)
def test_two_apps_asked_at_once_see_only_themselves(server: str, apps: Path, tmp_path: Path) -> None:
    with served(tmp_path, SERVERS[server], {"HEDGEROW_APPS": str(apps)}) as running:
        wrong: list[object] = []
        clients = [threading.Thread(target=ask_many, args=(running, first, wrong)) for first in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert wrong == []
        status, listed = running.ask("/")
        assert (status, b'href="/blog/"' in listed, b'href="/shop/"' in listed) == (200, True, True)


def ask_many(running: Served, first: int, wrong: list[object]) -> None:
    connection = HTTPConnection("127.0.0.1", running.port, timeout=PATIENCE_S)
    try:
        for number in range(first, REQUESTS, CLIENTS):
            name = ("blog", "shop")[number // CLIENTS % 2]
            connection.request("GET", f"/{name}/{number}")
            body = connection.getresponse().read()
            heard = [name] if number % 10 == 0 else []
            if json.loads(body)["models"] != [name, heard, name, [f"NUMBER_OF_{name}"], True, None, number]:
                wrong.append((number, body))
    except Exception as error:
        wrong.append(error)
    finally:
        connection.close()
