"""`gunicorn -k hedgerow.gunicorn.Worker`: gunicorn's processes and signals, our engine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from gateway_support import PATIENCE_S, Served, served

APP = """
import json, os, sys, threading, time

VERSION = 1
PATCHED = threading.current_thread().__class__.__module__, time.sleep.__module__

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/exit":
        sys.exit(3)
    if path == "/busy":
        while True:
            pass
    if path == "/wait":
        open("waits", "w").close()
        time.sleep(0.5)
    start_response("200 OK", [("Content-Type", "application/json"), ("X-Own", "yes")])
    told = [VERSION, os.getpid(), environ["REMOTE_PORT"], path, environ["SCRIPT_NAME"], time.sleep.__module__,
        threading.current_thread().name, len(environ["wsgi.input"].read())]
    return [json.dumps(told).encode()]
"""
COMMAND = (
    "-m", "gunicorn", "--no-control-socket", "-k", "hedgerow.gunicorn.Worker", "-b", "127.0.0.1:PORT",
    "--access-logfile", "-", "--graceful-timeout", "10",
)  # fmt: skip


@contextmanager
def running(folder: Path, *options: str, environ: dict[str, str] | None = None) -> Iterator[Served]:
    (folder / "app.py").write_text(APP)
    with served(folder, [*COMMAND, *options, "app:application"], environ) as found:
        yield found
    assert found.process.returncode == 0, found.log.read_text()


class Load:
    """Clients that keep their connections, and open another one when they are told to."""

    def __init__(self, port: int, clients: int = 4, requests: int | None = None) -> None:
        self.answers: list[list[Any]] = []
        self.failed: list[object] = []
        self._port = port
        self._requests = requests
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def _ask(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        count = 0
        while not self._stop.is_set() and count != self._requests:
            count += 1
            try:
                connection.request("POST", f"/{count}", b"x" * 100)
                answer = connection.getresponse()
                body = answer.read()
                found = json.loads(body) if answer.status == 200 else [answer.status]
                (self.answers if found[3:4] == [f"/{count}"] and found[-1] == 100 else self.failed).append(found)
            except Exception as error:
                self.failed.append(error)
                connection.close()
        connection.close()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._requests is None:
            self._stop.set()
        for thread in self._threads:
            thread.join()


def until(load: Load, wanted: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not wanted(load):
        assert time.monotonic() < deadline, (load.failed, load.answers[-1:])
        time.sleep(0.02)


def pids(site: Served, count: int) -> set[int]:
    """Of the workers, once so many have answered."""
    found: set[int] = set()
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count:
        assert time.monotonic() < deadline, found
        found.add(json.loads(site.ask("/")[1])[1])
    return found


def test_a_thousand_requests_on_a_few_connections(tmp_path: Path) -> None:
    with running(tmp_path, "--workers", "2") as site:
        with Load(site.port, 8, 125) as load:
            pass
        assert load.failed == []
        assert len(load.answers) == 1000
        assert len({answer[2] for answer in load.answers}) == 8, "each client has kept its connection"
        assert {answer[5] for answer in load.answers} == {"gevent.hub"}, "greenlets, and patched"
        assert site.ask("/exit")[0] == 500
        assert site.ask("/after")[0] == 200
        lines = site.log.read_text().splitlines()
        assert sum('"POST /' in line and '" 200 ' in line for line in lines) == 1000, "gunicorn's own access log"
        assert any("GET /exit raised SystemExit" in line for line in lines)


@pytest.mark.parametrize("options", [("--workers", "2"), ("--threads", "4"), ("--workers", "2", "--preload")])
def test_a_reload_under_load_loses_no_request(options: tuple[str, ...], tmp_path: Path) -> None:
    with running(tmp_path, *options) as site:
        before = pids(site, 2 if "--workers" in options else 1)
        with Load(site.port) as load:
            until(load, lambda load: len(load.answers) > 100)
            (tmp_path / "app.py").write_text(APP.replace("VERSION = 1", "VERSION = 20"))  # not the size that it had
            site.process.send_signal(signal.SIGHUP)
            until(load, lambda load: load.answers[-1][1] not in before)
            enough = len(load.answers) + 300
            until(load, lambda load: len(load.answers) > enough)
        assert load.failed == []
        assert load.answers[-1][0] == (1 if "--preload" in options else 20)  # whose code is the arbiter's
        names = {answer[6].rpartition("-")[0] for answer in load.answers}
        assert ("--threads" in options) == (names == {"app:application"}), names
        print(f"{len(load.answers)} requests, 0 failed")


def test_workers_that_have_answered_enough_are_followed_by_others(tmp_path: Path) -> None:
    with running(tmp_path, "--max-requests", "100", "--workers", "2") as site:
        with Load(site.port) as load:
            until(load, lambda load: len({answer[1] for answer in load.answers}) >= 4)
        assert load.failed == []


def test_what_was_begun_is_answered_before_the_end(tmp_path: Path) -> None:
    heard: list[tuple[int, bytes]] = []
    with running(tmp_path, environ={"SCRIPT_NAME": "/mount"}) as site:
        waiting = threading.Thread(target=lambda: heard.append(site.ask("/mount/wait")))
        waiting.start()
        deadline = time.monotonic() + PATIENCE_S
        while not (tmp_path / "waits").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        began = time.monotonic()
        site.process.send_signal(signal.SIGTERM)
        waiting.join()
        assert site.process.wait(PATIENCE_S) == 0
        assert time.monotonic() - began < 5
    status, body = heard[0]
    assert (status, json.loads(body)[3:5]) == (200, ["/wait", "/mount"])


def test_what_the_engine_has_not_is_refused(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "c.pem").touch()
    command = [sys.executable, *COMMAND[:-4], "--certfile", "c.pem", "--keyfile", "c.pem", "app:application"]
    command = [word.replace("PORT", "0") for word in command]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1
    assert "hedgerow.gunicorn.Worker has neither TLS nor the PROXY protocol" in done.stderr


@pytest.mark.slow
def test_a_worker_that_does_not_beat_is_replaced_and_tells_where_it_stood(tmp_path: Path) -> None:
    with running(tmp_path, "--timeout", "2") as site:
        with pytest.raises(OSError):  # noqa: PT011  # the process that had it is gone
            site.ask("/busy")
        assert site.ask("/after")[0] == 200
        log = site.log.read_text()
        assert "The worker did not beat. It stands at:" in log
        assert "in application" in log
