"""Every file of the corpus through the real reader: whole, byte by byte, and with trailing bytes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest
import wire_corpus
from wire_corpus import SMUGGLED, Accept, Reject, Wanted

from hedgerow.errors import HttpError
from hedgerow.http.reader import RequestReader
from hedgerow.http.request import Request

REJECTS = wire_corpus.rejects()
ACCEPTS = wire_corpus.accepts()
MAX_CPU_S = 2.0  # of one reading; the slowest, 65 kB byte by byte, takes a twentieth
WHOLE = 10**9


@dataclass
class Reading:
    """What a connection would see: heads, bodies and at which byte each came to its end; the error's status, or 0."""

    requests: list[Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    status: int = 0
    left: int = 0


def read(data: bytes, step: int = WHOLE) -> Reading:
    """Feed data in pieces of step bytes and take requests out, until one ends the connection or an error does."""
    reader = RequestReader(
        max_head_bytes=wire_corpus.MAX_HEAD_BYTES,
        max_body_bytes=wire_corpus.MAX_BODY_BYTES,
        max_target_bytes=wire_corpus.MAX_TARGET_BYTES,
        max_headers=wire_corpus.MAX_HEADERS,
    )
    reading = Reading()
    started = time.process_time()
    try:
        for start in range(0, len(data), step):
            reader.feed(data[start : start + step])
            take(reader, reading, min(start + step, len(data)))
    except HttpError as error:
        reading.status = error.status
    assert time.process_time() - started < MAX_CPU_S, "it took too long"
    reading.left = reader.buffered
    return reading


def take(reader: RequestReader, reading: Reading, fed: int) -> None:
    while len(reading.ends) < len(reading.requests) or may_go_on(reading):
        if len(reading.ends) == len(reading.requests):
            request = reader.next_request()
            if request is None:
                return
            reading.requests.append(request)
            reading.bodies.append(b"")
        while block := reader.read_body():
            reading.bodies[-1] += block
        if not reader.body_done:
            return
        reading.ends.append(fed - reader.buffered)


def may_go_on(reading: Reading) -> bool:
    return not reading.requests or reading.requests[-1].keep_alive


def as_wanted(request: Request, body: bytes) -> Wanted:
    fields = wire_corpus.without_connection(request.fields)
    version = "1.1" if request.http11 else "1.0"
    return Wanted(
        request.method, request.target, request.path, version, fields, body.decode("latin-1"), request.keep_alive
    )


def test_the_corpus_is_as_large_as_it_was_meant_to_be() -> None:
    assert len(REJECTS) >= 250
    assert len(ACCEPTS) >= 120
    cases: list[Reject | Accept] = [*REJECTS, *ACCEPTS]
    assert len({case.data for case in cases}) == len(cases), "two files are the same"


@pytest.mark.parametrize("step", [WHOLE, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize("case", ACCEPTS, ids=lambda case: case.name)
def test_what_is_a_request_is_read_as_the_rfc_has_it(case: Accept, step: int) -> None:
    data = case.data
    reading = read(data, step)
    assert reading.status == 0
    assert tuple(map(as_wanted, reading.requests, reading.bodies)) == case.requests
    assert reading.ends[-1] == len(data) - len(case.rest), "it did not end with its last byte"
    assert reading.left == len(case.rest)


@pytest.mark.parametrize("case", ACCEPTS, ids=lambda case: case.name)
def test_what_follows_a_request_comes_out_as_the_next(case: Accept) -> None:
    reading = read(case.data + SMUGGLED)
    assert reading.status == 0
    assert tuple(map(as_wanted, reading.requests, reading.bodies))[: len(case.requests)] == case.requests
    if case.keeps:
        assert [request.target for request in reading.requests[len(case.requests) :]] == ["/smuggled"]
    else:
        assert len(reading.requests) == len(case.requests)
        assert reading.left == len(case.rest) + len(SMUGGLED)


@pytest.mark.parametrize("tail", [b"", SMUGGLED], ids=["alone", "trailing"])
@pytest.mark.parametrize("step", [WHOLE, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize("case", REJECTS, ids=lambda case: case.name)
def test_what_is_no_request_is_rejected_with_its_status(case: Reject, step: int, tail: bytes) -> None:
    reading = read(case.data + tail, step)
    assert reading.status == case.status
    assert len(reading.ends) == case.before
    assert len(reading.requests) == case.entered
    assert all("smuggled" not in request.target for request in reading.requests)
