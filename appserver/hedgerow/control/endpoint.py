"""A control socket of what is no worker: `GET /status`, served by a thread, so that it answers while the rest waits, a
page besides, and what is told by POST.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Page:
    """What is answered to a GET of this path. kind: its media type."""

    path: str
    kind: str
    text: Callable[[], bytes]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        send(handler, 200, self.kind, self.text())


def send(handler: BaseHTTPRequestHandler, code: int, kind: str, body: bytes) -> None:
    handler.send_response(code)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def serve_status(
    path: Path,
    status: Callable[[], dict[str, Any]],
    hear: Callable[[str], bool] = lambda target: False,
    page: Page | None = None,
) -> None:
    """Answers on `path` until the process ends. hear: called with what is posted; whether that was understood."""
    path.unlink(missing_ok=True)

    class Handler(BaseHTTPRequestHandler):
        """One request; names and methods are http.server's."""

        def do_GET(self) -> None:
            if page is not None and self.path == page.path:
                page.answer(self)
            else:
                self._answer(200, status()) if self.path == "/status" else self._unknown()

        def do_POST(self) -> None:
            self._answer(202, {}) if hear(self.path) else self._unknown()

        def _unknown(self) -> None:
            self._answer(404, {"error": f"no {self.command} {self.path}"})

        def _answer(self, code: int, told: dict[str, Any]) -> None:
            send(self, code, "application/json", json.dumps(told).encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing: the callers are our own."""

    server = _Server(str(path), Handler)
    threading.Thread(target=server.serve_forever, name="status", daemon=True).start()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[Any, Any]:
        request, _ = super().get_request()
        return request, ("local", 0)  # http.server wants a host and a port
