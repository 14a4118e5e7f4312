"""Debian's Prometheus reads the front's internal port while a stack is asked, deployed, and has processes killed: what
it has read is what the clients have counted.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apache_support import unpacked
from control_support import Stack, drop, free_port, get, stack, until

from hedgerow.control import metrics

APP = """
import time
VERSION = %d

def application(environ, start_response):
    what, _, given = environ["PATH_INFO"].strip("/").partition("/")
    environ["wsgi.input"].read()
    if what == "sleep":
        time.sleep(float(given))
    start_response(f"{given} x" if what == "status" else "200 OK", [("Content-Type", "text/plain")])
    return [b"x" * 100]
"""
APPS = {
    "shared": "",
    "own": 'pool = "own"\n[limits]\ndeadline_s = 0.5\n',
    "gated": "[limits]\nrunning = 2\nwaiting = 0\n",
    "rated": "[limits]\nrate = 5\n",
}
SCRAPE = """
global: {scrape_interval: 500ms, scrape_timeout: 500ms}
scrape_configs:
  - job_name: hedgerow
    static_configs: [{targets: ["127.0.0.1:%d"]}]
"""
CLIENTS = 8

# What clients get, by app: a status, or the sum of the bytes of answers that an app has given.
Asked = Counter[tuple[str, int]]


class Prometheus:
    """One server of the test's own."""

    def __init__(self, folder: Path, target: int) -> None:
        self.port = free_port()
        self._folder = folder
        (folder / "prometheus.yml").write_text(SCRAPE % target)

    @contextmanager
    def running(self) -> Iterator[None]:
        command = [
            str(unpacked("prometheus") / "usr/bin/prometheus"),
            f"--config.file={self._folder}/prometheus.yml",
            f"--storage.tsdb.path={self._folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        with (self._folder / "prometheus.log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
            try:
                until(lambda: self._answer("/-/ready") is not None, 20, "Prometheus is ready")
                yield
            finally:
                process.kill()

    def _answer(self, path: str) -> bytes | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                found: bytes = answer.read()
                return found
        except OSError:
            return None

    def ask(self, query: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The last value of each series, by these labels."""
        told = json.loads(self._answer("/api/v1/query?" + urllib.parse.urlencode({"query": query})) or b"{}")
        assert told.get("status") == "success", told
        return {
            tuple(one["metric"].get(label, "") for label in labels): float(one["value"][1])
            for one in told["data"]["result"]
        }

    def answered(self) -> Asked:
        """What clients must have got."""
        entered = self.ask("sum by (app, code) (hedgerow_requests_total)", "app", "code")
        found: Asked = Counter({(app, int(code[0])): int(value) for (app, code), value in entered.items()})
        for (app, cause), value in self.ask("sum by (app, cause) (hedgerow_refused_total)", "app", "cause").items():
            found[app, 4 if cause == "rate" else 5] += int(value)
        return +found


class Clients:
    """They ask until they are told to rest, and count."""

    def __init__(self, port: int) -> None:
        self.got: Asked = Counter()
        self.body_bytes = 0
        self._port = port
        self._lock = threading.Lock()

    def ask(self, path: str, body: bytes = b"") -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        connection.request("POST" if body else "GET", path, body)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        with self._lock:
            self.got[path.split("/")[1], answer.status // 100] += 1
            self.body_bytes += len(body) if answer.status not in (429, 503) else 0
        return answer.status

    def rush(self, count: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Each of them so many, of all apps."""
        paths = ["/shared/", "/own/", "/gated/sleep/0.02", "/rated/", "/shared/status/404", "/own/status/500"]
        with ThreadPoolExecutor(CLIENTS) as pool:
            asked = [
                pool.submit(self.ask, paths[number % len(paths)], b"x" * (number % 2) * 50)
                for number in range(count * CLIENTS)
            ]
            meanwhile()
            for one in asked:
                one.result()


def lay(here: Stack) -> None:
    for name, manifest in APPS.items():
        drop(here.apps, name, manifest, "app.toml")
        drop(here.apps, name, APP % 1)


def deployer(here: Stack) -> int:
    told: int = here.status()["replicas"][0]["pid"]
    return told


def sums(here: Stack) -> Asked:
    """From the file that a replica leaves."""
    told = json.loads(metrics.path_of(here.state, "here").read_text())
    found: dict[str, Any] = {}
    metrics.add(found, told["ended"])
    for worker in told["workers"].values():
        metrics.add(found, worker["counts"])
    answered: Asked = Counter()
    for app, counts in found.items():
        answered.update({(app, code): number for code, number in enumerate(counts.get("requests", ()))})
        for cause, number in counts.get("refused", {}).items():
            answered[app, 4 if cause == "rate" else 5] += number
    return +answered


def check_that_it_is_not_public(here: Stack, internal: int) -> None:
    assert get(here.port, "/metrics")[0] == 404
    assert get(internal, "/metrics")[0] == 200
    for path in ("/status", "/wake/own", "/metrics/", "/metrics/../status"):
        assert get(internal, path)[0] == 404, path
        assert get(int(here.environ["HEDGEROW_METRICS_PORT"]), path)[0] == 404, path
    assert get(internal, "/metrics", "POST")[0] == 501
    drop(here.apps, "metrics", APP % 1)
    until(lambda: get(here.port, "/metrics/") == (200, b"x" * 100), 20, "an app of that name is as any other")
    shutil.rmtree(here.apps / "metrics")


def test_prometheus_reads_what_clients_have_counted(tmp_path: Path) -> None:
    internal = free_port()
    ports = {"HEDGEROW_FRONT": f"127.0.0.1:{internal}", "HEDGEROW_METRICS_PORT": str(free_port())}
    with stack(workers=2, **ports) as here:
        lay(here)
        here.up()
        clients, prometheus = Clients(here.port), Prometheus(tmp_path, internal)
        until(lambda: all(get(here.port, f"/{name}")[0] == 308 for name in APPS), 30, "all are mounted")
        with prometheus.running():

            def agree(when: str) -> None:
                found = [prometheus.answered()]

                def same() -> bool:
                    found[0] = Counter({key: n for key, n in prometheus.answered().items() if key[0]})
                    return found[0] == clients.got

                try:
                    until(same, 8, when)
                except AssertionError:
                    assert found[0] == clients.got, when
                    raise

            def deploy() -> None:
                drop(here.apps, "shared", APP % 2)
                drop(here.apps, "own", APP % 2)
                assert here.run("deploy", "shared", "--wait").returncode == 0
                os.kill(deployer(here), signal.SIGKILL)

            clients.rush(150, deploy)
            assert clients.ask("/own/sleep/5") == 504
            agree("after two deploys, and a deployer that was killed")
            before = here.worker()
            os.kill(before, signal.SIGKILL)
            until(lambda: here.worker() not in (0, before), 20, "there is another worker")
            clients.rush(30)
            agree("after a worker that was killed while nobody asked")
            assert set(clients.got) >= {("gated", 5), ("rated", 4), ("own", 5), ("shared", 4)}
            print(dict(clients.got))
            whole = "hedgerow_request_duration_seconds"
            assert prometheus.ask(f"sum({whole}_count) - sum(hedgerow_requests_total)") == {(): 0}
            assert prometheus.ask("sum(hedgerow_request_bytes_total)") == {(): clients.body_bytes}
            assert prometheus.ask("hedgerow_deadlines_total > 0", "app") == {("own",): 1}
            assert 0 < prometheus.ask(f'histogram_quantile(0.5, rate({whole}_bucket{{app="gated"}}[1m]))')[()] < 0.1
            for family in ("hedgerow_requests_total", "hedgerow_moved_total", f"{whole}_bucket"):
                assert set(prometheus.ask(f"resets({family}[5m])", "app").values()) == {0}, "nothing ever went back"
            workers = prometheus.ask("hedgerow_worker_memory_bytes > 1e7", "address")
            assert len(workers) == 3, "two addresses and a pool"
            assert min(prometheus.ask("hedgerow_worker_descriptors", "address").values()) > 5
        check_that_it_is_not_public(here, internal)
        slot = here.status()["replicas"][0]["addresses"][0]
        assert "counts" not in slot["slots"][slot["active"]], "they have a file of their own"
        here.stop()
        assert {key: sums(here)[key] for key in clients.got} == clients.got, "and that is what it leaves"
