"""What goes wrong in one app's own pool is felt by nobody else; in a real stack, under load."""

from __future__ import annotations

import datetime
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from control_support import Load, Stack, drop, get, stack, until

from hedgerow.config import Settings
from hedgerow.control.observe import SILENT_S, Observer
from hedgerow.control.plan import slot_socket
from hedgerow.control.supervisor import ProcessInfo, Supervisor, write_pool

APP = """
import os
def application(environ, start_response):
    text = f"%s {os.getpid()}"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text.encode()]
"""
SERVER = """
import http.server, socket, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"server")
    do_POST = do_GET
    def log_message(self, *words):
        pass
class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    def get_request(self):
        return self.socket.accept()[0], ("unix", 0)
server = Server(("", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=int(sys.argv[1]))
server.serve_forever()
"""


@pytest.fixture(scope="module")
def here() -> Iterator[Stack]:
    with stack(workers=2) as made:
        drop(made.apps, "shop", APP % "one")
        drop(made.apps, "blog", 'pool = "own"\n', "app.toml")
        drop(made.apps, "blog", APP % "blog")
        made.up()
        until(lambda: made.run("deploys").stdout.count(" live ") == 2, 20, "the first round has ended")
        yield made


def pools(here: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = here.status()["replicas"][0]["pools"]
    return found


def test_a_worker_of_a_pool_that_does_not_react_keeps_no_neighbour_from_its_deploy(here: Stack) -> None:
    pid = int(get(here.port, "/blog/")[1].split()[1])
    os.kill(pid, signal.SIGSTOP)
    try:
        load = Load(here.port, "/shop/")
        with load.running(2):
            drop(here.apps, "shop", APP % "two")
            until(lambda: get(here.port, "/shop/")[1].startswith(b"two"), 20, "the neighbour's next release serves")
            until(lambda: here.run("deploys", "shop").stdout.count(" live ") == 2, 20, "its round ends")
        assert load.failed == []
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: get(here.port, "/blog/")[0] == 200, 20, "it serves again")


def test_an_app_in_its_own_pool_becomes_a_server_of_its_own_and_back(here: Stack) -> None:
    drop(here.apps, "blog", SERVER, "server.py")
    load = Load(here.port, "/blog/")
    with load.running():
        drop(here.apps, "blog", 'run = "python3 server.py {fd}"\n', "app.toml")
        until(lambda: get(here.port, "/blog/")[1] == b"server", 20, "the server has taken over")
        until(lambda: len(pools(here)) == 1, 30, "the workers' pool has gone")
        drop(here.apps, "blog", 'pool = "own"\n', "app.toml")
        until(lambda: get(here.port, "/blog/")[1].startswith(b"blog"), 20, "the workers have taken over")
        until(lambda: len(pools(here)) == 1, 30, "the server's pool has gone")
    assert load.failed == []
    print(f"{load.count} requests, 0 failed")


def test_who_is_silent_is_not_waited_for_again_and_again(here: Stack) -> None:
    """Or some workers that are busy would keep the deployer from all others."""
    [pool] = pools(here)
    pid, name = pool["slots"][pool["active"]]["pid"], pool["address"]
    run, slot = Path(here.environ["HEDGEROW_RUN"]), pool["active"]
    processes = {f"{name}:{slot}": ProcessInfo(f"{name}:{slot}", "RUNNING", pid, 0.0, 0, "")}
    observer = Observer(run)
    assert observer.look(name, processes).view.current.ready
    assert slot_socket(run, name, slot).exists()
    os.kill(pid, signal.SIGSTOP)
    try:
        assert not observer.look(name, processes).view.current.ready
        assert timed(lambda: observer.look(name, processes)) < SILENT_S + 0.5
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: observer.look(name, processes).view.current.ready, 10, "it is heard again")
    until(lambda: observer._silent == set(), 1, "and waited for again")


def test_who_asks_for_a_pool_whose_worker_dies_at_once_is_refused_before_entry_and_soon(here: Stack) -> None:
    """And it comes back when its deploy is ordered."""
    flag, ran = here.base / "dies", here.base / "ran"
    dies = f"import os\nif os.path.exists({str(flag)!r}):\n    os._exit(3)\n"
    notes = APP.replace("    text", f"    open({str(ran)!r}, 'a').write('x')\n    text", 1)
    drop(here.apps, "brittle", 'pool = "own"\n', "app.toml")
    drop(here.apps, "brittle", dies + notes % "brittle")
    until(lambda: get(here.port, "/brittle/")[0] == 200, 20, "the pool serves")
    until(lambda: " live " in here.run("deploys", "brittle").stdout, 20, "its round has ended")
    pid, before = int(get(here.port, "/brittle/")[1].split()[1]), ran.read_text()
    flag.touch()
    os.kill(pid, signal.SIGKILL)
    run = Path(here.environ["HEDGEROW_RUN"])  # what is sent to a worker that is just ending may be lost
    until(lambda: list(run.glob("p*.importing")), 10, "it has ended, with its connections, and the next one loads")
    beside = Load(here.port, "/shop/")
    began = time.monotonic()
    with beside.running(1), ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda method: get(here.port, "/brittle/", method, 60)[0], ["GET", "POST"] * 4))
    print(f"refused after {time.monotonic() - began:.1f} s")
    assert (answers, beside.failed) == ([503] * 8, [])
    assert time.monotonic() - began < 20
    assert ran.read_text() == before
    flag.unlink()
    assert here.run("deploy", "brittle", "--wait").returncode == 0
    assert [get(here.port, "/brittle/")[0] for _ in range(4)] == [200] * 4


def timed(what: Any) -> float:
    return until(lambda: what() or True, 10, "it comes back")


@pytest.mark.slow
def test_an_app_that_cannot_be_loaded_any_more_comes_back_by_itself(here: Stack) -> None:
    needs = here.base / "needed"
    needs.touch()
    text = f"open({str(needs)!r}).close()\n"
    drop(here.apps, "frail", 'pool = "own"\n', "app.toml")
    drop(here.apps, "frail", text + APP % "frail")
    until(lambda: get(here.port, "/frail/")[0] == 200, 20, "the pool serves")
    pid = int(get(here.port, "/frail/")[1].split()[1])
    needs.unlink()
    os.kill(pid, signal.SIGKILL)
    until(lambda: get(here.port, "/frail/")[0] == 503, 20, "it is down")
    load = Load(here.port, "/shop/")
    with load.running(1):
        needs.touch()
        print(until(lambda: get(here.port, "/frail/")[0] == 200, 60, "it is loaded again"))
    assert load.failed == []


@pytest.mark.slow
def test_who_hangs_in_its_own_pool_keeps_no_other_from_being_served(here: Stack) -> None:
    """One app that runs, and one that is new, pass their trials and hang in the round that brings them and another."""
    hangs = "import os, time\nif 'HEDGEROW_TRIAL' not in os.environ:\n    time.sleep(600)\n"
    drop(here.apps, "runs", 'pool = "own"\n', "app.toml")
    drop(here.apps, "runs", APP % "one")
    until(lambda: get(here.port, "/runs/")[0] == 200, 20, "the pool serves")
    until(lambda: " live " in here.run("deploys", "runs").stdout, 20, "its round has ended")
    drop(here.apps, "new", 'pool = "own"\n', "app.toml")
    for name, text in (("new", hangs + APP % "two"), ("runs", hangs + APP % "two"), ("shop", APP % "beside")):
        drop(here.apps, name, text)
    served = until(lambda: get(here.port, "/shop/")[1].startswith(b"beside"), 20, "the neighbour's release serves")
    until(lambda: all(get(here.port, "/shop/")[1].startswith(b"beside") for _ in range(20)), 20, "by all addresses")
    shop, runs = Load(here.port, "/shop/"), Load(here.port, "/runs/")
    with shop.running(1), runs.running(1):
        ended = until(lambda: here.run("deploys").stdout.count(" reverted at swap ") == 2, 90, "both turn back")
        until(lambda: " live " in here.run("deploys", "shop").stdout.splitlines()[1], 10, "its round has ended")
    print(f"served after {served:.1f} s, live after {served + ended:.1f} s")
    assert shop.failed == runs.failed == []
    assert {answer.split()[0] for answer in runs.answers} == {b"one"}
    assert {answer.split()[0] for answer in shop.answers} == {b"beside"}, "it is served once and for all"


def test_many_groups_end_together() -> None:
    """supervisord ends group after group, and would sleep a second between two: a container's grace is 15 s in all."""
    with stack(workers=1) as here:
        drop(here.apps, "shop", APP % "one")
        here.up()
        run = Path(here.environ["HEDGEROW_RUN"])
        settings = Settings(run=run, state=here.state, apps=here.apps, replica="here")
        supervisor = Supervisor(run)
        for number in range(12):  # groups that nobody knows, with nothing in them to be ended
            write_pool(settings, f"x{number}")
            supervisor.add(f"x{number}")
        supervisor._proxy("close")()
        assert here.stop(signal.SIGTERM) == 0
        lines = (here.state / "logs" / "here" / "supervisord.log").read_text().splitlines()
        began, *_, ended = [seconds(line) for line in lines if "SIGTERM indicating" in line or " stopped: " in line]
        print(f"12 groups have ended in {ended - began:.1f} s")
        assert ended - began < 6


def seconds(line: str) -> float:
    return datetime.datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp()
