"""Hedgerow's engine as a [server:…] of an ini file that PasteDeploy loads."""

from __future__ import annotations

import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

from gateway_support import PATIENCE_S, served

INI = """
[server:main]
paste.server_runner = hedgerow.paste:serve
host = 127.0.0.1
port = %(given)s
threads = 4

[app:main]
paste.app_factory = site_app:make
"""
APP = """
import json, threading, time

meeting = threading.Barrier(4)

def make(global_conf):
    return application

def application(environ, start_response):
    if environ["PATH_INFO"] == "/meet":
        meeting.wait(10)
    if environ["PATH_INFO"] == "/wait":
        open("waits", "w").close()
        time.sleep(0.5)
    start_response("200 OK", [("Content-Type", "application/json")])
    yield json.dumps([environ["PATH_INFO"], environ["REMOTE_PORT"], time.sleep.__module__,
        len(environ["wsgi.input"].read())]).encode()
"""
PSERVE = """
import os, sys
sys.path.insert(0, os.getcwd())
from paste.deploy import loadapp, loadserver
uri = "config:" + os.path.abspath("site.ini")
conf = {"given": "PORT"}
loadserver(uri, global_conf=conf)(loadapp(uri, global_conf=conf))
"""


def test_an_app_of_an_ini_file_is_served_in_threads_until_the_end(tmp_path: Path) -> None:
    (tmp_path / "site.ini").write_text(INI)
    (tmp_path / "site_app.py").write_text(APP)
    heard: list[bytes] = []
    with served(tmp_path, ("-c", PSERVE)) as site:
        with ThreadPoolExecutor(4) as clients:
            met = list(clients.map(lambda _: site.ask("/meet"), range(4)))
        assert [status for status, _ in met] == [200] * 4, "four at once, each in a thread"
        connection = HTTPConnection("127.0.0.1", site.port, timeout=PATIENCE_S)
        answers = []
        for number in range(200):
            connection.request("POST", f"/{number}", b"x" * number)
            answers.append(json.loads(connection.getresponse().read()))
        connection.close()
        assert [answer[0] for answer in answers] == [f"/{number}" for number in range(200)]
        assert [answer[3] for answer in answers] == list(range(200))
        assert len({answer[1] for answer in answers}) == 1, "one connection"
        assert answers[0][2] == "time", "nothing is patched"
        waiting = threading.Thread(target=lambda: heard.append(site.ask("/wait")[1]))
        waiting.start()
        deadline = time.monotonic() + PATIENCE_S
        while not (tmp_path / "waits").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        site.process.send_signal(signal.SIGTERM)
        waiting.join()
        assert site.process.wait(PATIENCE_S) == 0
        log = [json.loads(line) for line in site.log.read_text().splitlines()]
    assert json.loads(heard[0])[0] == "/wait", "what was begun is answered"
    assert sum(line["kind"] == "access" for line in log) >= 205
    assert log[-1]["message"].startswith("gone: ")
