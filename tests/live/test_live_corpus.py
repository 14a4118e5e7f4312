"""Every file of the corpus through a real worker over TCP: status, end of the connection, what the app was asked.

Behind each file follows one request more. Behind a rejected file no app may ever see it; behind an accepted one it is
answered as the next, unless the connection had to end.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import h11
import pytest
import wire_corpus
from wire_corpus import SMUGGLED, Accept, Reject, Wanted
from worker_support import APPS, Worker, receive, serving

LIMITS = {
    "MAX_HEAD_BYTES": wire_corpus.MAX_HEAD_BYTES,
    "MAX_TARGET_BYTES": wire_corpus.MAX_TARGET_BYTES,
    "MAX_HEADERS": wire_corpus.MAX_HEADERS,
    "MAX_BODY_BYTES": wire_corpus.MAX_BODY_BYTES,
}
ANSWER_S = 5.0
LAST = b"GET /last HTTP/1.1\r\nHost: last.example\r\nConnection: close\r\n\r\n"


class Recorder:
    """A worker with the app that keeps what it was asked, and a connection of our own to ask for that."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._asking = worker.connect()

    def talk(self, data: bytes) -> bytes:
        """All that the worker sends to data, until it ends the connection by itself."""
        self.entered()  # what a case before this one has left when it failed
        with self.worker.connect() as sock:
            sock.settimeout(ANSWER_S)
            sock.sendall(data)
            return receive(sock)

    def entered(self) -> list[dict[str, Any]]:
        """What the app was asked since the last call."""
        self._asking.sendall(b"GET /entered HTTP/1.1\r\nHost: asking.example\r\n\r\n")
        head, _, body = receive(self._asking, b"\r\n\r\n").partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(body) < length:
            body += receive(self._asking, length - len(body))
        records: list[dict[str, Any]] = json.loads(body)
        return records

    def close(self) -> None:
        self._asking.close()


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    with serving(tmp_path_factory.mktemp("run"), {"recorder": APPS / "recorder"}, settings=LIMITS) as worker:
        recorder = Recorder(worker)
        yield recorder
        recorder.close()


def answers(data: bytes, methods: list[str]) -> list[h11.Response]:
    """The answers to methods, as a strict client reads them; nothing may be left behind the last.

    CONNECT is read as GET: to a client of a proxy 2xx would begin a tunnel, and no answer has an end there.
    """
    found = []
    for method in methods:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="GET" if method == "CONNECT" else method, target="/", headers=[("Host", "a")]))
        client.send(h11.EndOfMessage())
        client.receive_data(data)
        client.receive_data(b"")  # the connection has ended
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            assert not isinstance(event, h11.ConnectionClosed), f"an answer is missing: {data!r}"
            assert event is not h11.NEED_DATA, f"an answer is cut: {data!r}"
            if isinstance(event, h11.Response):
                found.append(event)
        data = client.trailing_data[0]
    assert data == b"", "more was sent than asked for"
    return found


def as_wanted(record: dict[str, Any], keep: bool) -> Wanted:
    fields = wire_corpus.without_connection(record["fields"])
    fields.pop("HTTP_X_REQUEST_ID")  # the worker's own
    target = record["target"]
    path = target if target.startswith("/") else raw_path(record)
    return Wanted(record["method"], target, path, record["version"], fields, record["body"], keep)


def raw_path(record: dict[str, Any]) -> str:
    """Of the few targets that are no path: none of them has a character that is decoded."""
    return str(record["path"]) + (f"?{record['query']}" if record["query"] else "")


@pytest.mark.parametrize("case", wire_corpus.rejects(), ids=lambda case: case.name)
def test_it_is_refused_and_nothing_behind_it_is_run(recorder: Recorder, case: Reject) -> None:
    *before, last = answers(recorder.talk(case.data + SMUGGLED), ["GET"] * (case.before + 1))
    entered = recorder.entered()
    assert last.status_code == case.status
    assert (b"connection", b"close") in last.headers
    assert [answer.status_code for answer in before] == [200] * case.before
    assert len(entered) == case.entered
    assert all("smuggled" not in record["target"] for record in entered)


@pytest.mark.parametrize("case", wire_corpus.accepts(), ids=lambda case: case.name)
def test_the_app_is_asked_what_the_rfc_has_it_asked(recorder: Recorder, case: Accept) -> None:
    methods = [wanted.method for wanted in case.requests]
    if case.keeps:
        methods.append("GET")
    got = answers(recorder.talk(case.data + LAST), methods)
    entered = recorder.entered()
    assert [answer.status_code for answer in got] == [200] * len(methods)
    if case.keeps:
        assert entered.pop()["target"] == "/last"
    assert tuple(as_wanted(record, wanted.keep) for record, wanted in zip(entered, case.requests, strict=True)) == (
        case.requests
    )


def test_a_request_in_two_pieces_is_one_request(recorder: Recorder) -> None:
    """Over a real socket, too, a file may arrive cut anywhere: each is cut in the middle.

    A client that has said that its request is the last, and goes on to send, may meet a reset.
    """
    recorder.entered()
    for case in wire_corpus.accepts():
        data = case.data + LAST
        middle = len(case.data) // 2
        with recorder.worker.connect() as sock, allow_reset(not case.keeps):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(data[:middle])
            sock.sendall(data[middle:])
            receive(sock)
        entered = recorder.entered()
        assert len(entered) == len(case.requests) + case.keeps, case.name


def allow_reset(allowed: bool) -> AbstractContextManager[None]:
    return suppress(ConnectionError) if allowed else nullcontext()
