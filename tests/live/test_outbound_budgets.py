"""The outbound connections of apps in a real worker, patched or with native threads: counted in whatever way they are
made, no more than the budget, and each app's apart; and what becomes of a worker whose descriptors an app has used up.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from worker_support import APPS, DEADLINE_S, Worker, receive, serving

from hedgerow.middleware.upstreams.choice import Failure

CERTIFICATE = Path(__file__).parent / "remote_tls.pem"
LIMIT, REMOTE_LIMIT = 7, 4
OPEN = ""
TCP_WAYS = ("create", "ex", "nonblocking", "detach", "asyncio", "thread")
MODES = pytest.mark.parametrize("worker", ["greenlets", "threads"], indirect=True)


def lay(apps: Path, limits: Mapping[str, str]) -> dict[str, Path]:
    """The app `outbound` under other names. limits: of each."""
    for name, table in limits.items():
        shutil.copytree(APPS / "outbound", apps / name)
        shutil.copy(CERTIFICATE, apps / name)
        (apps / name / "app.toml").write_text(f"[limits]\n{table}\n")
    return {name: apps / name for name in limits}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Worker]]:
    """A worker of each kind, started when it is first asked for."""
    with contextlib.ExitStack() as stack:
        workers: dict[str, Worker] = {}

        def of(mode: str) -> Worker:
            if mode not in workers:
                run = tmp_path_factory.mktemp(mode)
                apps = lay(
                    run, dict.fromkeys(("first", "second"), f"connections = {LIMIT}\nper_remote = {REMOTE_LIMIT}")
                )
                workers[mode] = stack.enter_context(serving(run, apps, threads=mode == "threads"))
            return workers[mode]

        yield of


@pytest.fixture
def worker(request: pytest.FixtureRequest, running: Callable[[str], Worker]) -> Iterator[Worker]:
    """Whose apps have nothing open."""
    worker = running(request.param)
    yield worker
    for name in ("first", "second"):
        ask(worker, f"/{name}/close")


def ask(worker: Worker, path: str) -> Any:
    response, body = worker.ask(path)
    assert response.status == 200, (path, response.status, body)
    return json.loads(body)


def outbound(worker: Worker, app: str = "first") -> dict[str, Any]:
    return dict(worker.status()["outbound"][app])


@pytest.fixture
def remote() -> Iterator[str]:
    """A listener; the kernel takes what connects."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that closes within the handshake."""


@contextlib.contextmanager
def http_server(tls: bool = False) -> Iterator[str]:
    with Quiet(("127.0.0.1", 0), Handler) as server:
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(CERTIFICATE)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def at(how: str, folder: Path) -> Iterator[str]:
    """Something to connect to in that way."""
    if how == "unix":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "database"))
            listener.listen(100)
            yield str(folder / "database")
    else:
        with http_server(tls=how.startswith("ssl")) as address:
            yield address


@MODES
@pytest.mark.parametrize("how", [*TCP_WAYS, "greenlet", "http", "ssl", "ssl_first", "unix"])
def test_a_connection_beyond_the_budget_is_refused_however_it_is_made(worker: Worker, how: str, tmp_path: Path) -> None:
    with at(how, tmp_path) as address:
        before = outbound(worker)["refused"]
        found = ask(worker, f"/first/open?to={address}&how={how}&times={REMOTE_LIMIT + 2}")
        assert found[:REMOTE_LIMIT] == [OPEN] * REMOTE_LIMIT
        for told in found[REMOTE_LIMIT:]:
            if how == "ex":
                assert told.startswith("OSError EMFILE")
            else:
                assert told.startswith("OutboundError EMFILE")
                assert f"first: no connection to {address}: {REMOTE_LIMIT} are open there" in told
                assert f"`per_remote` in [limits] of its app.toml allows {REMOTE_LIMIT}" in told
        assert outbound(worker) == {"open": {address: REMOTE_LIMIT}, "refused": before + 2}
        ask(worker, "/first/close")
        assert outbound(worker)["open"] == {}
        assert ask(worker, f"/first/open?to={address}&how={how}") == [OPEN]


@MODES
def test_all_remotes_together_have_a_budget_too(worker: Worker) -> None:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(LIMIT + 1)]
        addresses = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
        found = [ask(worker, f"/first/open?to={address}")[0] for address in addresses]
        assert found[:-1] == [OPEN] * LIMIT
        assert f"{LIMIT} are open in all, and `connections` in [limits] of its app.toml allows {LIMIT}" in found[-1]
        assert outbound(worker)["open"] == dict.fromkeys(addresses[:-1], 1)


@MODES
def test_what_an_app_has_forgotten_counts_until_it_is_collected(worker: Worker, remote: str) -> None:
    for _ in range(3):
        assert ask(worker, f"/first/open?to={remote}&times={REMOTE_LIMIT + 1}")[:-1] == [OPEN] * REMOTE_LIMIT
        ask(worker, "/first/drop")
    assert outbound(worker)["open"] == {}


@MODES
def test_a_neighbour_has_a_budget_of_its_own(worker: Worker, remote: str) -> None:
    assert ask(worker, f"/first/open?to={remote}&times={REMOTE_LIMIT + 1}")[-1] != OPEN
    assert ask(worker, f"/second/open?to={remote}&times={REMOTE_LIMIT}") == [OPEN] * REMOTE_LIMIT
    assert outbound(worker, "second")["open"] == {remote: REMOTE_LIMIT}
    ask(worker, "/first/close")
    assert outbound(worker)["open"] == {}
    assert outbound(worker, "second")["open"] == {remote: REMOTE_LIMIT}


@MODES
def test_datagrams_and_pairs_are_no_connections(worker: Worker, remote: str) -> None:
    for how in ("udp", "pair"):
        assert ask(worker, f"/first/open?to={remote}&how={how}&times={LIMIT + 1}") == [OPEN] * (LIMIT + 1)
    assert outbound(worker)["open"] == {}


@MODES
def test_a_remote_that_refuses_says_so_itself_and_takes_nothing_of_the_budget(worker: Worker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"127.0.0.1:{gone.getsockname()[1]}"
    before = outbound(worker)["refused"]
    found = ask(worker, f"/first/open?to={address}&times={3 * LIMIT}")
    assert {told.split()[1] for told in found} == {"ECONNREFUSED"}
    assert outbound(worker) == {"open": {}, "refused": before}


@MODES
def test_a_pool_of_a_library_takes_one_connection_for_many_requests(worker: Worker) -> None:
    with http_server() as address:
        assert ask(worker, f"/first/open?to={address}&how=requests&times=6") == [OPEN] * 6
        assert outbound(worker)["open"] == {address: 1}


@MODES
def test_refusals_are_told_in_the_apps_log_once_a_second(worker: Worker, remote: str) -> None:
    started = time.monotonic()
    found = ask(worker, f"/second/open?to={remote}&times=200")
    took_s = time.monotonic() - started
    assert sum(told != OPEN for told in found) == 200 - REMOTE_LIMIT
    lines = worker.lines(f"second: no connection to {remote}")
    told = [line for line in lines if remote in line.get("message", "")]
    assert 1 <= len(told) <= took_s + 2
    assert {(line["app"], line["level"]) for line in told} == {("second", "error")}


def test_an_app_alone_has_the_limits_that_it_sets_itself_and_no_others(tmp_path: Path, remote: str) -> None:
    for limits, most in (("", 60), (f"connections = {LIMIT}", LIMIT)):
        run = tmp_path / str(most)
        run.mkdir()
        settings = {"APP_CONNECTIONS": 3, "APP_PER_REMOTE": 2}
        with serving(run, lay(run, {"own": limits}), settings=settings, content={"pool": "own"}) as worker:
            found = ask(worker, f"/own/open?to={remote}&times=60")
            assert sum(told == OPEN for told in found) == most
            assert outbound(worker, "own") == {"open": {remote: most}, "refused": 60 - most}


def test_without_a_word_of_its_own_a_shared_app_has_the_settings_limits(tmp_path: Path, remote: str) -> None:
    with serving(
        tmp_path, lay(tmp_path, {"plain": ""}), settings={"APP_CONNECTIONS": 30, "APP_PER_REMOTE": 20}
    ) as worker:
        assert sum(told == OPEN for told in ask(worker, f"/plain/open?to={remote}&times=25")) == 20


def test_for_a_proxy_its_own_budget_says_nothing_against_the_upstream(tmp_path: Path) -> None:
    folder = tmp_path / "proxy"
    folder.mkdir()
    (folder / "app.toml").write_text("[limits]\nper_remote = 1\n")
    with http_server() as address:
        host, _, port = address.partition(":")
        (folder / "app.py").write_text(
            "import socket\nfrom hedgerow.middleware.remote import Remote\n"
            f"remote = Remote(upstreams=('http://{address}',), failures=1, out_s=60.0)\nheld = []\n"
            "def application(environ, start_response):\n"
            "    if environ['PATH_INFO'] == '/hold':\n"
            f"        held.append(socket.create_connection(('{host}', {port})))\n"
            "    if environ['PATH_INFO'] == '/free':\n"
            "        held.pop().close()\n"
            "    return remote(environ, start_response)\n"
        )
        with serving(tmp_path, {"proxy": folder}) as worker:
            response, body = worker.ask("/proxy/hold")
            assert (response.status, body) == (503, b"There is no connection left to the server behind this one.\n")
            worker.lines(Failure.OURS.value)
            assert worker.ask("/proxy/free")[0].status == 200  # at once: it was not put out


# Descriptors in general: no budget counts files, and what C code opens.


def cpu_s(worker: Worker) -> float:
    fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_an_app_that_leaks_all_descriptors_neither_ends_nor_busies_its_worker(tmp_path: Path) -> None:
    with serving(tmp_path, lay(tmp_path, {"leaky": "", "quiet": ""}), settings={"TRUST_FRONT": 1}) as worker:
        resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, (300, 300))
        pid = ask(worker, "/quiet/pid")
        with worker.connect() as kept, contextlib.ExitStack() as stack:
            kept.sendall(b"GET /quiet/pid HTTP/1.1\r\nHost: a\r\n\r\n")
            assert receive(kept, str(pid).encode())
            kept.sendall(b"GET /leaky/leak HTTP/1.1\r\nHost: a\r\n\r\n")
            assert receive(kept, b"]").endswith(b', "EMFILE"]')
            for _ in range(10):  # who comes now is sent to another address, by the front
                response, _ = worker.ask("/quiet/pid", headers={"X-Request-Id": "1", "X-Hedgerow-Round": "1"})
                assert (response.status, response.getheader("X-Accel-Redirect")) == (503, "@refused")
                kept.sendall(b"GET /quiet/pid HTTP/1.1\r\nHost: a\r\n\r\n")  # and who is here is served
                assert receive(kept, str(pid).encode())
            waiting = [stack.enter_context(worker.connect()) for _ in range(10)]
            before = cpu_s(worker)
            time.sleep(1.0)
            used = cpu_s(worker) - before
            status = worker.status()  # so that somebody can see it, and replace the worker
            print(f"{used:.2f} s of CPU time in 1 s, {status['descriptors']} of {status['descriptors_most']}")
            assert used < 0.15
            assert status["descriptors"] >= 0.97 * status["descriptors_most"] == 0.97 * 300
            kept.sendall(b"GET /leaky/close HTTP/1.1\r\nHost: a\r\n\r\n")
            assert receive(kept, b"null")
            for one in waiting:
                one.sendall(b"GET /quiet/pid HTTP/1.1\r\nHost: a\r\n\r\n")
            assert {receive(one, b"\r\n\r\n").split()[1] for one in waiting} <= {b"200", b"503"}
        end = time.monotonic() + DEADLINE_S
        while worker.ask("/quiet/pid")[0].status != 200:
            assert time.monotonic() < end, "nobody is served again"
        assert ask(worker, "/quiet/pid") == pid
        assert worker.status()["descriptors"] < 100
