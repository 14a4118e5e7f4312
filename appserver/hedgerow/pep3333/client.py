"""Who gets an answer, as the server side of PEP 3333 knows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Client(Protocol):
    """Who gets the answer."""

    def send(self, data: bytes, interim: bool = False) -> None:
        """Send all of data; interim: of a 1xx answer, behind which the answer itself is still to come."""

    def send_both(self, head: bytes, body: bytes) -> None:
        """The same of a head with the first of its body, without a copy of them."""

    def may_keep(self) -> bool:
        """Whether a further request may follow on the connection."""

    def gone(self) -> bool:
        """Whether the client has closed its end."""

    def hand_over(self, farewell: Callable[[], object] | None = None) -> tuple[Any, bytes]:
        """The client's socket, for another protocol than HTTP, and what has come behind the request. farewell: see
        `Exchange.take_socket`.
        """
