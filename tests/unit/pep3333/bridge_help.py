"""What the tests of the bridge share: a client in memory, and h11 as the strict reader of what it got."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import h11

from hedgerow.http.request import Request
from hedgerow.pep3333.bridge import Exchange

DATE = "Sun, 22 Nov 2026 16:00:00 GMT"
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def make_request(method: str = "GET", http11: bool = True) -> Request:
    return Request(method, "/", http11, http11, {"HTTP_HOST": "a"})


class FakeClient:
    """The bridge's five verbs, kept in memory. leaves_after: how many sends succeed."""

    def __init__(self, keep: bool = True, leaves_after: int = 1000) -> None:
        self.sent: list[bytes] = []
        self.interim: list[bytes] = []
        self.keep = keep
        self.leaves_after = leaves_after

    def send(self, data: bytes, interim: bool = False) -> None:
        assert data, "an empty send"
        if self.gone():
            raise OSError("gone")
        (self.interim if interim else self.sent).append(data)

    def send_both(self, head: bytes, body: bytes) -> None:
        assert head
        assert body
        self.send(head + body)

    def may_keep(self) -> bool:
        return self.keep

    def gone(self) -> bool:
        return len(self.sent) >= self.leaves_after

    def hand_over(self, farewell: Callable[[], object] | None = None) -> tuple[str, bytes]:
        return "the socket", b"early"

    @property
    def wire(self) -> bytes:
        return b"".join(self.sent)


def make_exchange(client: FakeClient, method: str = "GET", http11: bool = True, **options: Any) -> Exchange:
    return Exchange(make_request(method, http11), client, DATE, **options)


def parse(wire: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    """The answer as a strict client reads it; what is left over, or missing, raises."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.receive_data(wire)
    response, body = None, b""
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(b"")
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert response is not None
            assert client.trailing_data[0] == b""
            return response, body
        else:
            raise AssertionError(event)
