"""What may come of asking who a client is: it passes as somebody, or it is refused."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple
from wsgiref.types import StartResponse

from .answer import Headers, text

WHO = "Please say who you are.\n"
NOT_FOR_YOU = "This is not for you.\n"


class Passed(NamedTuple):
    """user: '' if nobody is named; scheme: how it was found out; more: fields that the application gets."""

    user: str
    scheme: str
    more: Headers


class Refusal(NamedTuple):
    """What the client is told. headers: beside those of every refusal."""

    status: HTTPStatus
    sentence: str
    headers: Headers

    def answer(self, start_response: StartResponse) -> Iterable[bytes]:
        """It is for this client alone, and may be another one soon."""
        return text(start_response, self.status, self.sentence, ("Cache-Control", "no-store"), *self.headers)
