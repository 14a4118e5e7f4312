"""One request by CGI (RFC 3875): its variables are the environment, its body is stdin, its answer stdout.

Whatever goes wrong is an answer with 500, and the traceback is on stderr, which web servers log. What an app prints
goes there, too. stdin need not end where the body does. A header of the client is no setting of the process: its
variables (HTTP_PROXY among them) leave the environment before the app is loaded.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO
from wsgiref.handlers import BaseCGIHandler, read_environ
from wsgiref.types import StartResponse, WSGIApplication
from wsgiref.util import is_hop_by_hop

from ..errors import LoadError, UserError
from ..middleware.answer import Headers, changed
from ..pep3333.input import BodyInput

_BLOCK = 65_536
_SENTENCE = b"This application could not be started. The web server's error log says why.\n"


class _Handler(BaseCGIHandler):
    os_environ: dict[str, str] = {}  # noqa: RUF012  # as wsgiref declares it; what there is has been given
    wsgi_run_once = True
    environ: dict[str, Any]
    status: str | None
    headers_sent: bool

    # wsgiref gives each answer without a length one: of what there is, that is also of a HEAD's, which another method's
    # answer would not have, and of a 204's and 304's, which have none (RFC 9110, 8.6).

    def write(self, data: bytes) -> None:
        super().write(b"" if self._is_head() else data)

    def set_content_length(self) -> None:
        if self._has_length():
            super().set_content_length()

    def finish_content(self) -> None:
        if self._has_length():
            super().finish_content()
        elif not self.headers_sent:
            self.send_headers()

    def _has_length(self) -> bool:
        return not self._is_head() and str(self.status)[:3] not in ("204", "304")

    def _is_head(self) -> bool:
        return self.environ.get("REQUEST_METHOD") == "HEAD"


def answer(load: Callable[[], WSGIApplication]) -> None:
    """Answer the request that this process was started for. load: makes the application."""
    environ = read_environ()
    for name in [name for name in os.environ if name.startswith("HTTP_")]:
        del os.environ[name]
    for name in (
        "SCRIPT_NAME",
        "PATH_INFO",
        "QUERY_STRING",
    ):  # Apache leaves an empty one out, PEP 3333 wants the first
        environ.setdefault(name, "")
    out = _take_stdout()
    body = BodyInput(_reader(sys.stdin.buffer, environ.get("CONTENT_LENGTH", "")))
    handler = _Handler(body, out, sys.stderr, environ, multithread=False, multiprocess=True)
    handler.base_env["wsgi.input_terminated"] = True  # type: ignore[assignment]  # not only texts stand there
    handler.run(_allowed(_loaded(load)))


def _take_stdout() -> BinaryIO:
    """The way to the web server. From now on stdout is stderr, also that of children."""
    sys.stdout.flush()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return out


def _reader(stdin: BinaryIO, length: str) -> Callable[[], bytes]:
    left = int(length) if length.isdecimal() else 0

    def more() -> bytes:
        nonlocal left
        block = stdin.read1(min(left, _BLOCK)) if left else b""  # type: ignore[attr-defined]
        if left and not block:
            raise OSError(f"the request's body ended {left} bytes early")
        left -= len(block)
        return block

    return more


def _loaded(load: Callable[[], WSGIApplication]) -> WSGIApplication:
    try:
        return load()
    except (LoadError, UserError) as error:
        print(f"hedgerow cgi: {error}\n{getattr(error, 'traceback', '')}".rstrip(), file=sys.stderr)
    except Exception:
        traceback.print_exc()
    return _failed


def _failed(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    start_response("500 Internal Server Error", [("Content-Type", "text/plain; charset=utf-8")])
    return [_SENTENCE]


def _allowed(application: WSGIApplication) -> WSGIApplication:
    """Without the fields that are the web server's alone, which wsgiref takes for an error."""

    def change(status: str, headers: Headers) -> tuple[str, Headers]:
        return status, [(name, value) for name, value in headers if not is_hop_by_hop(name)]

    return lambda environ, start_response: application(environ, changed(start_response, change))
