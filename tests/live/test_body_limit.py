"""How large a body an app takes: the worker says so before it reads one, or while it does if the length is not told."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest
from worker_support import Worker, receive, serving

APP = """
entered = []


def application(environ, start_response):
    entered.append(1)
    size = len(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{size} {len(entered)}".encode()]
"""


@pytest.fixture(scope="module", params=["", "threads = 2\n"], ids=["greenlets", "threads"])
def worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    base = tmp_path_factory.mktemp("limits")
    apps = {}
    for name, limits in {
        "small": "[limits]\nbody_bytes = 1000\n",
        "none": "[limits]\nbody_bytes = 0\n",
        "any": "",
    }.items():
        folder = base / name
        folder.mkdir()
        (folder / "app.py").write_text(APP)
        (folder / "app.toml").write_text(request.param + limits)
        apps[name] = folder
    with serving(base, apps, settings={"MAX_BODY_BYTES": 1_000_000}) as started:
        yield started


def asked(worker: Worker, path: str, size: int, chunked: bool = False) -> tuple[int, bytes]:
    with worker.connect() as sock:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        if chunked:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (size, bytes(size)) if size else b"0\r\n\r\n"
            sock.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        else:
            sock.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % size + bytes(size))
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        return answer.status, answer.read()


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize(
    ("path", "size", "status"),
    [("/small/", 1000, 200), ("/small/", 1001, 413), ("/none/", 0, 200), ("/none/", 1, 413), ("/any/", 1001, 200)],
)
def test_a_body_that_is_too_large_is_refused(worker: Worker, path: str, size: int, status: int, chunked: bool) -> None:
    found, body = asked(worker, path, size, chunked)
    assert found == status
    assert found != 200 or body.startswith(f"{size} ".encode())


def test_it_is_refused_before_it_is_read_and_the_app_is_not_entered(worker: Worker) -> None:
    before = int(asked(worker, "/small/", 1)[1].split()[1])
    with worker.connect() as sock:
        sock.sendall(b"POST /small/ HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\nExpect: 100-continue\r\n\r\n")
        assert receive(sock, b"\r\n").startswith(b"HTTP/1.1 413 "), "no 100 Continue before it"
    assert int(asked(worker, "/small/", 1)[1].split()[1]) == before + 1


def test_a_connection_is_kept_behind_a_small_body_that_was_too_large(worker: Worker) -> None:
    connection = http.client.HTTPConnection("x")
    connection.sock = worker.connect()
    try:
        for _ in range(3):
            connection.request("POST", "/small/", bytes(2000))
            answer = connection.getresponse()
            assert (answer.status, answer.getheader("Connection")) == (413, None)
            assert b"at most 1,000 bytes" in answer.read()
        assert connection.sock is not None
    finally:
        connection.close()


def test_the_workers_own_limit_stays_above_all(worker: Worker) -> None:
    assert asked(worker, "/any/", 1_000_001)[0] == 413
