"""What a worker answers on its control socket (docs/design.md, "The control plane"): a small WSGI application on the
same engine.

    GET /ready    200 {"ready": true}, or 503 while draining
    POST /drain   202; stop accepting, serve what is there, exit 0
    POST /leave   202; the same, and refuse new connections for good
    GET /status   200; who, since when, how much, which apps
    GET /stacks   200; the stack of every greenlet, as text
    GET /audit    200; why what is loaded cannot live under patching, as findings
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from gevent.util import format_run_info

if TYPE_CHECKING:
    from .worker import Worker


# The published types say that it returns nothing.
_stacks = cast("Callable[[], list[str]]", format_run_info)


class ControlApplication:
    """The application behind the control socket of one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer = getattr(self, f"_{environ['REQUEST_METHOD'].lower()}_{environ['PATH_INFO'].strip('/')}", None)
        body: object
        if answer is None:
            status, body = "404 Not Found", {"error": f"no {environ['REQUEST_METHOD']} {environ['PATH_INFO']}"}
        else:
            status, body = answer()
        if isinstance(body, str):
            kind, data = "text/plain; charset=utf-8", body.encode()
        else:
            kind, data = "application/json", json.dumps(body).encode()
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(data)))])
        return [data]

    def _get_ready(self) -> tuple[str, object]:
        ready = self._worker.state == "ready"
        return ("200 OK" if ready else "503 Service Unavailable"), {"ready": ready, "state": self._worker.state}

    def _get_status(self) -> tuple[str, object]:
        return "200 OK", self._worker.status()

    def _get_stacks(self) -> tuple[str, object]:
        return "200 OK", "\n".join(_stacks())

    def _get_audit(self) -> tuple[str, object]:
        return "200 OK", [dataclasses.asdict(finding) for finding in self._worker.audit()]

    def _post_drain(self) -> tuple[str, object]:
        self._worker.drain()
        return "202 Accepted", {"state": self._worker.state}

    def _post_leave(self) -> tuple[str, object]:
        self._worker.leave()
        return "202 Accepted", {"state": self._worker.state}
