"""The deployer's own control socket: `GET /status`, served by a thread, so that it answers while the deployer waits."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


def serve_status(path: Path, status: Callable[[], dict[str, Any]]) -> None:
    """Answers on `path` until the process ends."""
    path.unlink(missing_ok=True)

    class Handler(BaseHTTPRequestHandler):
        """One request; names and methods are http.server's."""

        def do_GET(self) -> None:
            found = self.path == "/status"
            body = json.dumps(status() if found else {"error": f"no GET {self.path}"}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing: the callers are our own."""

    server = _Server(str(path), Handler)
    threading.Thread(target=server.serve_forever, name="status", daemon=True).start()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[Any, Any]:
        request, _ = super().get_request()
        return request, ("local", 0)  # http.server wants a host and a port
