"""The remote middleware between real servers: upstreams in processes of their own, and in front a worker of ours
(greenlets) or gunicorn (native threads).
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import itertools
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from remote_support import Front, Upstream, checked_in_front, gunicorn_in_front, upstreams, worker_in_front

MB = 2**20
CERTIFICATE = Path(__file__).parent / "remote_tls.pem"  # with its key, trusted by these tests alone
BLOCK = b"0123456789abcdef" * 4096
Start = Callable[..., contextlib.AbstractContextManager[Front]]
FRONTS = {"worker": worker_in_front, "gunicorn": gunicorn_in_front}


@pytest.fixture(params=FRONTS)
def start(request: pytest.FixtureRequest) -> Start:
    return FRONTS[request.param]


@pytest.fixture(scope="module", params=FRONTS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Front, Upstream]]:
    """One upstream, and a server in front of it, for tests that leave both as they were."""
    folder = tmp_path_factory.mktemp("pair")
    options = {"first_byte_timeout_s": 2.0, "idle_timeout_s": 0.5, "failures": 1000}
    with (
        upstreams(folder) as [upstream],
        FRONTS[request.param](folder, {"upstreams": [upstream.url], **options}) as front,
    ):
        yield front, upstream


Pair = tuple[Front, Upstream]


def test_what_is_asked_and_answered_goes_through(pair: Pair) -> None:
    front, _ = pair
    told = front.told("/a%2Fb/c?x=1", "POST", b"hello", Content_Type="text/x", X_Own="1", X_Forwarded_For="6.6.6.6")
    assert told["line"] == "POST /a%2Fb/c?x=1 HTTP/1.1"
    assert told["body"] == "hello"
    fields = told["headers"]
    assert (fields["Content-Type"], fields["X-Own"], fields["X-Forwarded-For"]) == ("text/x", "1", "127.0.0.1")
    assert fields.get("X-Forwarded-Prefix", "") == front.prefix
    assert fields["Host"] == fields["X-Forwarded-Host"] == f"127.0.0.1:{front.address[1]}"
    for method in ("PUT", "DELETE", "OPTIONS"):
        assert front.told("/", method)["line"].startswith(method)
    assert front.told("/", "PUT", iter([b"a", b"bc"]))["body"] == "abc", "in chunks"
    ports = {front.told("/", "POST", b"x")["port"] for _ in range(5)}
    assert len(ports) == 1, "the connection is kept"


def test_answers_of_all_kinds(pair: Pair) -> None:
    front, _ = pair
    response, body = front.ask("/download/length?2")
    assert (response.getheader("Content-Length"), body) == (str(2 * len(BLOCK)), 2 * BLOCK)
    assert front.ask("/download/chunks?2")[1] == 2 * BLOCK, "with a trailer"
    assert front.ask("/download/plain?2")[1] == 2 * BLOCK, "that ends with the connection"
    response, body = front.ask("/download/length?2", "HEAD")
    assert (response.status, response.getheader("Content-Length"), body) == (200, str(2 * len(BLOCK)), b"")
    response, body = front.ask("/bare?204")
    assert (response.status, response.getheader("Content-Length"), body) == (204, None, b"")
    response, body = front.ask("/bare?304")
    assert (response.status, response.getheader("ETag"), body) == (304, '"a"', b"")
    assert front.ask("/hints")[1] == b"behind hints"
    response, body = front.ask("/status?503")
    assert (response.status, body) == (503, b"of the upstream"), "there is nobody else to ask"
    assert front.ask("/status?418")[0].status == 418


def test_an_answer_in_pieces_comes_in_pieces(pair: Pair) -> None:
    connection = pair[0].connect()
    connection.request("GET", pair[0].prefix + "/slowly?3")
    response = connection.getresponse()
    assert response.read1(100) == b"0;"
    first = time.monotonic()
    assert response.read() == b"1;2;"
    assert time.monotonic() - first > 0.1, "the rest comes 0.2 s behind it"
    connection.close()


def test_an_answer_may_begin_before_the_request_has_ended(pair: Pair) -> None:
    front, _ = pair
    size = 16 * MB  # much more than the kernel holds: who only sends, or only reads, hangs
    assert echoed(front, size) == hashlib.sha256(BLOCK * (size // len(BLOCK))).digest()


def echoed(front: Front, size: int) -> bytes:
    """The digest of what comes back while so many bytes are sent."""
    body = (BLOCK for _ in range(size // len(BLOCK)))
    connection = front.connect()
    digest = hashlib.sha256()

    def read() -> None:
        response = http.client.HTTPResponse(connection.sock)
        response.begin()
        while block := response.read1(65_536):
            digest.update(block)

    connection.connect()
    reader = threading.Thread(target=read)
    reader.start()
    connection.request("PUT", front.prefix + "/echo", body, {"Content-Length": str(size)})
    reader.join(20)
    connection.close()
    return digest.digest()


def test_an_answer_that_reads_nothing_goes_through(pair: Pair) -> None:
    front, _ = pair
    with front.raw() as client:
        client.sendall(f"POST {front.prefix}/early HTTP/1.1\r\nHost: a\r\nContent-Length: {64 * MB}\r\n\r\n".encode())
        with contextlib.suppress(OSError):
            for _ in range(200):
                client.sendall(BLOCK)
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/leave", "GET", 502), ("/leave", "POST", 502), ("/noise", "GET", 502), ("/noise", "POST", 502),
        ("/switch", "GET", 502), ("/switch", "POST", 502),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_502(pair: Pair, path: str, method: str, status: int) -> None:
    response, body = pair[0].ask(path, method)
    assert (response.status, body) == (status, b"The server behind this one gave no proper answer.\n")
    causes = {"/leave": "broke off before its answer", "/noise": "answer is no HTTP", "/switch": "nobody has asked for"}
    assert until(lambda: causes[path] in pair[0].log.read_text())


def test_who_pauses_for_too_long_is_cut_off(pair: Pair) -> None:
    front, _ = pair
    for path in ("/pause", "/cut"):
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            front.ask(path)
    assert front.told("/")["body"] == ""


def test_a_kept_connection_that_ends_costs_no_idempotent_request(pair: Pair) -> None:
    front, upstream = pair
    for method in ("GET", "PUT"):
        assert front.ask("/last")[0].status == 200
        assert front.told("/", method, X_Id=f"kept-{method}-{front.prefix}")["body"] == ""
    assert front.ask("/last")[0].status == 200
    response, _ = front.ask("/", "POST", b"x")
    assert response.status == 502, "it was sent, and nobody knows whether it was executed"
    executed = [one for one in upstream.executed if one.startswith("kept")]
    assert len(executed) == len(set(executed)) == 2


def test_a_client_that_leaves_is_nobodys_failure(pair: Pair) -> None:
    front, _ = pair
    for path in ("/upload", "/download/length?2000"):
        with front.raw() as client:
            client.sendall(f"POST {front.prefix}{path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhi".encode())
            client.settimeout(0.2)
            with contextlib.suppress(OSError):
                client.recv(10)
    assert front.told("/")["body"] == ""


def test_a_slow_client_and_a_slow_upstream_hold_nobody_else(pair: Pair) -> None:
    front, _ = pair
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        for path in ("/download/length?2000", "/slowly?10") * 4:
            client = stack.enter_context(front.raw())
            client.sendall(f"GET {front.prefix}{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        for _ in range(20):
            assert front.told("/")["body"] == ""
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(("way", "mb"), [("length", 200), ("upload", 200)])
def test_what_streams_is_never_held(pair: Pair, way: str, mb: int) -> None:
    """200 MB each way, with a client that pauses now and then; what the server in front holds more of is counted."""
    front, _ = pair
    front.ask("/download/length?20")
    before, most = front.memory(), 0
    connection = front.connect()
    if way == "upload":
        digest = hashlib.sha256()
        connection.putrequest("PUT", front.prefix + "/upload")
        connection.putheader("Content-Length", str(mb * MB))
        connection.endheaders()
        for number in range(mb * 16):
            digest.update(BLOCK)
            connection.send(BLOCK)
            most = max(most, front.memory()) if number % 64 == 0 else most
        assert connection.getresponse().read().decode() == f"{mb * MB} {digest.hexdigest()}"
    else:
        connection.request("GET", f"{front.prefix}/download/{way}?{mb * 16}")
        response, size = connection.getresponse(), 0
        time.sleep(0.2)  # what comes meanwhile has to wait where it is
        while block := response.read1(MB):
            size += len(block)
            most = max(most, front.memory())
        assert size == mb * MB
    connection.close()
    assert most - before < 8 * MB, f"{(most - before) / MB:.1f} MB"


def test_unix_sockets_prefixes_and_the_apps_own_paths(start: Start, tmp_path: Path) -> None:
    upstream = Upstream(tmp_path / "ledger", f"unix:{tmp_path}/up.sock")
    options = {"upstreams": [f"{upstream.url}:/v2/"], "paths": ["/api"], "strip_path": True, "keep_host": False}
    try:
        with start(tmp_path, options) as front:
            told = front.told("/api/x?y")
            assert (told["line"], told["headers"]["Host"]) == ("GET /v2/x?y HTTP/1.1", "localhost")
            assert told["headers"]["X-Forwarded-Prefix"] == front.prefix + "/api"
            response, body = front.ask("/apiary")
            own = (200, b"of the app") if front.prefix else (404, b"There is nothing here.\n")
            assert (response.status, body) == own
    finally:
        upstream.close()


def test_time_limits_and_who_is_not_there(start: Start, tmp_path: Path) -> None:
    options = {"first_byte_timeout_s": 0.3, "failures": 1, "tries": 3}
    with upstreams(tmp_path) as [upstream], start(tmp_path, {"upstreams": [upstream.url], **options}) as front:
        upstream.be("hanging")
        for method in ("GET", "POST"):
            began = time.monotonic()
            response, body = front.ask("/", method, X_Id=method)
            assert (response.status, body) == (504, b"The server behind this one did not answer in time.\n")
            assert time.monotonic() - began > 0.25
            assert upstream.executed.count(method) == 1, "it is not waited for again"
        assert until(lambda: "it did not answer in time" in front.log.read_text())
        upstream.kill()
        response, body = front.ask("/")
        assert (response.status, body) == (502, b"The server behind this one cannot be reached.\n")
        upstream.start_again()
        assert front.ask("/")[0].status == 200, "the only one is asked though it was out"


def test_who_is_asked_regularly_gets_nothing_while_it_fails(start: Start, tmp_path: Path) -> None:
    options = {"health_path": "/health", "health_every_s": 0.1, "health_timeout_s": 0.3, "first_byte_timeout_s": 5.0}
    with (
        upstreams(tmp_path, 2) as [one, other],
        start(tmp_path, {"upstreams": [one.url, other.url], **options}) as front,
    ):
        assert until(lambda: asked_pids(front) == {one.process.pid, other.process.pid})
        one.be("hanging")
        assert until(lambda: f"{one.url}: it took too long" in front.log.read_text())
        began = time.monotonic()
        assert asked_pids(front) == {other.process.pid}
        other.kill()
        assert until(lambda: front.ask("/")[0].status == 503)
        response, body = front.ask("/", "POST")
        assert (response.getheader("Retry-After"), body) == ("5", b"No server behind this one works at the moment.\n")
        assert time.monotonic() - began < 5, "nobody waits for who is known to hang"
        one.kill()
        one.start_again()
        assert until(lambda: front.ask("/")[0].status == 200)
        assert asked_pids(front) == {one.process.pid}


def asked_pids(front: Front) -> set[int]:
    return {int(front.told("/")["pid"]) for _ in range(6)}


def until(holds: Callable[[], bool], deadline_s: float = 10.0) -> bool:
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("server", ["gunicorn", "greenlets", "threads"])
def test_an_upgrade_goes_through_and_bytes_then_go_both_ways(tmp_path: Path, server: str) -> None:
    with upstreams(tmp_path) as [upstream], contextlib.ExitStack() as stack:
        options = {"upstreams": [upstream.url]}
        if server == "gunicorn":
            front = stack.enter_context(gunicorn_in_front(tmp_path, options))
        else:
            front = stack.enter_context(worker_in_front(tmp_path, options, threads=server == "threads"))
        wish = f"GET {front.prefix}/switch HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: capitals\r\n\r\n"
        # What comes with the request belongs to the other protocol, too; of gunicorn's socket it cannot be had.
        early = b"" if server == "gunicorn" else b"early"
        client = stack.enter_context(front.raw())
        client.sendall(wish.encode() + early)
        with client.makefile("rb") as answer:
            head = b"".join(iter(answer.readline, b"\r\n")).decode()
            assert head.startswith("HTTP/1.1 101 Switching Protocols\r\n")
            assert "Upgrade: capitals\r\n" in head
            assert answer.read(6 + len(early)) == b"hello;" + early.upper()
            for word in (b"one", b"two" * 100_000):
                threading.Thread(target=client.sendall, args=(word,)).start()
                assert answer.read(len(word)) == word.upper()
            client.shutdown(socket.SHUT_WR)
            assert answer.read() == b""
        assert front.told("/", "POST", b"anew")["body"] == "anew", "the connection was not kept for others"
        assert "Traceback" not in front.log.read_text()


class Load:
    """Clients that ask at once, each its share, on kept connections. bad: what was no 200; codes: of POSTs."""

    def __init__(self, front: Front, clients: int, stop: float) -> None:
        self.front, self._stop = front, stop
        self.bad: list[tuple[str, object]] = []
        self.posts: dict[str, int] = {}
        self.done: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)

    def _work(self, number: int) -> None:
        connection = self.front.connect()
        dice = random.Random(number)
        for count in itertools.count():
            if time.monotonic() > self._stop:
                break
            method = dice.choice(["GET", "GET", "PUT", "DELETE", "POST"])
            identity = f"{method}-{number}-{count}"
            body = b"x" * dice.choice([10, 20_000]) if method in ("PUT", "POST") else None
            try:
                connection.request(method, self.front.prefix + "/upload", body, {"X-Id": identity})
                response = connection.getresponse()
                answer = response.read()
                whole = response.status != 200 or int(answer.split()[0]) == len(body or b"")
                status = response.status if whole else 0
            except OSError as error:
                self.bad.append((identity, error))
                connection.close()
                continue
            self._note(method, identity, status)
        connection.close()

    def _note(self, method: str, identity: str, status: int) -> None:
        self.done[method] += 1
        if method == "POST":
            self.posts[identity] = status
        elif status != 200:
            self.bad.append((identity, status))


@pytest.mark.parametrize("pace", [0.5, pytest.param(8.0, marks=pytest.mark.slow)])
def test_no_idempotent_request_fails_and_no_post_is_executed_twice(
    start: Start, tmp_path: Path, pace: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of three upstreams one is killed and started again, one hangs for a while, one answers 500 at random."""
    options = {
        "retry_statuses": [500, 502, 503, 504],
        "first_byte_timeout_s": 0.5,
        "tries": 12,
        "out_s": 0.2,
        "out_max_s": 2.0,
    }
    with (
        upstreams(tmp_path, 3) as [killed, hangs, fails],
        start(tmp_path, {"upstreams": [one.url for one in (killed, hangs, fails)], **options}) as front,
    ):
        began = time.monotonic()
        load = Load(front, 8, began + 4.0 * pace)
        for at, act in (
            (0.3, lambda: fails.be("failing")),
            (0.6, lambda: hangs.be("hanging")),
            (1.0, killed.kill),
            (2.5, killed.start_again),
            (3.0, lambda: (hangs.kill(), hangs.start_again())),
        ):
            time.sleep(max(0.0, began + at * pace - time.monotonic()))
            act()
        load.join()
        log = front.log.read_text()
        executed = Counter(killed.executed + hangs.executed + fails.executed)
    assert load.bad == []
    assert min(load.done.values()) > 50
    twice = {one: times for one, times in executed.items() if one.startswith("POST") and times > 1}
    assert twice == {}
    answered = {one for one, status in load.posts.items() if status == 200}
    assert {executed[one] for one in answered} == {1}
    assert max(executed[one] for one in executed) > 1, "what is idempotent was sent again"
    for cause in ("it takes no connection", "it did not answer in time", "counts as a failure"):
        assert cause in log, cause
    failed = Counter(load.posts.values())
    if pace > 1:
        with capsys.disabled():
            again = sum(executed.values()) - len(executed)
            print(f"\n{start.__name__}: {load.done}, POSTs by status {failed}, sent again {again}")
    assert failed[200] > failed[500] + failed[502] + failed[504], failed


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/download/length?1"])
def test_what_the_hop_costs(start: Start, tmp_path: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """CPU of the server in front, a request, with eight clients; what it costs to answer itself is taken off."""
    with (
        upstreams(tmp_path) as [upstream],
        start(tmp_path, {"upstreams": [upstream.url], "paths": ["/far", "/download"]}) as front,
    ):
        figures: dict[str, float] = {}
        for name, asked in (("itself", "/near"), ("hop", "/far" if path == "/" else path)) * 3:
            figures[name] = min(figures.get(name, 1e9), cost_us(front, asked))
        assert upstream.process.poll() is None
    with capsys.disabled():
        print(f"\n{start.__name__} {path}: {figures['itself']:.0f} us itself, {figures['hop']:.0f} us sent on")
    assert figures["hop"] > 0


def cost_us(front: Front, path: str, count: int = 300, clients: int = 8) -> float:
    def work() -> None:
        connection = front.connect()
        for _ in range(count):
            connection.request("GET", front.prefix + path)
            connection.getresponse().read()
        connection.close()

    before = front.cpu_s()
    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (front.cpu_s() - before) / (count * clients) * 1e6


def test_by_the_letter_of_pep_3333(tmp_path: Path) -> None:
    """Between the checks of wsgiref, whatever happens: and nothing is left behind by it."""
    with upstreams(tmp_path) as [upstream]:
        options = {"upstreams": (upstream.url,), "first_byte_timeout_s": 0.3, "idle_timeout_s": 0.3, "failures": 1000}
        with checked_in_front(tmp_path, options) as (front, remote):
            assert front.told("/", "POST", b"hello")["body"] == "hello"
            assert front.ask("/download/chunks?3")[1] == 3 * BLOCK
            assert front.ask("/download/length?3", "HEAD")[1] == b""
            assert [front.ask(path)[0].status for path in ("/bare?204", "/bare?304", "/noise", "/leave")] == [
                204,
                304,
                502,
                502,
            ]
            for path in ("/cut", "/pause"):
                with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                    front.ask(path)
            for _ in range(3):
                with front.raw() as client:  # which leaves in the middle
                    client.sendall(b"GET /download/length?2000 HTTP/1.1\r\nHost: a\r\n\r\n")
                    client.recv(10)
            with front.raw() as client:
                client.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhi")
                client.shutdown(socket.SHUT_WR)
                assert client.recv(1000).startswith(b"HTTP/1.0 400 ")
            upstream.be("hanging")
            assert front.ask("/", "POST", b"x")[0].status == 504
            free = f"<Balance {upstream.url} in busy=0 idle="
            assert until(lambda: repr(remote._balance).startswith(free)), repr(remote._balance)


def test_requests_are_shared_and_connections_kept(tmp_path: Path) -> None:
    with upstreams(tmp_path, 2) as [one, other]:
        options = {"upstreams": [f"{one.url} weight=3", other.url]}
        with worker_in_front(tmp_path, options) as front:
            pids = Counter(int(front.told("/")["pid"]) for _ in range(40))
            assert pids == {one.process.pid: 30, other.process.pid: 10}
            assert len({front.told("/")["port"] for _ in range(20)}) == 2


def test_who_is_down_when_it_is_closed_comes_back_when_it_is_used_on(tmp_path: Path) -> None:
    with upstreams(tmp_path) as [upstream]:
        options = {"upstreams": [upstream.url], "health_path": "/", "health_every_s": 0.05}
        with checked_in_front(tmp_path, options) as (front, remote):
            upstream.kill()
            assert until(lambda: front.ask("/")[0].status == 503)
            remote.close()
            upstream.start_again()
            assert until(lambda: front.ask("/")[0].status == 200, 5)


def test_a_connection_that_was_closed_meanwhile_is_not_used(pair: Pair) -> None:
    front, _ = pair
    for _ in range(5):
        assert front.ask("/quit")[0].status == 200
        time.sleep(0.05)  # the end is there: a request that may not be sent again must not meet it
        assert front.told("/", "POST", b"x")["body"] == "x"


def test_https_streams_and_is_kept(start: Start, tmp_path: Path) -> None:
    upstream = Upstream(tmp_path / "ledger", certificate=str(CERTIFICATE))
    try:
        with start(tmp_path, {"upstreams": [upstream.url], "ca_file": str(CERTIFICATE)}) as front:
            ports = {front.told("/", "POST", b"x" * 100_000)["port"] for _ in range(5)}
            assert len(ports) == 1, "the connection is kept"
            body = BLOCK * 64
            response, answer = front.ask("/upload", "PUT", body)
            assert (response.status, answer) == (200, f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode())
            assert echoed(front, len(body)) == hashlib.sha256(body).digest()
            assert front.ask("/download/plain?64")[1] == body
    finally:
        upstream.close()
