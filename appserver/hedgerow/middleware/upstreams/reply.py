"""An upstream's answer, as WSGI passes it on."""

from __future__ import annotations

from http import HTTPStatus

from ...http.answer import SWITCHING, AnswerReader
from .hops import answer_fields

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class ReplyError(Exception):
    """It is not what an answer has to be."""


class Reply(AnswerReader):
    """See AnswerReader. headers: those that go on."""

    broken = ReplyError

    __slots__ = ()

    @property
    def status_line(self) -> str:
        """As start_response wants it."""
        return f"{self.status} {self.reason.strip() or _PHRASES.get(self.status, 'Unknown')}"

    def settled(self) -> None:
        """See AnswerReader."""
        # PEP 3333 has no control characters in a value, and HTTP a tab where a space is.
        plain = [(name, value.replace("\t", " ")) for name, value in self.headers]
        self.headers = answer_fields(plain, switching=self.status == SWITCHING)
