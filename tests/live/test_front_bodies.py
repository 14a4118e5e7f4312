"""Bodies in both directions: kept in memory or streamed, never on a disk."""

from __future__ import annotations

import threading
import time
from hashlib import sha256
from pathlib import Path

import pytest
from front_backends import PATIENCE_S, Exchange, backends, executes
from front_support import Client, Front, binaries, descriptors, running, wait_for

from hedgerow.control.front import NginxBinary

MEGABYTE = 1_000_000


@pytest.fixture(params=binaries(), ids=str)
def binary(request: pytest.FixtureRequest) -> NginxBinary:
    return request.param


def spooled(front: Front) -> list[str]:
    """Temporary files of any kind, those that are already unlinked but still open included."""
    still_open = [name for name in descriptors(front.process) if str(front.target) in name and "_temp" in name]
    return front.temporary_files() + still_open


def resident_bytes(front: Front) -> int:
    pages = 0
    children = Path(f"/proc/{front.process.pid}/task/{front.process.pid}/children").read_text().split()
    for pid in children:
        pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.parametrize(
    ("size", "way"), [(0, "first"), (3, "first"), (900_000, "first"), (999_999, "first"), (1_000_000, "stream")]
)
def test_the_length_decides_the_way(binary: NginxBinary, tmp_path: Path, size: int, way: str) -> None:
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    with backends(executes) as (address,), running(tmp_path, binary, [address]) as front:
        assert front.request("PUT", "/", body=body).status == 200
        assert bytes(address.seen[0].body) == body
        assert address.seen[0].header("Content-Length") == ([str(size)] if size else [])
        assert front.last_line()["round"] == way
        assert spooled(front) == []


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_large_upload_arrives_while_it_is_being_sent(binary: NginxBinary, tmp_path: Path, chunked: bool) -> None:
    piece = bytes(range(250)) * 400  # 100 kB
    frame = b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
    with backends(executes) as (address,), running(tmp_path, binary, [address]) as front, front.client() as client:
        client.head("POST", "/", "Transfer-Encoding: chunked" if chunked else f"Content-Length: {50 * len(piece)}")
        for _ in range(30):
            client.send(frame)
        # Two fifths are still unsent, and what was sent is there (but for what buffers hold).
        wait_for(lambda: bool(address.seen) and len(address.seen[0].body) > 20 * len(piece), "the upload to arrive")
        assert not address.seen[0].complete
        assert spooled(front) == []
        for _ in range(20):
            client.send(frame)
        if chunked:
            client.send(b"0\r\n\r\n")
        assert client.answer().status == 200
        assert sha256(address.seen[0].body).digest() == sha256(piece * 50).digest()
        assert front.last_line()["round"] == "stream"
        assert spooled(front) == []


def test_a_small_chunked_body_arrives_whole(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(executes) as (address,), running(tmp_path, binary, [address]) as front, front.client() as client:
        client.head("POST", "/", "Transfer-Encoding: chunked")
        for byte in b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: dropped\r\n\r\n":
            client.send(bytes([byte]))
        assert client.answer().status == 200
        assert bytes(address.seen[0].body) == b"abcde"


@pytest.mark.parametrize("size", [3, 5 * MEGABYTE], ids=["kept", "streamed"])
def test_expect_100_continue_is_answered_before_the_body(binary: NginxBinary, tmp_path: Path, size: int) -> None:
    with backends(executes) as (address,), running(tmp_path, binary, [address]) as front, front.client() as client:
        client.head("POST", "/", f"Content-Length: {size}", "Expect: 100-continue")
        started = time.monotonic()
        assert client.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert time.monotonic() - started < 1
        client.send(bytes(size))
        assert client.answer().status == 200
        assert len(address.seen[0].body) == size
        assert address.seen[0].header("Expect") == []


def test_a_body_above_the_ceiling_is_refused_before_it_is_sent(binary: NginxBinary, tmp_path: Path) -> None:
    with backends(executes) as (address,), running(tmp_path, binary, [address]) as front, front.client() as client:
        client.head("POST", "/", f"Content-Length: {2 * 1024**3 + 1}", "Expect: 100-continue")
        assert client.answer().status == 413
        assert address.seen == []


def test_an_early_answer_to_an_upload_reaches_the_client(binary: NginxBinary, tmp_path: Path) -> None:
    def answers_at_once(exchange: Exchange) -> None:
        exchange.reply(403, b"not you", Connection="close")
        exchange.drop()

    with backends(answers_at_once) as (address,), running(tmp_path, binary, [address]) as front:
        with front.client() as client:
            client.head("POST", "/", f"Content-Length: {5 * MEGABYTE}")
            client.send(bytes(1000))
            answer = client.answer()
        assert (answer.status, answer.body) == (403, b"not you")
        assert len(address.seen) == 1


def test_a_large_download_to_a_slow_reader_waits_in_the_worker(binary: NginxBinary, tmp_path: Path) -> None:
    """50 MB to a client that does not read: nginx takes what its buffers hold and leaves the rest where it is."""
    total = 50 * MEGABYTE
    piece = bytes(range(250)) * 400
    sent = [0]

    def large(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n".encode())
        while sent[0] < total:
            exchange.connection.sendall(piece)
            sent[0] += len(piece)

    with backends(large) as (address,), running(tmp_path, binary, [address]) as front:
        before = resident_bytes(front)
        with Client(front.port, receive_buffer=65536) as client:
            client.head("GET", "/")
            wait_for(lambda: stands_still(sent), "the worker to stop sending")
            assert sent[0] < total / 2
            assert spooled(front) == []
            assert resident_bytes(front) - before < 10 * MEGABYTE
            answer = client.answer()
        assert answer.status == 200
        assert sha256(answer.body).digest() == sha256(piece * (total // len(piece))).digest()
        assert spooled(front) == []


def test_a_configuration_that_spools_is_caught(binary: NginxBinary, tmp_path: Path) -> None:
    """The tests above look in the right place: with nginx's default the same download leaves traces on the disk."""

    def spools(snippets: Path) -> None:
        text = (snippets / "buffering.conf").read_text()
        assert "proxy_max_temp_file_size 0;" in text
        (snippets / "buffering.conf").write_text(text.replace("proxy_max_temp_file_size 0;", ""))

    def large(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.reply(200, bytes(50 * MEGABYTE))

    with (
        backends(large) as (address,),
        running(tmp_path, binary, [address], change=spools) as front,
        Client(front.port, receive_buffer=65536) as client,
    ):
        client.head("GET", "/")
        wait_for(lambda: spooled(front) != [], "the download to be spooled")


def stands_still(counter: list[int]) -> bool:
    seen = counter[0]
    time.sleep(0.2)
    return 0 < seen == counter[0]


def test_server_sent_events_pass_one_by_one(binary: NginxBinary, tmp_path: Path) -> None:
    """The worker sends the next event only when the client has read the last one, so any buffering would stop this."""
    read = threading.Semaphore(0)

    def events(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for number in range(5):
            event = b"data: %d\n\n" % number
            exchange.connection.sendall(b"%x\r\n%b\r\n" % (len(event), event))
            if not read.acquire(timeout=PATIENCE_S):
                return
        exchange.connection.sendall(b"0\r\n\r\n")

    with backends(events) as (address,), running(tmp_path, binary, [address]) as front, front.client() as client:
        client.head("GET", "/clock/events", "Accept: text/event-stream")
        arrived = b""
        for number in range(5):
            while b"data: %d\n\n" % number not in arrived:
                piece = client.socket.recv(4096)
                assert piece
                arrived += piece
            read.release()
        while not arrived.endswith(b"0\r\n\r\n"):
            arrived += client.socket.recv(4096)
        assert b"X-Accel-Buffering" not in arrived


def test_heads_up_to_fifteen_kilobytes_a_line_pass(binary: NginxBinary, tmp_path: Path) -> None:
    cookie = "c" * 14_000
    with backends(executes) as (address,), running(tmp_path, binary, [address]) as front:
        assert front.request("GET", "/", f"Cookie: {cookie}").status == 200
        assert address.seen[0].header("Cookie") == [cookie]
        assert front.request("GET", "/", f"Cookie: {'c' * 16_000}").status == 400
        assert len(address.seen) == 1
