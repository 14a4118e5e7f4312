"""The load test with the real Locust, against the sample apps on a real worker: it tells right from wrong."""

from __future__ import annotations

import csv
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from control_support import HEDGEROW, free_port, until

ROOT = Path(__file__).parents[2]
LOADTEST = ROOT / "loadtest"
LOCUST = [sys.executable, "-m", "locust"]
ASKED = {  # each of these must have been asked, or the scenario has a hole
    "function", "klass", "instance", "whoami JSON", "clock", "clock stream, 2 events in 1 s", "notes", "notes style",
    "notes, post and follow", "notes, read again", "notes, delete and follow", "notes, gone",
}  # fmt: skip
BROKEN = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html")])
    return [b"<!doctype html><title>Oops</title><h1>Something went wrong</h1>"]
"""


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "apps", tmp_path / "apps"))


@contextmanager
def served(apps: Path) -> Iterator[str]:
    """The URL of a server of the apps, until the end of the block."""
    port = free_port()
    log = apps.parent / "serve.log"
    command = [*HEDGEROW, "serve", str(apps), "--bind", f"127.0.0.1:{port}", "--state", str(apps.parent / "state")]
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        until(lambda: server.poll() is not None or answers(port), 20, f"a worker answers; {log} says why not")
        assert server.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(15)
        finally:
            server.kill()
            server.wait()


def answers(port: int) -> bool:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        client.request("GET", "/")
        return client.getresponse().status == 200
    except OSError:  # nobody listens yet, or not on behalf of a worker
        return False
    finally:
        client.close()


@dataclass(frozen=True)
class Run:
    status: int
    said: str
    reports: Path

    def rows(self, table: str) -> list[dict[str, str]]:
        with (self.reports / f"steady_{table}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def total(self, column: str) -> int:
        return int(next(row for row in self.rows("stats") if row["Name"] == "Aggregated")[column])


def load(url: str, reports: Path, *, seconds: int = 5, users: int = 40) -> Run:
    line = [sys.executable, str(LOADTEST / "run.py"), "--host", url, "--reports", str(reports)]
    line += ["--seconds", str(seconds), "--users", str(users)]
    # from elsewhere, so that no path may lean on the folder it is started in
    done = subprocess.run(line, cwd=reports.parent, check=False, capture_output=True, text=True, timeout=60)
    return Run(done.returncode, done.stdout + done.stderr, reports)


def test_a_steady_run_asks_every_app_fails_nothing_and_leaves_a_report(apps: Path, tmp_path: Path) -> None:
    with served(apps) as url:
        run = load(url, tmp_path / "reports")
    assert run.status == 0, run.said
    assert run.total("Failure Count") == 0
    assert run.rows("failures") == run.rows("exceptions") == []
    asked = {row["Name"]: int(row["Request Count"]) for row in run.rows("stats")}
    assert set(asked) - {"Aggregated"} == ASKED
    assert run.total("Request Count") == sum(asked.values()) - asked["Aggregated"] > 60
    report = (run.reports / "steady.html").read_text()
    assert "<title>" in report
    assert url in report


def test_the_scenario_takes_its_notes_down_again(apps: Path, tmp_path: Path) -> None:
    with served(apps) as url:
        run = load(url, tmp_path / "reports", seconds=3)
        with urllib.request.urlopen(f"{url}/notes/", timeout=10) as answer:
            page = answer.read()
    assert run.status == 0, run.said
    assert b"The board is empty." in page


def test_a_wrong_page_with_status_200_fails_the_run(apps: Path, tmp_path: Path) -> None:
    (apps / "function" / "app.py").write_text(BROKEN)
    with served(apps) as url:
        run = load(url, tmp_path / "reports", seconds=4)
    assert run.status == 1, run.said
    (row,) = run.rows("failures")
    assert row["Name"] == "function"
    assert "lacks the greeting of this request" in row["Error"]
    assert run.total("Failure Count") == int(row["Occurrences"]) > 0


def test_no_apps_wrong_pages_pass_for_right_ones(apps: Path, tmp_path: Path) -> None:
    for app in apps.iterdir():
        (app / "app.py").write_text(BROKEN)
        shutil.rmtree(app / "static", ignore_errors=True)  # files are right whatever the app does
    with served(apps) as url:
        run = load(url, tmp_path / "reports")
    assert run.status == 1, run.said
    assert run.total("Failure Count") == run.total("Request Count")
    # what follows a note that was never posted is not asked
    never = {"notes, read again", "notes, delete and follow", "notes, gone"}
    assert {row["Name"] for row in run.rows("failures")} == ASKED - never


def test_an_app_that_does_not_load_fails_the_run_with_its_status(apps: Path, tmp_path: Path) -> None:
    (apps / "klass" / "app.py").write_text("this is no Python\n")
    with served(apps) as url:
        run = load(url, tmp_path / "reports", seconds=4)
    assert run.status == 1, run.said
    assert {(row["Name"], "status 503" in row["Error"]) for row in run.rows("failures")} == {("klass", True)}


def test_without_a_stack_one_sentence_says_so(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    run = load(url, tmp_path / "reports")
    assert (run.status, run.said) == (1, f"no stack answers at {url}; start it with make up\n")
    assert not run.reports.exists()


def test_what_is_no_url_is_told(tmp_path: Path) -> None:
    run = load("localhost:8080", tmp_path / "reports")
    assert (run.status, run.said) == (1, "'localhost:8080' is no URL; it begins with http:// or https://\n")


def test_a_run_in_which_no_request_ended_has_failed(tmp_path: Path) -> None:
    """Something accepts and never answers: without failures, and yet nothing was shown."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        host = f"http://127.0.0.1:{mute.getsockname()[1]}"
        line = [*LOCUST, "-f", str(LOADTEST / "steady.py"), "--headless", "--host", host]
        line += ["-u", "2", "-r", "2", "-t", "2s"]
        done = subprocess.run(line, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=40)
    assert done.returncode == 3, done.stderr
    assert "no request ended in this run" in done.stdout


def test_two_workers_share_the_visitors(apps: Path, tmp_path: Path) -> None:
    """As in compose: the whole folder as the locustfile, one master, two workers."""
    port = str(free_port())
    locust = [*LOCUST, "-f", str(LOADTEST)]
    master = [*locust, "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--headless"]
    master += ["--expect-workers", "2", "-u", "12", "-r", "12", "-t", "4s", "--csv", str(tmp_path / "steady")]
    worker = [*locust, "--worker", "--master-host", "127.0.0.1", "--master-port", port]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with served(apps) as url, (tmp_path / "worker.log").open("wb") as log:
        workers = [subprocess.Popen(worker, cwd=tmp_path, stdout=log, stderr=log, env=env) for _ in range(2)]
        try:
            line = [*master, "--host", url]
            done = subprocess.run(line, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60, env=env)
            ended = [worker.wait(15) for worker in workers]
        finally:
            for process in workers:
                process.kill()
                process.wait()
    assert (done.returncode, ended) == (0, [0, 0]), done.stderr
    assert "2 workers connected" in done.stderr
    run = Run(0, done.stderr, tmp_path)
    assert run.total("Failure Count") == 0
    assert run.total("Request Count") > 40
