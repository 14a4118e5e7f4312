"""Laws of the bridge over apps of any shape; hypothesis looks for the exception."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import h11
from bridge_help import FakeClient, make_exchange
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.pep3333.bridge import AppError, FileWrapper

BLOCKS = st.lists(st.sampled_from([b"", b"a", b"bc", b"d" * 20, b"e" * 70_000]), max_size=5)


class AppFails(Exception):
    """The app's own."""


@dataclass
class AnyApp:
    """An app: what it writes, what it returns and how, what length it declares, where it raises."""

    status: str
    written: list[bytes]
    blocks: list[bytes]
    shape: str
    declared: int | None
    raises_before: int  # this block of those returned; none if there are fewer
    late: bool  # start_response is called when the first block is asked for
    closed: int = field(default=0)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if self.shape == "list":
            self.start(start_response)
            return self.blocks
        if self.shape == "file":
            self.start(start_response)
            return FileWrapper(self)
        return Answer(self, start_response)

    def start(self, start_response: Callable[..., Any]) -> None:
        headers = [("Content-Type", "text/plain")]
        if self.declared is not None:
            headers.append(("Content-Length", str(self.declared)))
        write = start_response(self.status, headers)
        for block in self.written:
            write(block)

    def read(self, size: int) -> bytes:
        """As a file of all blocks."""
        data = b"".join(self.blocks)
        self.blocks = [data[size:]]
        return data[:size]

    def close(self) -> None:
        self.closed += 1


class Answer:
    """A generator's answer, with a close() that counts."""

    def __init__(self, app: AnyApp, start_response: Callable[..., Any]) -> None:
        self.app = app
        self.start_response = start_response
        self.close = app.close
        if not app.late:
            app.start(start_response)

    def __iter__(self) -> Iterator[bytes]:
        if self.app.late:
            self.app.start(self.start_response)
        for number, block in enumerate(self.app.blocks):
            if number == self.app.raises_before:
                raise AppFails
            yield block


APPS = st.builds(
    AnyApp,
    st.sampled_from(["200 OK", "200 OK", "404 Not Found", "204 No Content", "205 Reset Content", "304 Not Modified"]),
    st.one_of(st.just([]), BLOCKS),
    BLOCKS,
    st.sampled_from(["list", "generator", "generator", "file"]),
    st.one_of(st.none(), st.sampled_from([0, 1, 2, 3, 20, 23, 70_000])),
    st.integers(0, 8),
    st.booleans(),
)


def read_strictly(wire: bytes, method: str, ends: bool) -> tuple[bytes, bool]:
    """What h11 as a client takes from the wire: the body as far as it came, and whether it is complete."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(wire)
    if ends:
        client.receive_data(b"")
    body = b""
    while True:
        event = client.next_event()
        if isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert client.trailing_data[0] == b"", "something stands behind the answer"
            return body, True
        elif event is h11.NEED_DATA:
            return body, False
        else:
            assert isinstance(event, h11.Response)


@given(APPS, st.sampled_from(["GET", "GET", "HEAD", "POST"]), st.booleans())
def test_an_answer_is_what_the_app_meant_or_nobody_takes_it_for_complete(
    app: AnyApp, method: str, http11: bool
) -> None:
    """For all apps, of any status, with blocks returned, generated, read from a file and written, with a right, a wrong
    or no Content-Length, raising anywhere, for all methods and both versions:

    - a strict client gets a prefix of what the app gave, never a byte beyond its Content-Length, and nothing behind it;
    - it takes the answer for complete just when the exchange says so; and then it has all that the app gave, or all
      that the app declared, or no body where none belongs;
    - without an error the answer is complete, with nothing sent there was an error; and a file that is longer than its
      Content-Length is no error;
    - close() was called once if the app returned anything that has it, and no more than that.
    """
    given_out = b"".join(app.written + app.blocks)
    client = FakeClient(keep=True)
    exchange = make_exchange(client, method, http11)
    error = None
    try:
        exchange.run(app, {})
    except (AppError, AppFails) as raised:
        error = raised
    assert app.closed <= 1
    assert app.closed == 1 or app.shape == "list" or error is not None
    assert exchange.complete or error is not None
    if app.shape == "file" and not app.written and app.declared is not None and app.declared <= len(given_out):
        assert error is None
    if not client.wire:
        assert error is not None
        return
    # Where the end of the connection is the end of the body, a broken answer is told by a reset.
    ends = exchange.close and exchange.complete
    body, complete = read_strictly(client.wire, method, ends)
    assert complete == exchange.complete
    assert given_out.startswith(body)
    assert len(body) == exchange.sent_bytes
    bodyless = method == "HEAD" or app.status[:3] in ("204", "205", "304")
    if bodyless:
        assert body == b""
    elif complete:
        assert body == (given_out if app.declared is None else given_out[: app.declared])
    if app.declared is not None and not bodyless:
        assert len(body) <= app.declared
        assert complete == (len(given_out_before_the_raise(app, given_out)) >= app.declared)


def given_out_before_the_raise(app: AnyApp, given_out: bytes) -> bytes:
    if app.shape != "generator" or app.raises_before >= len(app.blocks):
        return given_out
    return b"".join(app.written + app.blocks[: app.raises_before])
