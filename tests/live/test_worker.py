"""The worker over real sockets: the engine's promises, and that no app ends it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_support import APPS, Worker, listening, receive, serving

GET = b"GET /engine/%b HTTP/1.1\r\nHost: a\r\n\r\n"
MIB = 2**20


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with serving(tmp_path_factory.mktemp("run")) as running:
        yield running


def test_a_connection_serves_one_request_after_the_other(worker: Worker) -> None:
    with worker.connect() as sock:
        for _ in range(3):
            sock.sendall(GET % b"hello")
            assert receive(sock, b"hello").startswith(b"HTTP/1.1 200 OK\r\n")


def test_pipelined_requests_are_answered_in_order_and_the_slow_first(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(GET % b"sleep?0.2" + GET % b"hello" + GET % b"environ?n=3")
        data = receive(sock, b"QUERY_STRING=n=3")
    assert data.index(b"slept") < data.index(b"hello") < data.index(b"n=3")


def test_a_thousand_pipelined_requests_are_all_answered(worker: Worker) -> None:
    with worker.connect() as sock:
        sender = threading.Thread(target=sock.sendall, args=(GET % b"hello" * 1000,))
        sender.start()
        data = b""
        while data.count(b"hello") < 1000:
            data += receive(sock, 1)
        sender.join()
    assert data.count(b"HTTP/1.1 200 OK") == 1000


def test_head_has_the_head_of_get_and_no_body(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(b"HEAD /engine/hello HTTP/1.1\r\nHost: a\r\n\r\n" + GET % b"environ")
        data = receive(sock, b"PATH_INFO=/environ")
    first, _, rest = data.partition(b"\r\n\r\n")
    assert b"Content-Length: 5" in first
    assert rest.startswith(b"HTTP/1.1 200 OK")


def test_100_continue_is_sent_when_the_app_reads_and_only_then(worker: Worker) -> None:
    head = b"PUT /engine/%b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    with worker.connect() as sock:
        sock.sendall(head % b"echo")
        assert receive(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"body")
        assert b"body" in receive(sock, b"0\r\n\r\n")
    with worker.connect() as sock:
        sock.sendall(head % b"ignore")
        answer = receive(sock)  # to the end: the body will not come, so the connection can not go on
        assert answer.startswith(b"HTTP/1.1 200 OK")


def test_a_chunked_body_arrives_and_comes_back_chunked(worker: Worker) -> None:
    blocks = [os.urandom(size) for size in (1, 70_000, 3, 200_000)]
    response, body = worker.ask("/engine/echo", "POST", iter(blocks))
    assert response.getheader("Transfer-Encoding") == "chunked"
    assert body == b"".join(blocks)


@pytest.mark.parametrize("size", [0, 1, 8192, 8193, 65_537, 1_000_000])
def test_an_answer_in_one_block_arrives_whole_also_at_a_client_that_takes_little(worker: Worker, size: int) -> None:
    """Head and block leave together, copied into one piece or not; the larger ones not in one go."""
    wanted = "".join(chr(97 + n % 26) for n in range(size)).encode()
    with worker.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        sock.sendall(b"GET /engine/whole?%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % size)
        head, _, body = receive(sock).partition(b"\r\n\r\n")
    assert f"Content-Length: {size}".encode() in head
    assert body == wanted


def test_a_body_that_nobody_reads_is_read_over_and_the_connection_goes_on(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(b"POST /engine/ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
        assert b"not read" in receive(sock, b"not read")
        sock.sendall(b"x" * 500_000 + GET % b"hello")
        assert receive(sock, b"hello").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", ["exit", "raise", "short"])
def test_whatever_an_app_raises_is_its_own_500_and_ends_nothing(worker: Worker, path: str) -> None:
    pid = worker.status()["pid"]
    if path == "short":
        with worker.connect() as sock, contextlib.suppress(ConnectionResetError):
            sock.sendall(GET % b"short")
            assert b"too short" in receive(sock)
    else:
        response, body = worker.ask(f"/engine/{path}")
        assert response.status == 500
        assert response.getheader("X-Request-Id", "missing").encode() in body
        assert b"Traceback" not in body
    assert worker.ask("/engine/hello")[1] == b"hello"
    assert worker.status()["pid"] == pid


def test_an_answer_that_fails_midway_is_not_taken_for_complete(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(GET % b"midway")
        assert b"half of it" in receive(sock, b"half of it")
        with pytest.raises(ConnectionResetError):
            receive(sock)


def test_what_is_no_request_is_rejected_and_the_connection_ends(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert receive(sock).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_hundred_sleepers_share_one_process(worker: Worker) -> None:
    started = time.monotonic()
    socks = [worker.connect() for _ in range(100)]
    for sock in socks:
        sock.sendall(GET % b"sleep?0.5")
    for sock in socks:
        assert b"slept" in receive(sock, b"slept")
        sock.close()
    assert time.monotonic() - started < 5


def test_the_path_an_app_sees(worker: Worker) -> None:
    _, body = worker.ask("/engine/environ/a%2Fb//caf%C3%A9;x?q=%20")
    facts = dict(line.split("=", 1) for line in body.decode().splitlines())
    assert facts["SCRIPT_NAME"] == "/engine"
    assert facts["PATH_INFO"] == "/environ/a/b//café;x".encode().decode("latin-1")
    assert facts["QUERY_STRING"] == "q=%20"
    assert (facts["hedgerow.app"], facts["hedgerow.address"]) == ("engine", "8001")
    assert facts["REQUEST_URI"] == facts["RAW_URI"] == "/engine/environ/a%2Fb//caf%C3%A9;x?q=%20"


def test_without_a_slash_a_mount_redirects_and_the_root_lists_the_apps(worker: Worker) -> None:
    response, _ = worker.ask("/engine?x=1")
    assert (response.status, response.getheader("Location")) == (308, "/engine/?x=1")
    response, body = worker.ask("/")
    assert response.status == 200
    assert b"/engine/" in body
    assert worker.ask("/engineering/")[0].status == 404


def test_without_a_trusted_front_forwarded_headers_mean_nothing(worker: Worker) -> None:
    headers = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Request-Id": "made-up"}
    response, body = worker.ask("/engine/environ", headers=headers)
    assert b"REMOTE_ADDR=127.0.0.1" in body
    assert b"wsgi.url_scheme=http\n" in body + b"\n"
    assert response.getheader("X-Request-Id") not in (None, "made-up")


def test_an_app_can_not_steer_the_front(worker: Worker) -> None:
    response, body = worker.ask("/engine/accel")
    assert response.getheader("X-Accel-Redirect") is None
    assert body == b"not mine to say"


def test_a_child_of_an_app_does_not_hold_the_listener(tmp_path: Path) -> None:
    with listening() as listener:
        worker = Worker(tmp_path, {"engine": APPS / "engine"}, listener, "a")
        child = int(worker.ask("/engine/child")[1])
        try:
            inode = os.readlink(f"/proc/{os.getpid()}/fd/{listener.fileno()}")
            held = [os.readlink(path) for path in Path(f"/proc/{child}/fd").iterdir()]
            assert inode not in held
            assert worker.ask("/engine/descriptors")[1] == b"/dev/null"
        finally:
            os.kill(child, signal.SIGKILL)
            worker.stop()


def test_a_big_upload_and_a_big_download_keep_memory_flat(worker: Worker) -> None:
    worker.ask("/engine/digest", "PUT", b"x" * MIB)
    before = worker.memory()
    digest, size, peak = hashlib.sha256(), 100, 0
    with worker.connect() as sock:
        sock.sendall(f"PUT /engine/digest HTTP/1.1\r\nHost: a\r\nContent-Length: {size * MIB}\r\n\r\n".encode())
        for n in range(size):
            block = bytes([n]) * MIB
            digest.update(block)
            sock.sendall(block)
            peak = max(peak, worker.memory())
        assert f"{size * MIB} {digest.hexdigest()}".encode() in receive(sock, digest.hexdigest().encode())
    with worker.connect() as sock:
        sock.sendall(GET % b"count?200")
        received = 0
        while received < 200 * MIB:
            received += len(sock.recv(262_144))
            if received % 7 == 0:
                peak = max(peak, worker.memory())
    assert peak - before < 12 * MIB, f"grew by {(peak - before) / MIB:.1f} MiB"


def test_a_client_that_reads_nothing_stops_the_app_from_producing(worker: Worker) -> None:
    before = worker.memory()
    with worker.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.sendall(GET % b"count?2000")
        time.sleep(0.5)
        assert worker.memory() - before < 12 * MIB
        assert worker.ask("/engine/hello")[1] == b"hello"


def test_the_kernel_holds_no_more_for_a_client_than_a_core_can_keep_near(worker: Worker) -> None:
    with worker.connect() as sock:
        sock.sendall(GET % b"count?200")
        ports = f":{worker.address[1]:04X} ", f":{sock.getsockname()[1]:04X} "
        held = []
        for _ in range(10):
            time.sleep(0.05)
            rows = [line for line in Path("/proc/net/tcp").read_text().splitlines() if ports[0] in line[:40]]
            held += [int(line.split()[4].partition(":")[0], 16) for line in rows if ports[1] in line[:40]]
    assert 100_000 < max(held) < 524_288, held


def test_what_an_app_prints_and_logs_becomes_json_lines_with_app_and_request(tmp_path: Path) -> None:
    with serving(tmp_path) as worker:
        number = worker.ask("/engine/log?x=%1b")[1].decode()
        lines = worker.lines('"kind":"access"')
    mine = [line for line in lines if line.get("request_id") == number]
    assert {line["app"] for line in mine} == {"engine"}
    told = {line["message"]: line["level"] for line in mine if "message" in line}
    assert told["printed: snow ☃ \x1b[31m red"] == "info"
    assert told["to stderr"] == told["to wsgi.errors"] == "error"
    assert told["logged 42"] == "warning"
    assert "KeyError" in next(line for line in mine if line.get("message") == "with a traceback")["traceback"]
    access = [line for line in mine if line["kind"] == "access"]
    assert [(line["method"], line["status"], line["path"]) for line in access] == [("GET", 200, "/engine/log?x=%1b")]
    assert "\x1b" not in (tmp_path / "a.log").read_text()


def test_what_an_app_starts_keeps_its_app_and_request(tmp_path: Path) -> None:
    with serving(tmp_path) as worker:
        number = worker.ask("/engine/spawn")[1].decode()
        lines = worker.lines('"kind":"access"')
    told = {line["message"]: (line.get("app"), line.get("request_id")) for line in lines if "message" in line}
    for way in ("spawn", "spawn_later", "spawn_raw", "pool", "thread"):
        assert told[f"by {way}"] == ("engine", number), way


def test_what_a_load_changes_of_the_process_is_put_back_and_told_in_the_app_s_log(tmp_path: Path) -> None:
    loud = tmp_path / "loud"
    loud.mkdir()
    (loud / "app.py").write_text(
        "import os\nos.umask(0)\ndef application(environ, start_response):\n"
        "    now = os.umask(0)\n    os.umask(now)\n    start_response('200 OK', [])\n    return [b'%03o' % now]\n"
    )
    with serving(tmp_path, {"loud": loud}) as worker:
        assert worker.ask("/loud/")[1] != b"000"
        [app] = worker.status()["apps"]
        assert {each["cause"] for each in app["findings"]} == {"process-state"}
        assert "changed the umask" in app["findings"][0]["sentence"]
        [told] = [line for line in worker.lines("changed the umask") if "changed the umask" in line.get("message", "")]
    assert (told["level"], told["app"]) == ("warning", "loud")


def test_a_broken_app_answers_503_with_its_name_and_disturbs_nobody(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "app.py").write_text("import no_such_module\n\ndef application(environ, start_response): ...\n")
    with serving(tmp_path, {"engine": APPS / "engine", "broken": broken}) as worker:
        response, body = worker.ask("/broken/x")
        assert response.status == 503
        assert b"broken" in body
        assert b"Traceback" not in body
        assert worker.ask("/engine/hello")[1] == b"hello"
        apps = {app["name"]: app for app in worker.status()["apps"]}
        assert apps["engine"]["state"] == "up"
        assert "no_such_module" in apps["broken"]["error"]
        assert "Traceback" in apps["broken"]["traceback"]
        assert "no_such_module" in str(worker.lines("no_such_module"))


def test_a_full_gate_refuses_before_entry(tmp_path: Path) -> None:
    with (
        serving(tmp_path, settings={"APP_RUNNING": 1, "APP_WAITING": 0, "TRUST_FRONT": 1}) as worker,
        worker.connect() as sock,
    ):
        sock.sendall(GET % b"sleep?1")
        while worker.status()["in_flight"] < 1:
            time.sleep(0.01)
        response, _ = worker.ask("/engine/hello")
        assert (response.status, response.getheader("X-Accel-Redirect")) == (503, None)
        assert response.getheader("Retry-After") is not None
        first = {"X-Hedgerow-Round": "1", "X-Request-Id": "f" * 32}
        response, _ = worker.ask("/engine/hello", "POST", b"abc", headers=first)
        assert response.getheader("X-Accel-Redirect") == "@refused"
        assert {name for name, _ in response.getheaders()} == {"Date", "Server", "Content-Length", "X-Accel-Redirect"}
        response, _ = worker.ask("/engine/hello", headers=first | {"X-Hedgerow-Round": "2"})
        assert (response.status, response.getheader("X-Accel-Redirect")) == (503, None)
        assert b"slept" in receive(sock, b"slept")
        assert worker.ask("/engine/hello")[1] == b"hello"


def test_a_draining_worker_serves_what_it_has_and_leaves_the_listener_open(tmp_path: Path) -> None:
    with listening() as listener:
        old = Worker(tmp_path, {"engine": APPS / "engine"}, listener, "a")
        idle, busy = old.connect(), old.connect()
        idle.sendall(GET % b"hello")
        receive(idle, b"hello")
        busy.sendall(GET % b"sleep?0.7")
        new = Worker(tmp_path, {"engine": APPS / "engine"}, listener, "b")
        assert old.control("POST", "/drain")[0] == 202
        assert old.control("GET", "/ready")[0] == 503
        idle.sendall(GET % b"hello")
        assert b"Connection: close" in receive(idle)
        idle.close()
        for _ in range(20):
            assert new.ask("/engine/hello")[1] == b"hello"
        assert b"slept" in receive(busy)
        busy.close()
        assert old.process.wait(10) == 0
        assert not old.control_path.exists()
        assert new.ask("/engine/hello")[1] == b"hello"
        assert new.stop() == 0


def test_a_leaving_worker_answers_what_is_queued_and_refuses_the_rest(tmp_path: Path) -> None:
    with listening() as listener:
        worker = Worker(tmp_path, {"engine": APPS / "engine"}, listener, "a")
        os.kill(worker.process.pid, signal.SIGSTOP)
        queued = [worker.connect() for _ in range(5)]
        for sock in queued:
            sock.sendall(GET % b"hello")
        os.kill(worker.process.pid, signal.SIGTERM)
        os.kill(worker.process.pid, signal.SIGCONT)
        for sock in queued:
            assert b"hello" in receive(sock)
            sock.close()
        with pytest.raises(ConnectionRefusedError):
            worker.connect()
        assert worker.process.wait(10) == 0
        # who starts on this socket next brings it back
        again = Worker(tmp_path, {"engine": APPS / "engine"}, listener, "a")
        assert again.ask("/engine/hello")[1] == b"hello"
        assert again.stop() == 0


def test_a_request_longer_than_the_drain_limit_ends_with_it(tmp_path: Path) -> None:
    with listening() as listener:
        worker = Worker(tmp_path, {"engine": APPS / "engine"}, listener, "a", settings={"DRAIN_S": 1.0})
        with worker.connect() as sock:
            sock.sendall(GET % b"sleep?30")
            while worker.status()["in_flight"] < 1:
                time.sleep(0.01)
            started = time.monotonic()
            worker.process.terminate()
            assert worker.process.wait(10) == 0
            assert 0.8 < time.monotonic() - started < 5


def test_what_is_queued_while_no_worker_lives_is_answered_by_the_next(tmp_path: Path) -> None:
    with listening() as listener:
        first = Worker(tmp_path, {"engine": APPS / "engine"}, listener, "a")
        first.process.kill()
        first.process.wait()
        socks = [socket.create_connection(first.address, 10) for _ in range(5)]
        for sock in socks:
            sock.sendall(b"POST /engine/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        second = Worker(tmp_path, {"engine": APPS / "engine"}, listener, "b")
        for sock in socks:
            assert b"abc" in receive(sock, b"0\r\n\r\n")
            sock.close()
        assert second.stop() == 0


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.timeout(180)
def test_a_stdout_that_nobody_reads_makes_no_request_wait(tmp_path: Path, seconds: int) -> None:
    """The lines that do not fit are dropped and counted; when the reader comes back, it is told how many."""
    reader, writer = os.pipe()
    options = {"stdout": writer, "settings": {"LOG_QUEUE_LINES": 500, "MAX_REQUESTS_PER_CONNECTION": 0}}
    with serving(tmp_path, **options) as worker, worker.connect() as sock:
        os.close(writer)
        end, sent, slowest = time.monotonic() + seconds, 0, 0.0
        while time.monotonic() < end:
            started = time.monotonic()
            sock.sendall(GET % b"hello")
            receive(sock, b"hello")
            slowest = max(slowest, time.monotonic() - started)
            sent += 1
        dropped = worker.status()["log_dropped"]
        print(f"{sent} requests in {seconds} s, slowest {slowest * 1000:.0f} ms, {dropped} lines dropped")
        assert slowest < 1.0
        assert 0 < dropped < sent
        seen = b""
        deadline = time.monotonic() + 10
        while sum(map(int, re.findall(rb'"dropped": (\d+)', seen))) < dropped:
            assert time.monotonic() < deadline, "the reader was not told of all dropped lines"
            seen += os.read(reader, 10_000_000)
            sock.sendall(GET % b"hello")  # the gap is told in front of the next line
            receive(sock, b"hello")
    os.close(reader)


def test_five_thousand_idle_connections_cost_little_each(worker: Worker) -> None:
    worker.ask("/engine/hello")
    before = worker.memory()
    socks = []
    for _ in range(5000):
        sock = worker.connect()
        sock.sendall(GET % b"hello")
        socks.append(sock)
    for sock in socks:
        receive(sock, b"hello")
    each = (worker.memory() - before) / len(socks)
    print(f"{each:.0f} bytes an idle connection")
    for sock in socks:
        sock.close()
    assert each < 6000


TAKES_ITS_SOCKET = """
def application(environ, start_response):
    sock, early = environ["hedgerow.take_socket"]()
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: x\\r\\n\\r\\n" + early)
    raise ValueError("in the middle of another protocol")
"""


@pytest.mark.parametrize("threads", [False, True])
def test_an_app_that_fails_on_a_socket_that_it_has_taken_ends_the_connection_without_a_page(
    tmp_path: Path, threads: bool
) -> None:
    app = tmp_path / "taking"
    app.mkdir()
    (app / "app.py").write_text(TAKES_ITS_SOCKET)
    with serving(tmp_path, {"taking": app}, threads=threads) as worker, worker.connect() as sock:
        sock.sendall(b"GET /taking/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nearly")
        assert receive(sock).endswith(b"\r\nUpgrade: x\r\n\r\nearly")
        worker.lines("in the middle of another protocol")
