"""Each request has an id, by which it is found in all logs: taken from who sent it, or else made."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from wsgiref.types import StartResponse, WSGIApplication

from ..options import option
from .answer import Environ, Headers, changed, without

_ID = re.compile(r"[A-Za-z0-9._~+/=:-]{1,200}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9-]+", re.ASCII)


def _check_header(name: str) -> str | None:
    return None if _NAME.fullmatch(name) else "a field's name of letters, digits and '-' is wanted"


@dataclass(frozen=True)
class RequestId:
    """The application finds the id in the environ as a field of the request; the answer has it, too, instead of what
    the application says.
    """

    application: WSGIApplication
    header: str = option("X-Request-ID", "name of the field, of request and answer", _check_header)
    trust: bool = option(True, "whether an id that comes with the request is kept, if it is printable and short")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        key = "HTTP_" + self.header.upper().replace("-", "_")
        given = environ.get(key, "") if self.trust else ""
        mark = environ[key] = given if _ID.fullmatch(given) else uuid.uuid4().hex

        def name(status: str, headers: Headers) -> tuple[str, Headers]:
            return status, [*without(headers, self.header.lower()), (self.header, mark)]

        return self.application(environ, changed(start_response, name))
