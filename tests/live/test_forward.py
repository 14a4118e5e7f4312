"""An app in a pool of its own, reached through a worker of an address, is served as one that runs in that worker."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from forward_support import FRONT, Stack, forwarding, until
from worker_support import APPS, DEADLINE_S, receive

GET = b"GET /pooled/%b HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with forwarding() as stack:
        yield stack


def test_requests_are_sent_on_over_a_kept_connection(stack: Stack) -> None:
    (worker,) = stack.pool
    served = worker.status()["requests"]
    for _ in range(5):
        answer, body = stack.front.ask("/pooled/pid")
        assert (answer.status, body) == (200, str(worker.process.pid).encode())
    status = worker.status()
    assert (status["requests"], status["connections"]) == (served + 5, 1)


def test_the_address_tells_that_it_sends_on(stack: Stack) -> None:
    apps = {app["name"]: (app["state"], app["forwarded"], app["mount"]) for app in stack.front.status()["apps"]}
    up = {"engine": ("up", False, "/engine"), "same": ("up", False, "/same"), "pooled": ("up", True, "/pooled")}
    assert apps == up
    answer, _ = stack.front.ask("/pooled?x=1")
    assert (answer.status, answer.getheader("Location")) == (308, "/pooled/?x=1")
    _, body = stack.front.ask("/", headers={"Accept": "application/json"})
    assert {"name": "pooled", "mount": "/pooled", "link": "/pooled/", "state": "up"} in json.loads(body)["apps"]


def test_an_app_alone_has_a_process_of_its_own(stack: Stack) -> None:
    answer, body = stack.front.ask("/pooled/alone")
    place = str(APPS / "pooled")
    assert json.loads(body) == {
        "name": "app",
        "helper": "helper",
        "cwd": place,
        "path": place,
        "variable": "its own",
        "zone": "XYZ",
        "builtins": "dict",
        "import": "builtins",
        "environ": "_Environ",
    }
    lines = [line for line in stack.pool[0].lines("by a greenlet") if line["message"].startswith("printed")]
    assert [line["message"] for line in lines] == ["printed alone", "printed by a greenlet"]
    assert [(line["app"], line["request_id"]) for line in lines] == [("pooled", answer.getheader("X-Request-Id"))] * 2


# What differs by intent: who serves, and what is between two hops only.
OTHER = {"hedgerow.address", "hedgerow.worker", "HTTP_CONNECTION", "HTTP_TE", "HTTP_KEEP_ALIVE", "wsgi.input"}


def differences(front: Any, path: str = "environ/a%20b/%E2%82%AC?q=1&r=%20", **options: Any) -> dict[str, Any]:
    """Of the environ in the worker itself and of the one in the pool: key to both values."""
    here, there = (json.loads(front.ask(f"/{name}/{path}", **options)[1]) for name in ("same", "pooled"))
    found = {}
    for key in here.keys() | there.keys():
        mine, other = (str(told.get(key)) for told in (here, there))
        if mine.replace("same", "pooled") != other and key not in OTHER:
            found[key] = (mine, other)
    found.pop("REMOTE_PORT", None)  # each request has a connection of its own
    return found


def test_the_environ_is_the_same(stack: Stack) -> None:
    """But for the id, which the worker makes where no front has."""
    headers = {
        "X-Hedgerow-Round": "1", "X-Hedgerow-Front": "spoofed", "X-Forwarded-For": "1.2.3.4", "Te": "trailers",
        "Connection": "keep-alive, te", "Cookie": "a=1; b=2", "X-Odd--Name": "a, b", "Content-Type": "text/x",
        "Expect": "100-continue",
    }  # fmt: skip
    ids = {"hedgerow.request_id", "HTTP_X_REQUEST_ID"}
    assert differences(stack.front, headers=headers).keys() == ids
    assert differences(stack.front, method="POST", body=b"abc", headers={"X-Latin": "\xe9"}).keys() == ids
    assert differences(stack.front, method="OPTIONS", headers={"Host": "example.org:81"}).keys() == ids


def test_behind_the_front_the_environ_is_the_same() -> None:
    with forwarding(TRUST_FRONT=1) as stack:
        headers = {**FRONT, "X-Forwarded-Port": "443", "X-Hedgerow-Front": "nginx-1", "X-Hedgerow-Round": "1"}
        assert differences(stack.front, headers=headers) == {}
        told = json.loads(stack.front.ask("/pooled/environ", headers=headers)[1])
        facts = [told[key] for key in ("REMOTE_ADDR", "wsgi.url_scheme", "SERVER_PORT", "hedgerow.front")]
        assert facts == ["192.0.2.7", "https", "443", "nginx-1"]
        assert told["hedgerow.request_id"] == told["HTTP_X_REQUEST_ID"] == FRONT["X-Request-Id"]
        with stack.front.connect() as sock:  # a front that closes its side waits for nothing: the way is free at once
            sock.sendall(GET % b"sleep?5")
            until(lambda: stack.pool[0].status()["in_flight"] == 1)
            sock.shutdown(socket.SHUT_WR)
            until(lambda: stack.front.status()["in_flight"] == 0)
            assert stack.pool[0].status()["in_flight"] == 1


@pytest.mark.parametrize("mount", ["/", "/a%20b/%C3%A9"])
def test_the_split_of_the_path_is_the_one_at_the_door(mount: str) -> None:
    with forwarding(mount=mount) as stack:
        told = json.loads(stack.front.ask(f"{mount.rstrip('/')}/environ/%2F/x?y")[1])
        assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("" if mount == "/" else "/a b/\xc3\xa9", "/environ///x")
        assert told["REQUEST_URI"] == f"{mount.rstrip('/')}/environ/%2F/x?y"


def test_a_client_cannot_set_what_workers_tell_each_other(stack: Stack) -> None:
    spoofed = {"X-Hedgerow-App": "nobody", "X-Hedgerow-Mount": "/pooled/environ", "X-Hedgerow-Peer": "6.6.6.6,6,evil,6"}
    for path in ("/pooled/environ", "/same/environ"):
        told = json.loads(stack.front.ask(path, headers=spoofed)[1])
        assert (told["PATH_INFO"], told["REMOTE_ADDR"]) == ("/environ", "127.0.0.1")
        assert [key for key in told if "HEDGEROW" in key] == []


def test_bodies_go_both_ways_while_they_come(stack: Stack) -> None:
    """The answer's first byte is there before the body's last, in either framing; each piece when it is sent."""
    for chunked in (True, False):
        with stack.front.connect() as sock:
            framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 12"
            sock.sendall(b"POST /pooled/first HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + framing + b"\r\n\r\n")
            receive(sock, b"begun\n")
            for piece in (b"abcd", b"efgh", b"ijkl"):
                sock.sendall(b"4\r\n" + piece + b"\r\n" if chunked else piece)
                data = receive(sock, piece.upper())
            if chunked:
                sock.sendall(b"0\r\n\r\n")
            assert (data + receive(sock)).endswith(b"0\r\n\r\n")


def test_a_slow_answer_arrives_piece_by_piece_with_its_length(stack: Stack) -> None:
    with stack.front.connect() as sock:
        sock.sendall(b"POST /pooled/digits HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
        head = receive(sock, b"\r\n\r\n0")
        assert b"Content-Length: 3\r\n" in head
        assert b"chunked" not in head
        for digit in (b"1", b"2"):
            sock.sendall(b".")
            assert receive(sock, 1) == digit


@pytest.mark.parametrize("size", [0, 1, 8_000, 70_000, 300_000])
def test_whole_bodies(stack: Stack, size: int) -> None:
    data = bytes(n % 251 for n in range(size))
    for body in (data, iter([data[:10], data[10:]] if size > 10 else [b"x" * size] if size else [])):
        _, answer = stack.front.ask("/pooled/sink", "POST", body)
        assert answer == str(size).encode()


MIB = pytest.mark.parametrize("mebibytes", [24, pytest.param(100, marks=pytest.mark.slow)])


@MIB
def test_large_bodies_go_through_in_little_memory(stack: Stack, mebibytes: int) -> None:
    """Both workers hold a block or two, whoever is slow."""
    workers = (stack.front, stack.pool[0])
    stack.front.ask("/pooled/source?2")
    before = [worker.memory() for worker in workers]
    peaks = before[:]

    def note() -> None:
        peaks[:] = map(max, peaks, [worker.memory() for worker in workers])

    def blocks() -> Iterator[bytes]:
        for _ in range(mebibytes):
            yield bytes(2**20)
            note()

    _, body = stack.front.ask("/pooled/sink", "POST", blocks())
    assert int(body) == mebibytes * 2**20
    for query in (f"{mebibytes}", f"{mebibytes}&length"):
        connection = http.client.HTTPConnection(*stack.front.address, timeout=DEADLINE_S)
        connection.request("GET", f"/pooled/source?{query}")
        answer, size = connection.getresponse(), 0
        time.sleep(0.2)  # a client that takes nothing for a while
        while block := answer.read(2**20):
            size += len(block)
            note()
        connection.close()
        assert size == mebibytes * 2**20
        assert (answer.getheader("Content-Length") is not None) == ("length" in query)
    growth = [(peak - first) / 2**20 for peak, first in zip(peaks, before, strict=True)]
    print(f"{mebibytes} MiB each way: address +{growth[0]:.1f} MiB, pool +{growth[1]:.1f} MiB")
    assert max(growth) < 8


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["status?200", "status?404", "status?204", "status?304", "fields", "digits"])
def test_heads_are_those_of_an_app_of_its_own(stack: Stack, method: str, path: str) -> None:
    """And a further request finds the connection in order."""
    heads = []
    for name in ("same", "pooled"):
        answer, body = stack.front.ask(f"/{name}/{path}", method)
        fields = sorted((key, value) for key, value in answer.getheaders() if key != "X-Request-Id")
        heads.append(
            (answer.status, answer.reason, [pair for pair in fields if pair[0] != "Date" or "1970" in pair[1]], body)
        )
        assert len([key for key, _ in answer.getheaders() if key == "X-Request-Id"]) == 1
        assert len(answer.headers.get_all("Date")) == len(answer.headers.get_all("Server")) == 1
    assert heads[0] == heads[1]
    assert stack.front.ask("/pooled/status?200")[1] == b"a body"


def test_a_client_of_http_1_0_gets_an_answer_without_chunks(stack: Stack) -> None:
    with stack.front.connect() as sock:
        sock.sendall(b"POST /pooled/digits HTTP/1.0\r\nContent-Length: 3\r\n\r\n...")
        assert receive(sock).endswith(b"\r\n\r\n012")


def test_the_invitation_is_the_pools(stack: Stack) -> None:
    """A client that waits for 100 Continue gets it when the app reads, and not if it does not."""
    head = b"POST /pooled/%b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    with stack.front.connect() as sock:
        sock.sendall(head % b"sink")
        assert receive(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"body")
        assert receive(sock, b"\r\n\r\n4").startswith(b"HTTP/1.1 200 OK\r\n")
    with stack.front.connect() as sock:
        sock.sendall(head % b"ignore")
        assert receive(sock, b"not read").startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_body_that_the_pool_did_not_want_spoils_no_further_request(stack: Stack) -> None:
    with stack.front.connect() as sock:
        sock.sendall(b"POST /pooled/ignore HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nbegun")
        receive(sock, b"not read")
        for _ in range(3):
            assert stack.front.ask("/pooled/pid", "POST")[0].status == 200


def test_interim_answers_of_the_pool_are_dropped(stack: Stack) -> None:
    with stack.front.connect() as sock:
        sock.sendall(GET % b"hints")
        assert receive(sock, b"hinted").startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("query", [b"", b"?length"])
def test_an_answer_that_breaks_off_reaches_the_client_broken(stack: Stack, query: bytes) -> None:
    with stack.front.connect() as sock:
        sock.sendall(GET % (b"midway" + query))
        data = receive(sock, b"half of it")
        with pytest.raises(ConnectionResetError):
            data += receive(sock)
        assert not data.endswith(b"0\r\n\r\n")
    stack.front.lines("the pool of pooled: ")


def test_an_app_that_raises_answers_500_with_the_id(stack: Stack) -> None:
    answer, body = stack.front.ask("/pooled/raise", headers={"Accept": "application/json"})
    assert (answer.status, json.loads(body)["request_id"]) == (500, answer.getheader("X-Request-Id"))
    lines = stack.pool[0].lines("a pooled exception")
    line = next(line for line in lines if "a pooled exception" in line.get("traceback", ""))
    assert (line["app"], line["request_id"]) == ("pooled", answer.getheader("X-Request-Id"))


@pytest.mark.parametrize("path", [b"wait", b"ask"])
def test_the_app_learns_that_its_client_has_gone(stack: Stack, path: bytes) -> None:
    with stack.front.connect() as sock:
        sock.sendall(GET % path)
        until(lambda: stack.front.status()["in_flight"] == 1)
    until(lambda: path in stack.front.ask("/pooled/gone")[1])
    until(lambda: stack.front.status()["in_flight"] == 0)


def test_a_client_that_has_only_said_all_gets_its_answer(stack: Stack) -> None:
    with stack.front.connect() as sock:
        sock.sendall(GET % b"sleep?0.2")
        sock.shutdown(socket.SHUT_WR)
        assert receive(sock).endswith(str(stack.pool[0].process.pid).encode())


def test_a_child_that_an_app_forks_has_no_part_in_the_connections(stack: Stack) -> None:
    """Neither does it hear the pool, nor does it keep a connection open that the worker ends."""
    stack.front.ask("/pooled/pid")
    child = int(stack.front.ask("/same/fork")[1])
    with stack.front.connect() as sock:  # on the connection that was idle when the child began
        sock.sendall(b"POST /pooled/digits HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
        receive(sock, b"\r\n\r\n0")
        for digit in (b"1", b"2"):
            time.sleep(0.1)  # the child has the time to do harm
            sock.sendall(b".")
            assert receive(sock, 1) == digit
    with stack.front.connect() as sock:
        sock.sendall(GET % b"wait")
        until(lambda: stack.pool[0].status()["in_flight"] == 1)
    until(lambda: stack.pool[0].status()["in_flight"] == 0)
    assert Path(f"/proc/{child}").exists()


def test_a_request_is_logged_once(stack: Stack) -> None:
    stack.front.ask("/pooled/sink?logged")
    lines = [line for line in stack.front.lines("sink?logged") if line.get("path") == "/pooled/sink?logged"]
    assert [(line["app"], line["status"], line["kind"]) for line in lines] == [("pooled", 200, "access")]
    assert [line for line in stack.pool[0].lines() if line["kind"] == "access"] == []


def test_what_the_hop_costs_is_measured() -> None:
    program = Path(__file__).parents[1] / "bench" / "hop.py"
    command = [sys.executable, str(program), "--rounds", "1", "--seconds", "0.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE_S)
    print(done.stdout)
    assert done.stdout.count(", behind a gateway ") == done.stdout.count("; hop ") == 3
