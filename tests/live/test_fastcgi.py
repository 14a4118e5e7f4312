"""`hedgerow fastcgi` behind a real nginx."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from pathlib import Path

import pytest
from front_support import binaries, free_ports, wait_for
from gateway_support import FASTCGI_PARAMS

APP = """
import hashlib, json, time
from models import NAME

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fail":
        raise LookupError("so it is")
    if path == "/exit":
        raise SystemExit("so it ends")
    if path == "/wait":
        open("waits", "x").close()
        time.sleep(0.5)
    start_response("200 OK", [("Content-Type", "application/json"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    if path == "/stream":
        return stream()
    told = {name: environ[name] for name in ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_METHOD")}
    told |= {"name": NAME, "scheme": environ["wsgi.url_scheme"], "field": environ.get("HTTP_X_FIELD"),
        "hash": hashlib.sha256(environ["wsgi.input"].read()).hexdigest()}
    return [json.dumps(told).encode()]

def stream():
    yield b"first\\n"
    time.sleep(0.5)
    yield b"last"
"""
NGINX = """
daemon off; worker_processes 1; pid {here}/nginx.pid; error_log {here}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {here}/t1; proxy_temp_path {here}/t2; fastcgi_temp_path {here}/t3;
    uwsgi_temp_path {here}/t4; scgi_temp_path {here}/t5; client_max_body_size 10m; client_body_buffer_size 2m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            fastcgi_pass 127.0.0.1:{behind};
            fastcgi_buffering off;
            fastcgi_param PATH_INFO $uri;
            {params}
        }}
    }}
}}
"""
PATIENCE_S = 20.0


class Site:
    """nginx at a port, and the process of `hedgerow fastcgi` behind it."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.port, self.process, self.folder = port, process, folder
        self._open = ExitStack()

    def ask(self, path: str, body: bytes | None = None) -> HTTPResponse:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        self._open.callback(connection.close)
        connection.request("GET" if body is None else "POST", path, body, {"X-Field": "caf\u00e9".encode()})
        return self._open.enter_context(connection.getresponse())

    def close(self) -> None:
        self._open.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    for name in ("blog", "shop"):
        (tmp_path / "apps" / name).mkdir(parents=True)
        (tmp_path / "apps" / name / "app.py").write_text(APP)
        (tmp_path / "apps" / name / "models.py").write_text(f"NAME = {name!r}\n")
    port, behind = free_ports(2)
    (tmp_path / "nginx.conf").write_text(NGINX.format(here=tmp_path, port=port, behind=behind, params=FASTCGI_PARAMS))
    nginx = str(binaries()[0].path)
    command = [sys.executable, "-m", "hedgerow.cli", "fastcgi", "apps", "--bind", f"127.0.0.1:{behind}"]
    with (tmp_path / "app.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
        front = subprocess.Popen([nginx, "-e", tmp_path / "nginx.log", "-c", tmp_path / "nginx.conf", "-p", tmp_path])
    made = Site(port, process, tmp_path)
    try:
        wait_for(lambda: answers(made), "an answer through nginx")
        yield made
    finally:
        made.close()
        for one in (front, process):
            with suppress(ProcessLookupError):
                one.send_signal(signal.SIGTERM)
            one.wait(PATIENCE_S)


def answers(site: Site) -> bool:
    assert site.process.poll() is None, (site.folder / "app.log").read_text()
    try:
        with socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE_S):
            return site.ask("/").status == 200
    except OSError:
        return False


def test_requests_reach_the_apps_of_the_folder_whole(site: Site) -> None:
    body = bytes(range(256)) * 4000
    answer = site.ask("/blog/caf%C3%A9%2Fx?a=%20b", body)
    assert (answer.status, answer.headers.get_all("Set-Cookie")) == (200, ["a=1", "b=2"])
    assert json.loads(answer.read()) == {
        "SCRIPT_NAME": "/blog", "PATH_INFO": "/caf\u00c3\u00a9/x", "QUERY_STRING": "a=%20b", "REQUEST_METHOD": "POST",
        "name": "blog", "scheme": "http", "field": "caf\u00c3\u00a9", "hash": hashlib.sha256(body).hexdigest(),
    }  # fmt: skip
    assert site.ask("/shop").headers["Location"].endswith("/shop/")
    assert site.ask("/blog%2Fx").status == 404, "an encoded slash makes no segment"
    assert site.ask("/blog/fail").status == 500
    assert "LookupError: so it is" in (site.folder / "app.log").read_text()
    assert site.ask("/blog/exit").status == 500
    assert "SystemExit: so it ends" in (site.folder / "app.log").read_text()
    stream = site.ask("/blog/stream")
    assert stream.readline() == b"first\n"
    began = time.monotonic()
    assert stream.read() == b"last"
    assert time.monotonic() - began > 0.3, "a block leaves when the app yields it"


def test_many_at_once_get_their_own_answers_and_a_stop_breaks_none_off(site: Site) -> None:
    wrong: list[object] = []

    def ask_some(first: int) -> None:
        for number in range(first, 200, 8):
            name = ("blog", "shop")[number % 16 // 8]
            try:
                found = json.loads(site.ask(f"/{name}/{number}").read())
            except Exception as error:
                found = error
            if not isinstance(found, dict) or (found["name"], found["PATH_INFO"]) != (name, f"/{number}"):
                wrong.append(found)

    clients = [threading.Thread(target=ask_some, args=(first,)) for first in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert wrong == []
    heard: list[bytes] = []
    waiting = threading.Thread(target=lambda: heard.append(site.ask("/blog/wait").read()))
    waiting.start()
    wait_for((site.folder / "waits").exists, "the request is under way")
    began = time.monotonic()
    site.process.send_signal(signal.SIGTERM)
    waiting.join()
    assert json.loads(heard[0])["PATH_INFO"] == "/wait"
    assert site.process.wait(PATIENCE_S) == 0
    assert time.monotonic() - began < 5


def test_a_stop_under_load_takes_nothing_new_and_breaks_nothing_off(site: Site) -> None:
    answers, ended = list[tuple[int, bytes]](), threading.Event()

    def ask_on() -> None:
        while not ended.is_set():
            connection = HTTPConnection("127.0.0.1", site.port, timeout=PATIENCE_S)
            connection.request("GET", "/blog/stream")
            answer = connection.getresponse()
            try:
                body = answer.read()
            except IncompleteRead as error:
                body = error.partial
            answers.append((answer.status, body))
            connection.close()

    clients = [threading.Thread(target=ask_on) for _ in range(4)]
    for number, client in enumerate(clients):
        client.start()
        wait_for(lambda: len(answers) >= number, "they do not come in step")  # noqa: B023  # it is called here only
    try:
        began = time.monotonic()
        site.process.send_signal(signal.SIGTERM)
        assert site.process.wait(5) == 0
        assert time.monotonic() - began > 0.1, "there was something to wait for"
    finally:
        ended.set()
        for client in clients:
            client.join()
    assert {body for status, body in answers if status == 200} == {b"first\nlast"}
    assert {status for status, _ in answers} == {200, 502}
