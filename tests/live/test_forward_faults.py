"""What a client gets when a pool refuses, swaps, dies or is not there; and protocols other than HTTP."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from forward_support import FRONT, forwarding, until
from worker_support import DEADLINE_S, receive

ROUND_1 = {**FRONT, "X-Hedgerow-Round": "1"}
ELSEWHERE = [("X-Accel-Redirect", "@refused")]


def own_fields(answer: http.client.HTTPResponse) -> list[tuple[str, str]]:
    return [pair for pair in answer.getheaders() if pair[0] not in ("Date", "Server", "Content-Length", "Connection")]


def test_a_pool_that_is_not_there_is_a_refusal() -> None:
    """Before entry: the front may take the request elsewhere; if it may not, the client is told to come again."""
    with forwarding(started=False, TRUST_FRONT=1) as stack:
        stack.listeners[0].shutdown(socket.SHUT_RDWR)
        for _ in range(2):  # connects are refused, then there is no socket at all
            answer, body = stack.front.ask("/pooled/pid", "POST", b"body", ROUND_1)
            assert (answer.status, own_fields(answer), body) == (503, ELSEWHERE, b"")
            stack.run.joinpath("pool0.sock").unlink(missing_ok=True)
        answer, body = stack.front.ask("/pooled/pid", headers={**ROUND_1, "X-Hedgerow-Round": "2"})
        assert (answer.status, answer.getheader("Retry-After")) == (503, "1")
        assert b"try again" in body
        until(lambda: [line["cause"] for line in stack.front.lines("cause") if "cause" in line] == ["starting"] * 3)


def test_a_pool_whose_queue_is_full_is_a_refusal() -> None:
    with forwarding(started=False, TRUST_FRONT=1) as stack:
        waiting = []
        try:
            with suppress(BlockingIOError):
                while len(waiting) < 1000:
                    waiting.append(socket.socket(socket.AF_UNIX))
                    waiting[-1].setblocking(False)
                    waiting[-1].connect(stack.listeners[0].getsockname())
            answer, _ = stack.front.ask("/pooled/pid", headers=ROUND_1)
            assert (answer.status, own_fields(answer)) == (503, ELSEWHERE)
            assert stack.front.lines("cause")[-1]["cause"] == "full"
        finally:
            for one in waiting:
                one.close()


def test_a_refusal_of_the_pool_is_one_of_the_address() -> None:
    """The pool's gate lets one in; an app's own X-Accel-Redirect is no refusal."""
    with forwarding(started=False, TRUST_FRONT=1) as stack:
        limited = stack.another("a", settings={"TRUST_FRONT": 1, "APP_RUNNING": 1, "APP_WAITING": 0})
        answer, body = stack.front.ask("/pooled/fields", headers=ROUND_1)
        assert (answer.status, body, answer.getheader("X-Accel-Redirect")) == (200, b"fields", None)
        assert answer.getheader("X-Accel-Buffering") == "no"
        with stack.front.connect() as busy:
            busy.sendall(b"GET /pooled/ask HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: limited.status()["in_flight"] == 1)
            answer, body = stack.front.ask("/pooled/pid", "POST", b"body", ROUND_1)
            assert (answer.status, own_fields(answer), body) == (503, ELSEWHERE, b"")
            assert stack.front.lines("cause")[-1]["cause"] == "full"
            time.sleep(1.1)  # for so long nobody has left the pool's gate, and that is what the client is told
            answer, _ = stack.front.ask("/pooled/pid", headers={**ROUND_1, "X-Hedgerow-Round": "2"})
            assert (answer.status, answer.getheader("Retry-After")) == (503, "2")


def test_an_app_that_cannot_be_loaded_is_down(tmp_path: os.PathLike[str]) -> None:
    with forwarding(started=False) as stack:
        folder = stack.run / "broken"
        folder.mkdir()
        (folder / "app.py").write_text("import nothing_of_that_name\napplication = print\n")
        worker = stack.another("a", app=folder)
        answer, body = stack.front.ask("/pooled/", headers={"Accept": "application/json"})
        assert (answer.status, answer.getheader("Retry-After")) == (503, "10")
        assert b"could not be started" in body
        (app,) = worker.status()["apps"]
        assert app["error"] == "broken/app.py line 1: ModuleNotFoundError: No module named 'nothing_of_that_name'"


def test_the_least_busy_process_takes_the_next_request() -> None:
    with forwarding(sockets=2) as stack:
        pids = [str(worker.process.pid) for worker in stack.pool]
        answers = [stack.front.ask("/pooled/pid")[1].decode() for _ in range(6)]
        assert sorted(answers) == sorted(pids * 3)
        with stack.front.connect() as busy:
            busy.sendall(b"GET /pooled/ask HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: sum(worker.status()["in_flight"] for worker in stack.pool) == 1)
            (free,) = [str(worker.process.pid) for worker in stack.pool if not worker.status()["in_flight"]]
            assert {stack.front.ask("/pooled/pid")[1].decode() for _ in range(4)} == {free}
        stack.pool[0].process.kill()
        stack.pool[0].process.wait()
        stack.listeners[0].shutdown(socket.SHUT_RDWR)  # nobody will come back there
        assert {stack.front.ask("/pooled/pid", "POST")[1].decode() for _ in range(4)} == {pids[1]}


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_worker_that_is_killed_costs_only_what_must_not_run_twice(method: str) -> None:
    """The listener is the keeper's: the next worker takes what waits there."""
    with forwarding() as stack:
        connection = http.client.HTTPConnection(*stack.front.address, timeout=DEADLINE_S)
        connection.request(method, "/pooled/sleep?0.4", b"body")
        until(lambda: stack.pool[0].status()["in_flight"] == 1)
        stack.pool[0].process.kill()
        stack.pool[0].process.wait()
        stack.pool[0].control_path.unlink()
        other = stack.another("b")
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if method == "POST":
            assert (answer.status, answer.getheader("X-Request-Id", "").encode() in body) == (502, True)
            stack.front.lines("before its answer began")
        else:
            assert (answer.status, body) == (200, str(other.process.pid).encode())


def test_swaps_of_the_pool_under_load_fail_nothing() -> None:
    """The two slots of one socket take turns: the other gets ready, then this one drains."""
    with forwarding(DRAIN_S=6.5) as stack:
        stop, failed, served = threading.Event(), [], [0]

        def load() -> None:
            connection = http.client.HTTPConnection(*stack.front.address, timeout=DEADLINE_S)
            while not stop.is_set():
                for method, path, body in (
                    ("GET", "pid", None),
                    ("POST", "sink", b"x" * 20_000),
                    ("GET", "sleep?0.01", None),
                ):
                    try:
                        connection.request(method, f"/pooled/{path}", body)
                        answer = connection.getresponse()
                        data = answer.read()
                        if answer.status != 200:
                            failed.append((method, path, answer.status, data))
                    except (OSError, http.client.HTTPException) as error:
                        failed.append((method, path, repr(error)))
                        connection.close()
                    served[0] += 1
            connection.close()

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            old = stack.pool[0]
            for slot in "ba":
                new = stack.another(slot)
                old.control("POST", "/drain")
                assert old.process.wait(DEADLINE_S) == 0
                old = new
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        print(f"2 swaps of a pool, {served[0]} requests, {len(failed)} failed")
        assert failed == []
        assert old.status()["connections"] > 0
        until(lambda: old.status()["connections"] == 0)  # what is idle for 1 s we close; a worker would after 75
        assert stack.front.ask("/pooled/pid", "POST")[0].status == 200


def echo(sock: socket.socket) -> None:
    """Sends back what comes, in capitals, and says goodbye when the client has said all."""
    while data := sock.recv(65_536):
        sock.sendall(data.upper())
    with suppress(BrokenPipeError):  # nobody is there any more
        sock.sendall(b" bye")


@contextmanager
def speaking(listener: socket.socket, then: Callable[[socket.socket], object] = echo) -> Iterator[list[bytes]]:
    """A server of another kind in the pool's place: it agrees to any other protocol. Yields the heads that it got."""
    heads: list[bytes] = []

    def serve() -> None:
        listener.settimeout(DEADLINE_S)
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(DEADLINE_S)
            heads.append(receive(sock, b"\r\n\r\n"))
            sock.sendall(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\nSec-X: y\r\n\r\nhello ")
            then(sock)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield heads
    finally:
        thread.join(DEADLINE_S)


UPGRADE = (
    b"GET /pooled/chat HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\nSec-A: b\r\n\r\n"
)


def test_another_protocol_goes_through_both_ways() -> None:
    with forwarding(started=False) as stack, speaking(stack.listeners[0]) as heads, stack.front.connect() as sock:
        sock.sendall(UPGRADE + b"early ")
        data = receive(sock, b"hello EARLY ")
        head = data.partition(b"\r\n\r\n")[0]
        assert head == b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nSec-X: y\r\nUpgrade: echo"
        assert stack.front.status()["in_flight"] == 1
        assert b"\r\nConnection: Upgrade\r\nUpgrade: echo\r\n" in heads[0]
        assert b"\r\nSec-A: b\r\n" in heads[0]
        big = b"a" * 3_000_000
        sender = threading.Thread(target=sock.sendall, args=(big,))
        sender.start()
        assert receive(sock, len(big)) == big.upper()
        sender.join()
        sock.shutdown(socket.SHUT_WR)
        assert receive(sock) == b" bye"
        until(lambda: stack.front.status()["in_flight"] == 0)
        (line,) = [line for line in stack.front.lines("chat") if line.get("path") == "/pooled/chat"]
        assert (line["status"], "cause" in line) == (101, False)


def test_a_pool_that_has_said_all_still_hears_the_rest() -> None:
    heard = []

    def listen(sock: socket.socket) -> None:
        sock.shutdown(socket.SHUT_WR)
        heard.append(receive(sock))

    with forwarding(started=False) as stack:
        with speaking(stack.listeners[0], listen), stack.front.connect() as sock:
            sock.sendall(UPGRADE)
            assert receive(sock).endswith(b"\r\n\r\nhello ")
            sock.sendall(b"late")
            sock.shutdown(socket.SHUT_WR)
        assert heard == [b"late"]


def test_an_app_that_knows_no_other_protocol_answers_as_ever() -> None:
    with forwarding() as stack, stack.front.connect() as sock:
        sock.sendall(UPGRADE.replace(b"chat", b"pid"))
        assert receive(sock, str(stack.pool[0].process.pid).encode()).startswith(b"HTTP/1.1 200 OK\r\n")
        sock.sendall(UPGRADE.replace(b"chat", b"pid"))
        receive(sock, str(stack.pool[0].process.pid).encode())


def test_a_tunnel_is_cut_when_the_worker_ends() -> None:
    with forwarding(started=False, DRAIN_S=0.3) as stack, speaking(stack.listeners[0]), stack.front.connect() as sock:
        sock.sendall(UPGRADE)
        receive(sock, b"hello ")
        started = time.monotonic()
        assert stack.front.stop() == 0
        assert time.monotonic() - started < 5
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
