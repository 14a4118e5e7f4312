"""The environ dictionary, and the file wrapper that it offers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from bridge_help import DATE, FakeClient, make_request, parse

from hedgerow.http.reader import RequestReader
from hedgerow.pep3333.bridge import Exchange
from hedgerow.pep3333.environ import FileWrapper, base_environ, build


def environ_of(wire: bytes, script_name: str = "", path_info: str = "/") -> dict[str, Any]:
    base = base_environ("host", "80", io.StringIO(), {"hedgerow.slot": "a"})
    reader = RequestReader(template=base)
    reader.feed(wire)
    request = reader.next_request()
    assert request is not None
    return build(request, script_name, path_info, request.path.partition("?")[2], ("1.2.3.4", "5"))


def test_environ_is_a_plain_dict_and_a_fresh_one_each_time() -> None:
    base = base_environ("host", "80", io.StringIO(), {})
    reader = RequestReader(template=base)
    environs = []
    for _ in range(2):
        reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        request = reader.next_request()
        assert request is not None
        environs.append(build(request, "", "/", "", ("", "")))
    one, two = environs
    assert type(one) is type(two) is dict
    one["wsgi.mine"] = one["HTTP_HOST"] = "mine"
    assert "wsgi.mine" not in two
    assert "wsgi.mine" not in base
    assert two["HTTP_HOST"] == "a"


def test_all_that_pep_3333_asks_for_is_there_as_native_text() -> None:
    environ = environ_of(
        "POST /caf%C3%A9?q=%20&%E2%82%AC HTTP/1.1\r\nHost: a\r\nX-A: é\r\nContent-Length: 3\r\n\r\n".encode()
    )
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == "/caf%C3%A9?q=%20&%E2%82%AC"
    assert environ["HTTP_X_A"] == "é".encode().decode("latin-1")
    assert environ["CONTENT_LENGTH"] == "3"
    assert environ["wsgi.multithread"] is True
    assert environ["wsgi.version"] == (1, 0)
    for name, value in environ.items():
        assert "." in name or type(value) is str, name


def test_a_chunked_body_has_no_length_and_its_end_is_told() -> None:
    environ = environ_of(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert "CONTENT_LENGTH" not in environ
    assert "HTTP_TRANSFER_ENCODING" not in environ
    assert environ["wsgi.input_terminated"] is True


class Counting(io.BytesIO):
    """A file that counts what is read of it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def send_file(file: Any, block_size: int, headers: list[tuple[str, str]], before: bytes = b"") -> FakeClient:
    client = FakeClient()

    def app(environ: dict[str, Any], start_response: Any) -> FileWrapper:
        write = start_response("200 OK", headers)
        if before:
            write(before)
        return FileWrapper(file, block_size)

    Exchange(make_request(), client, DATE).run(app, {})
    return client


def test_file_wrapper_reads_from_the_files_position_and_closes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 20_000)
    file = path.open("rb")
    file.seek(5)
    assert parse(send_file(file, 1000, []).wire)[1] == path.read_bytes()[5:]
    assert file.closed


@pytest.mark.parametrize("before", [b"", b"bef"])
@pytest.mark.parametrize("block_size", [1, 3, 8, 4096])
def test_file_wrapper_reads_and_sends_no_more_than_content_length(block_size: int, before: bytes) -> None:
    file = Counting(b"0123456789" * 100)
    file.seek(5)
    client = send_file(file, block_size, [("Content-Length", "8")], before)
    assert parse(client.wire)[1] == (before + b"5678901234")[:8]
    assert file.taken == 8 - len(before)
    assert file.closed


def test_file_wrapper_takes_whatever_has_a_read() -> None:
    class Reader:
        def __init__(self) -> None:
            self.blocks = [b"only ", b"read"]

        def read(self, size: int) -> bytes:
            return self.blocks.pop(0) if self.blocks else b""

    assert parse(send_file(Reader(), 10, []).wire)[1] == b"only read"
    assert list(FileWrapper(io.BytesIO(b"abc"), 2)) == [b"ab", b"c"]
